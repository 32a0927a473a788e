"""Parts of a run in the form in which MLflow takes them."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

from bench.digests import digest

from .run_tags import DIGESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .result import Result


def metric_entities(values: Mapping[str, float], milliseconds: int | None = None) -> list[Metric]:
    """Return the finite values as MLflow takes them; MLflow stores others as huge numbers."""
    now = int(time.time() * 1000) if milliseconds is None else milliseconds
    return [Metric(k, float(v), now, 0) for k, v in values.items() if math.isfinite(v)]


def stored_values(run: Any) -> dict[str, float]:
    """Return scores and measures of a run of the MLflow client, without curves."""
    return {k: v for k, v in run.data.metrics.items() if not k.startswith("epoch/")}


def dataset_input(result: Result) -> Any:
    """Return the dataset of a job with its digests."""
    job = result.job
    facts = {name: job.facts[name] for name in ("modality", "n_cells", "n_features", "n_types")}
    digests = {name: job.facts[name] for name in DIGESTS}
    dataset = Dataset(
        name=job.dataset[:500],
        digest=digest(digests)[:36],  # MLflow keeps the first source of each name and digest
        source_type="local",
        source=json.dumps({"dataset": job.dataset, **digests}),
        profile=json.dumps(facts),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "benchmark")])
