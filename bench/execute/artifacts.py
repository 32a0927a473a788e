"""The files that a fit leaves: embedding, own clusterings, tables, model, features, cells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.data.cache.array_folder import ArrayFolder
from bench.data.cache.dataset_files import read_features
from bench.data.cache.prepared_files import open_prepared_folder

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contract import Fit, Method


def write_fit(result: Fit, method: Method, data: Any, cells: np.ndarray, folder: Path) -> None:
    """Write what a fit returned, its cells, and the model if the method can save it."""
    np.save(folder / "cells.npy", cells)
    embedding = np.asarray(result.embedding, dtype=np.float32)
    columns = [f"z{i}" for i in range(embedding.shape[1])]
    index = pd.Index(data.obs_names, name="cell")
    pd.DataFrame(embedding, index=index, columns=columns).to_parquet(folder / "embedding.parquet")
    if result.labels:
        labels = {name: _as_array(values) for name, values in result.labels.items()}
        pd.DataFrame(labels, index=index).to_parquet(folder / "labels.parquet")
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


def write_features(prepared: Path, dataset_folder: Path, folder: Path) -> None:
    """Write which features of the dataset the method saw (``features.parquet``)."""
    data, _ = open_prepared_folder(prepared)
    features = pd.Index(read_features(ArrayFolder(dataset_folder)).tolist(), name="feature")
    pd.DataFrame({"kept": features.isin(data.var_names)}, index=features).to_parquet(
        folder / "features.parquet"
    )


def _as_array(labels: Any) -> np.ndarray:
    """Return labels as an array, names of any kind as text."""
    values = np.asarray(labels)
    return values.astype(str) if values.dtype.kind in "OUS" else values
