"""Embeddings computed by another program, read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from bench.errors import DataError, UsageError
from bench.messages import did_you_mean, quote_names

from . import formats
from .formats.elements import read_table
from .formats.guards import open_hdf5, read_errors


@dataclass
class EmbeddingFile:
    """Embeddings of the same cells, and the columns that describe the cells."""

    path: Path
    embeddings: dict[str, pd.DataFrame]
    obs: pd.DataFrame


def embedding_keys(path: Path) -> list[str]:
    """Return the names of the arrays in ``obsm`` of an .h5ad; raises ``DataError``."""
    with read_errors(path, ".h5ad file"), open_hdf5(path) as file:
        return sorted(map(str, file.get("obsm", {})))


def read_embeddings(path: Path, keys: list[str] | None = None) -> EmbeddingFile:
    """Return the embeddings of a file; counts are not read. Raises ``DataError``."""
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; give an .h5ad, or a text table of barcodes and dimensions.",
            code="missing_file",
        )
    if path.suffix.lower() == ".h5ad":
        return _read_h5ad(path, keys)
    if keys:
        raise UsageError(
            f"{path}: --obsm names arrays of an .h5ad; a text table is one embedding.",
            code="option_needs_another",
        )
    table = formats.read_cell_table(path)
    values = table.apply(pd.to_numeric, errors="coerce")
    wrong = [str(name) for name in values if values[name].isna().any()]
    if wrong or not values.shape[1]:
        raise DataError(
            f"{path}: column {quote_names(wrong)} holds values that are no numbers; expected "
            "barcodes in the first column and one column a dimension.",
            code="not_numeric",
        )
    _check_cells(path, table.index)
    return EmbeddingFile(path, {path.name.split(".")[0]: values}, pd.DataFrame(index=table.index))


def _read_h5ad(path: Path, keys: list[str] | None) -> EmbeddingFile:
    with read_errors(path, ".h5ad file"), open_hdf5(path) as file:
        obs = read_table(path, file["obs"], "obs", [])
        arrays = {
            str(key): _array(element, obs.index) for key, element in file.get("obsm", {}).items()
        }
    _check_cells(path, obs.index)
    usable = {key: table for key, table in arrays.items() if table is not None}
    for key in keys or usable:
        if key not in arrays:
            raise DataError(
                f"{path}: no array '{key}' in obsm.{did_you_mean(key, sorted(arrays))}",
                code="missing_column",
            )
        if key not in usable:
            raise DataError(
                f"{path}: obsm['{key}'] is no embedding; expected finite numbers, cells × "
                "dimensions.",
                code="not_numeric",
            )
    if not usable:
        raise DataError(
            f"{path}: obsm holds no embedding; name a file whose obsm has arrays of numbers, "
            "cells × dimensions.",
            code="missing_column",
        )
    return EmbeddingFile(path, {key: usable[key] for key in keys or usable}, obs)


def _array(element: Any, cells: pd.Index) -> pd.DataFrame | None:
    """Return an array of ``obsm`` as a table of cells; ``None`` if it is no embedding."""
    try:
        values = ad.io.read_elem(element)
        values = values.toarray() if hasattr(values, "toarray") else values
        table = pd.DataFrame(np.asarray(values), index=cells).astype(np.float64)
    except (ValueError, TypeError):
        return None
    return table if table.shape[1] and np.isfinite(table.to_numpy()).all() else None


def _check_cells(path: Path, cells: pd.Index) -> None:
    twice = cells[cells.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{path}: {len(twice)} names of cells occur more than once, such as '{twice[0]}'; "
            "give each cell its own name.",
            code="duplicate_names",
        )


def count_trained_cells(cells: pd.Index, trained_cells: Path) -> int:
    """Return how many cells are among those that an embedding was trained on.

    ``trained_cells``: text file with one barcode a line. Raises ``UsageError`` if it is missing.
    """
    if not trained_cells.is_file():
        raise UsageError(
            f"{trained_cells}: no such file; --trained-cells takes barcodes, one a line.",
            code="missing_file",
        )
    lines = trained_cells.read_text(encoding="utf-8").splitlines()
    return int(cells.isin({line.strip() for line in lines}).sum())
