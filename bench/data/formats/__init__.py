"""Read counts in any format: one function by path, and one for each format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.messages import log_note

from ..file_names import MARKET, TEXT, files_of, is_zarr
from .annotated import modalities, no_part, read_h5mu, read_zarr, to_csr
from .hdf5 import read_10x_h5, read_hdf, read_loom, read_xy_h5
from .labels import join_labels, read_labels
from .matrix_market import pick_features, read_10x_mtx, read_market
from .text import Orientation, read_text

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


__all__ = [
    "join_labels",
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
    is_text, is_market = bool(TEXT.search(path.name)), bool(MARKET.search(path.name))
    if path.is_file() and is_text:
        no_part(path, part)
        return read_text(path, orientation=orientation, obs_columns=obs_columns)
    if path.is_file() and is_market:
        adata = read_market(*files, orientation=orientation)
        return pick_features(adata, part, path)
    if path.is_dir() and not is_zarr(path):
        adata = read_10x_mtx(path, part=part)
    elif path.is_dir():
        adata = read_zarr(path, part=part)
    else:
        adata = read_hdf(path, part=part)
    if transpose:
        log_note(f"{path}: cells and features swapped, as told")
        adata = to_csr(adata.T)
    return adata


def read_table(path: Path) -> pd.DataFrame:
    """Return the table of cells of a second file: delimited text, or ``obs`` of any format."""
    return read_labels(path) if TEXT.search(path.name) else read(path).obs
