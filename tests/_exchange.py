"""Stores with results that nobody fitted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.digests import digest
from bench.plan.job import Job
from bench.settings import load_settings
from bench.store.result import Result
from bench.store.spool import Spool

FACTS = {
    "modality": "rna", "n_cells": 4, "n_features": 3, "n_types": 2, "rare_type": "",
    "counts_digest": "c", "labels_digest": "l", "batch_digest": "", "train_digest": "",
    "proteins_digest": "", "source": "s", "packages": {}, "fitted_on": "", "version": 1,
    "own_files": [], "network": False, "data_file": "/home/somebody/secret/toy.h5ad",
}  # fmt: skip


def make_result(seed: int = 0, ari: float = 0.5, *, cpu: str = "A", **fields: Any) -> Result:
    """Return a finished job; ``fields`` replace those of the result."""
    key = digest(["fit", seed])
    job = Job(
        "noop", "noop", "control", "/home/somebody/plugin.py", "toy", seed, "default", "default",
        {"n_latent": 2}, {}, (), None, 1, "cpu", 60.0, 1.0, "/home/somebody/cache/datasets/toy1",
        digest("p"), key, digest(["score", key]), dict(FACTS),
    )  # fmt: skip
    result = Result(
        job, "done", started=1000.0 + seed, ended=1001.0 + seed,
        measures={"seconds": 1.0, "coverage": 1.0}, metrics={"kmeans/ari": ari},
        stamps={"ari": "1"}, facts={"cpu": cpu}, curves={"loss": [[0, 1], [2.0, 1.0]]},
        provenance={"versions": json.dumps({"numpy": "1.0"}), "git_commit": "abc"},
    )  # fmt: skip
    return replace(result, **fields)


class WrittenResults:
    """A results folder with results that nobody fitted."""

    def __init__(self, folder: Path, empty_store: Path) -> None:
        from bench.store.mlflow_store import Tracker

        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
        self.folder, self.settings = folder, load_settings({"results": folder})
        self._tracker, self._spool = Tracker(self.settings), Spool(folder / "spool")

    def add(self, result: Result) -> Path:
        """Store a result with an embedding; returns the folder of its artifacts."""
        work = self._spool.work_folder(result.job)
        table = pd.DataFrame(np.ones((4, 2)), columns=["z0", "z1"])
        table.to_parquet(work / "artifacts" / "embedding.parquet")
        np.save(work / "artifacts" / "cells.npy", np.arange(4))
        (work / "artifacts" / "log.txt").write_text(f"seed {result.job.seed}\n")
        run = self._tracker.commit(self._spool.add(work, result))
        return self.folder / "artifacts" / str(run) / "artifacts"

    def rows(self) -> dict[int, dict[str, Any]]:
        """Return the rows by seed."""
        return rows_of(self.folder)


def rows_of(folder: Path) -> dict[int, dict[str, Any]]:
    from bench.store.result_store import ResultStore

    rows = ResultStore(load_settings({"results": folder}), untouched=True).rows()
    assert len({row["score_key"] for row in rows}) == len(rows), "doubled rows"
    return {row["seed"]: row for row in rows}


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and content of each file of a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
