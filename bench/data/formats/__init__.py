"""Read counts in any format: one function by path, and one for each format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.formats.matrix_market import (
    find_matrix,
    find_names,
    pick_features,
    read_10x_mtx,
    read_market,
)
from bench.errors import UsageError
from bench.messages import note

from .annotated import modalities, no_part, read_h5mu, read_zarr, to_csr
from .hdf5 import read_10x_h5, read_hdf, read_loom, read_xy_h5
from .labels import join_labels, read_labels
from .text import Orientation, read_text

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


__all__ = [
    "display_name",
    "files_of",
    "is_folder",
    "join_labels",
    "known",
    "modalities",
    "read",
    "read_10x_h5",
    "read_10x_mtx",
    "read_h5mu",
    "read_labels",
    "read_loom",
    "read_market",
    "read_table",
    "read_text",
    "read_xy_h5",
]

_PACKED = r"(\.(gz|zip|bz2|xz))?$"
_HDF = re.compile(r"\.(h5ad|h5mu|loom|h5|hdf5)$", re.IGNORECASE)
_TEXT = re.compile(r"\.(csv|tsv|txt|tab)" + _PACKED + r"|\.zip$", re.IGNORECASE)
_MARKET = re.compile(r"\.mtx(\.gz|\.bz2)?$", re.IGNORECASE)
_ZARR = re.compile(r"\.zarr$", re.IGNORECASE)
EXPECTED = (
    ".h5ad, .h5mu, .loom, .zarr, .h5 (10x, or X and Y), .mtx, .csv, .tsv, .txt (also .gz, .zip), "
    "or a folder with a 10x matrix"
)


def known(name: str) -> bool:
    """Return whether a name ends like a file that :func:`read` understands."""
    return any(pattern.search(name) for pattern in (_HDF, _TEXT, _MARKET, _ZARR))


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder with a 10x matrix or in zarr format."""
    return path.is_dir() and (
        _is_zarr(path) or any(_MARKET.search(one.name) for one in path.iterdir())
    )


def display_name(path: Path) -> str:
    """Return the name of the data in a path: ``x`` for ``x.csv.gz``."""
    name = Path(path).name
    for pattern in (_HDF, _TEXT, _MARKET, _ZARR):
        name = pattern.sub("", name) or name
    return name


def files_of(path: Path) -> list[Path]:
    """Return every file that :func:`read` opens for a path; raises ``UsageError``, ``DataError``.

    ``UsageError`` if there is nothing at the path or its name is of no known format.
    """
    if path.is_dir():
        if _is_zarr(path):
            return sorted(one for one in path.rglob("*") if one.is_file())
        return list(find_names(find_matrix(path)))
    if not path.is_file():
        raise UsageError(f"{path}: no such file or folder; expected {EXPECTED}.")
    if not known(path.name):
        raise UsageError(f"{path}: a file of no known format; expected {EXPECTED}.")
    return list(find_names(path)) if _MARKET.search(path.name) else [path]


def read(
    path: Path,
    *,
    transpose: bool | None = None,
    part: str | None = None,
    obs_columns: Sequence[str] = (),
) -> AnnData:
    """Return the counts at a path, cells × features, X as CSR, whatever the format.

    ``transpose`` says of text and MatrixMarket that features are in rows (False: cells); without
    it that is found and said. For other formats True swaps cells and features. ``part`` picks a
    modality of an ``.h5mu`` or a kind of features of a 10x file. ``obs_columns`` are columns of a
    text that describe cells even if they hold numbers. ``say`` gets one line for
    whatever was decided or changed. ``obs`` and ``var`` are as in the file; labels are not needed.

    Raises ``UsageError`` if there is nothing at the path or no known format, and ``DataError``
    for anything in it that cannot be read.
    """
    path = Path(path)
    files = files_of(path)
    orientation: Orientation = "auto"
    if transpose is not None:
        orientation = "genes" if transpose else "cells"
    is_text, is_market = bool(_TEXT.search(path.name)), bool(_MARKET.search(path.name))
    if path.is_file() and is_text:
        no_part(path, part)
        return read_text(path, orientation=orientation, obs_columns=obs_columns)
    if path.is_file() and is_market:
        adata = read_market(*files, orientation=orientation)
        return pick_features(adata, part, path)
    if path.is_dir() and not _is_zarr(path):
        adata = read_10x_mtx(path, part=part)
    elif path.is_dir():
        adata = read_zarr(path, part=part)
    else:
        adata = read_hdf(path, part=part)
    if transpose:
        note(f"{path}: cells and features swapped, as told")
        adata = to_csr(adata.T)
    return adata


def read_table(path: Path) -> pd.DataFrame:
    """Return the table of cells of a second file: delimited text, or ``obs`` of any format."""
    return read_labels(path) if _TEXT.search(path.name) else read(path).obs


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))
