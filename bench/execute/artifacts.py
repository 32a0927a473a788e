"""artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.data.cache.array_folder import open_arrays

if TYPE_CHECKING:
    from bench.contract import Fit, Method


def _write_fit(result: Fit, method: Method, data: Any, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    embedding = np.asarray(result.embedding, dtype=np.float32)
    columns = [f"z{i}" for i in range(embedding.shape[1])]
    index = pd.Index(data.obs_names, name="cell")
    pd.DataFrame(embedding, index=index, columns=columns).to_parquet(folder / "embedding.parquet")
    if result.labels:
        own = {name: _plain(labels) for name, labels in result.labels.items()}
        pd.DataFrame(own, index=index).to_parquet(folder / "labels.parquet")
    for name, table in result.tables.items():
        (folder / "tables").mkdir(exist_ok=True)
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    save = getattr(method, "save", None)
    if save is not None:
        (folder / "model").mkdir(exist_ok=True)
        save(folder / "model")
        (folder / "model" / "params.json").write_text(
            json.dumps({"method": method.name, "params": method.params.resolved()}, indent=1)
        )


def _write_features(data: Any, dataset_folder: Path, folder: Path) -> None:
    """Write ``features.parquet``: every feature of the dataset, and whether the method saw it."""
    every = pd.Index(open_arrays(dataset_folder)("features").tolist(), name="feature")
    pd.DataFrame({"kept": every.isin(data.var_names)}, index=every).to_parquet(
        folder / "features.parquet"
    )


def _plain(labels: Any) -> np.ndarray:
    values = np.asarray(labels)
    return values.astype(str) if values.dtype.kind in "OUS" else values
