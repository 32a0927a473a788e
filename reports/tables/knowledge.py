"""What fits used beyond the counts, and how their parameters were chosen, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .eligible import NOT_RUN

BATCH_TELLS = 0.8
"""Cramér's V of batch and type above which the batch tells the type."""
_CONTAINER = "; wall: container"


def uses_text(rows: pd.DataFrame) -> str:
    """Return what the fits of one method used, such as ``batch, number of types``.

    A batch that tells the type is marked, with the datasets where it does; so are fits in a
    container, which the engine walls off, not the kernel.
    """
    ran = rows[~rows["status"].isin(NOT_RUN)]
    if ran.empty:
        return "–"
    text = _text(",".join(ran["uses"]), ", ".join(telling_batches(ran)))
    return text + _CONTAINER * bool((ran["files"] == "container").any())


def job_uses_text(job: Mapping[str, Any]) -> str:
    """Return what one fit used, as :func:`uses_text`."""
    tells = "batch" in job["uses"].split(",") and job["batch_types_v"] > BATCH_TELLS
    text = _text(job["uses"], job["dataset"] if tells else "")
    return text + _CONTAINER * (job["files"] == "container")


def _text(uses: str, telling: str) -> str:
    """Return inputs in words; ``telling`` are the datasets whose batch tells the type."""
    words = {"n_clusters": "number of types"}
    if telling:
        words["batch"] = f"batch (⚠ tells the type on {telling})"
    names = sorted({name for name in uses.split(",") if name})
    return ", ".join(words.get(name, name) for name in names) or "counts only"


def telling_batches(rows: pd.DataFrame) -> dict[str, float]:
    """Return Cramér's V by dataset where fits used a batch that tells the type."""
    if not (rows["batch_types_v"] > BATCH_TELLS).any():
        return {}
    used = rows["uses"].str.split(",").map(lambda names: "batch" in names)
    telling = rows[used & (rows["batch_types_v"] > BATCH_TELLS)]
    values = telling.groupby("dataset", sort=False)["batch_types_v"].max()
    return {str(dataset): float(value) for dataset, value in values.items()}


def best_of_text(rows: pd.DataFrame) -> str:
    """Return ``the best of 20 trials`` for a method whose parameters a search chose."""
    numbers = sorted({int(n) for n in pd.to_numeric(rows["n_trials"], errors="coerce").dropna()})
    if not numbers:
        return ""
    return f"the best of {_range(numbers)} trials"


def _range(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
