from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.settings import Settings, load_settings

_TAGS = {
    "kind": "job", "family": "model", "modality": "rna", "threads": "1", "timeout": "60",
    "memory": "1", "protocol": "default", "profile": "default", "n_cells": "40",
    "n_features": "5", "n_types": "3", "missing": "{}", "notes": "{}", "status": "done",
}  # fmt: skip


class WrittenStore:
    """A results folder whose runs are written through MLflow alone."""

    def __init__(self, settings: Settings) -> None:
        from mlflow import MlflowClient

        self.settings = settings
        self.client = MlflowClient(tracking_uri=f"sqlite:///{settings.database}")
        artifacts = (settings.results / "artifacts").as_uri()
        self.experiment = self.client.create_experiment("bench", artifacts)

    def add(self, method: str, seed: int = 0, **tags: str) -> str:
        """Write a finished job; returns the id of its run."""
        from mlflow.entities import Metric, Param, RunTag

        own = {"method": method, "method_name": method, "dataset": "a", "seed": str(seed),
               "score_key": f"{method}-{seed}", "fit_key": f"fit-{method}-{seed}"}  # fmt: skip
        run = str(self.client.create_run(self.experiment, run_name=method).info.run_id)
        values = {"kmeans/ari": 0.5 + seed / 8, "seconds": 2.0, "epoch/loss": 1.0}
        self.client.log_batch(
            run,
            [Metric(name, value, 0, 0) for name, value in values.items()],
            [Param("n_latent", "8"), Param("recipe.scale", "1")],
            [RunTag(*one) for one in (_TAGS | own | tags).items()],
        )
        self.client.set_terminated(run, "FINISHED")
        return run

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as MLflow itself gives them, without folders and commands."""
        from bench.store.result_store import stored_run
        from bench.store.run_tags import table_row

        runs = self.client.search_runs([self.experiment], order_by=["attributes.start_time ASC"])
        return sorted((table_row(stored_run(run)) for run in runs), key=lambda row: row["run_id"])


@pytest.fixture
def written(tmp_path: Path, empty_store: Path) -> WrittenStore:
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    return WrittenStore(load_settings({"results": results}))
