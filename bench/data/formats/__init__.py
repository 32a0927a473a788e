"""Readers of counts: one function for any path, and one for each format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from bench.messages import log_note

from ..file_names import MARKET_SUFFIX, TEXT_SUFFIX, is_zarr, list_files
from .annotated import list_modalities, read_h5mu, read_zarr, refuse_part, to_csr
from .hdf5 import read_hdf5, read_loom, read_xy_h5
from .labels import (
    index_by_cell,
    join_labels,
    read_labels,
    read_labels_by_position,
    read_parquet_table,
)
from .matrix_market import read_10x_mtx, read_market, select_features
from .ten_x import read_10x_h5
from .text import Orientation, read_text

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


__all__ = [
    "index_by_cell",
    "join_labels",
    "list_modalities",
    "read_10x_h5",
    "read_10x_mtx",
    "read_cell_table",
    "read_counts",
    "read_h5mu",
    "read_labels",
    "read_labels_by_position",
    "read_loom",
    "read_market",
    "read_text",
    "read_xy_h5",
]


def read_counts(
    path: Path,
    *,
    transpose: bool | None = None,
    part: str | None = None,
    obs_columns: Sequence[str] = (),
) -> AnnData:
    """Return the counts of a file or folder in any format as CSR, cells × features.

    ``transpose`` is True for features in the rows of a text or MatrixMarket file, False for cells
    there, and None to decide by names and totals; for other formats True swaps cells and features.
    ``part`` is a modality of an ``.h5mu`` or a kind of features of a 10x file. ``obs_columns`` are
    columns of a text that describe cells. Assumptions are logged as notes. Raises ``UsageError``
    for a missing path and an unknown format, and ``DataError`` for unreadable content.
    """
    files = list_files(path)
    orientation: Orientation = "auto"
    if transpose is not None:
        orientation = "genes" if transpose else "cells"
    if path.is_file() and TEXT_SUFFIX.search(path.name):
        refuse_part(path, part)
        return read_text(path, orientation=orientation, obs_columns=obs_columns)
    if path.is_file() and MARKET_SUFFIX.search(path.name):
        adata = read_market(*files, orientation=orientation)
        return select_features(adata, part, path)
    if path.is_file():
        adata = read_hdf5(path, part=part)
    elif is_zarr(path):
        adata = read_zarr(path, part=part)
    else:
        adata = read_10x_mtx(path, part=part)
    if transpose:
        log_note(f"{path}: cells and features swapped, by transpose=true")
        adata = to_csr(adata.T)
    return adata


def read_cell_table(path: Path) -> pd.DataFrame:
    """Return the table of cells in a second file: parquet, ``obs`` of any format, else text."""
    if path.suffix.lower() == ".parquet":
        return read_parquet_table(path)
    if path.is_file() and h5py.is_hdf5(path):
        return read_hdf5(path).obs
    if path.is_dir() or MARKET_SUFFIX.search(path.name):
        return read_counts(path).obs
    return read_labels(path)
