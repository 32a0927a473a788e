"""The output files of a fit: embedding, own clusterings, tables, model, features, cells.

A fit does not know the names and the original order of the cells (see
``bench.data.cache.dataset_files``). It writes into the folder ``RAW`` of the artifacts;
:func:`restore_cells` writes the final files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.data.cache.array_folder import ArrayFolder
from bench.data.cache.dataset_files import read_features
from bench.data.cache.prepared_files import cell_names, open_prepared_folder

if TYPE_CHECKING:
    from bench.contract import Fit, Method

RAW = "raw"
"""Folder in the artifacts with the files of a fit, with the names that the fit saw for cells."""


def write_fit(result: Fit, method: Method, data: Any, cells: np.ndarray, folder: Path) -> None:
    """Write the result of a fit, its cells, and the model if the method can save it."""
    folder.mkdir(exist_ok=True)
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


def restore_cells(artifacts: Path, dataset_folder: Path, prepared: Path) -> None:
    """Write the artifacts of a fit with the names and the order of the cells in their file.

    Existing artifacts are not written again. ``cells.npy`` holds the indices of the cells in the
    cached dataset, ``features.parquet`` whether the method saw each feature of the dataset.
    """
    raw = artifacts / RAW
    if not raw.is_dir():
        return
    dataset = ArrayFolder(dataset_folder)
    numbers = np.load(raw / "cells.npy", allow_pickle=False)
    in_file = np.argsort(dataset.read("order")[numbers])
    names = dict(zip(cell_names(numbers), dataset.read("cells")[numbers].tolist(), strict=True))
    for path in raw.rglob("*"):
        target = artifacts / path.relative_to(raw)
        target.parent.mkdir(exist_ok=True)
        if path.is_dir():
            continue
        if path.suffix == ".parquet":
            _rename_cells(pd.read_parquet(path), names, in_file).to_parquet(target)
        elif path.name == "translation.npz":
            arrays = dict(np.load(path, allow_pickle=False))
            arrays["cells"] = np.array([names[name] for name in arrays["cells"].tolist()])
            np.savez_compressed(target, **arrays)
        else:
            shutil.copyfile(path, target)
    np.save(artifacts / "cells.npy", numbers[in_file])
    _write_features(prepared, dataset, artifacts)
    shutil.rmtree(raw)


def _rename_cells(table: pd.DataFrame, names: dict[str, str], in_file: np.ndarray) -> pd.DataFrame:
    """Return a table with the true names of cells, in the order of the file if none is missing."""
    table = table.copy()
    for column in table.select_dtypes(["object", "string"]):
        if table[column].isin(names).all():
            table[column] = table[column].map(names)
    if len(table) and table.columns.isin(names).all():
        table.columns = table.columns.map(names)
    if not len(table) or not table.index.isin(names).all():
        return table
    has_all = list(table.index) == list(names)
    table.index = table.index.map(names).rename(table.index.name)
    return table.iloc[in_file] if has_all else table


def _write_features(prepared: Path, dataset: ArrayFolder, folder: Path) -> None:
    data, _ = open_prepared_folder(prepared)
    features = pd.Index(read_features(dataset).tolist(), name="feature")
    pd.DataFrame({"kept": features.isin(data.var_names)}, index=features).to_parquet(
        folder / "features.parquet"
    )


def _as_array(labels: Any) -> np.ndarray:
    """Return labels as an array, names of any kind as text."""
    values = np.asarray(labels)
    return values.astype(str) if values.dtype.kind in "OUS" else values
