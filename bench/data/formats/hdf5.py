"""HDF5 files by their content, and the readers of loom, 10x h5, and ``.h5`` with X and Y."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import log_note

from .annotated import read_h5ad, read_h5mu, refuse_part, to_csr
from .assemble import build_anndata, make_features_unique
from .guards import array_bytes, read_errors, require_memory
from .matrix_market import select_features

if TYPE_CHECKING:
    from anndata import AnnData

_BLOCK_BYTES = 1 << 26
"""Bytes of a dense matrix read at once."""
_CELL_NAMES = ("CellID", "obs_names", "cell_id", "cell_names", "barcodes", "barcode", "cells")
_FEATURE_NAMES = ("Gene", "var_names", "gene_names", "genes", "features", "Accession", "peaks")
_GENE_IDS = ("Accession", "gene_ids", "gene_id")


def read_hdf5(path: Path, *, part: str | None = None) -> AnnData:
    """Return the counts (cells × features) of an HDF5 file: h5ad, h5mu, loom, 10x, or X and Y.

    Raises ``DataError`` for any other layout.
    """
    with read_errors(path, "HDF5 file"):
        layout = _find_layout(path)
    if layout == "h5mu":
        return read_h5mu(path, part=part)
    if layout == "10x":
        return read_10x_h5(path, part=part)
    refuse_part(path, part)
    if layout == "h5ad":
        return read_h5ad(path)
    return read_loom(path) if layout == "loom" else read_xy_h5(path)


def _find_layout(path: Path) -> str:
    if path.suffix == ".h5ad":
        return "h5ad"
    with h5py.File(path, "r") as file:
        keys = set(file)
        if "mod" in keys:
            return "h5mu"
        if "row_attrs" in keys and isinstance(file.get("matrix"), h5py.Dataset):
            return "loom"
        if any(isinstance(group, h5py.Group) and "barcodes" in group for group in file.values()):
            return "10x"
        if {"X", "obs"} <= keys:
            return "h5ad"
        if {"X", "Y"} <= keys:
            return "X and Y"
    names = ", ".join(sorted(keys)) or "nothing"
    raise DataError(
        f"{path}: an HDF5 file of unknown layout (it holds {names}); expected h5ad, h5mu, loom, "
        "10x (matrix/barcodes) or the datasets X and Y.",
        code="unknown_format",
    )


def read_10x_h5(path: Path, *, part: str | None = None) -> AnnData:
    """Return counts (CSR float32, cells × features) of a Cell Ranger ``.h5``, version 2 or 3.

    Names, ``var["gene_ids"]``, ``var["feature_types"]`` and ``part`` as for the folder
    (:func:`read_10x_mtx`). Raises ``DataError`` for an unreadable file.
    """
    with read_errors(path, "10x .h5 file"), warnings.catch_warnings():
        with h5py.File(path, "r") as file:
            require_memory(path, 2 * array_bytes(file))
        warnings.simplefilter("ignore")  # scanpy warns of names that are not unique
        adata = sc.read_10x_h5(path, gex_only=False)
    adata = to_csr(select_features(adata, part, path))
    make_features_unique(path, adata)
    return adata


def read_loom(path: Path) -> AnnData:
    """Return a loom file: ``/matrix`` is features × cells, read in blocks into CSR float32.

    Names come from the attributes CellID and Gene (or usual others), identifiers of genes go to
    ``var["gene_ids"]``, other attributes of one dimension to ``obs`` and ``var``.
    """
    with read_errors(path, "loom file"), h5py.File(path, "r") as file:
        obs = _read_attributes(path, file["col_attrs"], _CELL_NAMES, "cell")
        var = _read_attributes(path, file["row_attrs"], _FEATURE_NAMES, "feature")
        counts = _read_dense(path, file["matrix"]).T.tocsr()
        adata = build_anndata(path, counts, obs, var, hint="rename them in col_attrs")
        for name, layer in file.get("layers", {}).items():
            adata.layers[name] = _read_dense(path, layer).T.tocsr()
    return adata


def read_xy_h5(path: Path) -> AnnData:
    """Return counts ``X`` (cells × features) and labels ``Y`` of an ``.h5`` of clustering papers.

    Labels go to ``obs["cell_type"]`` as text, whole numbers without a point. Names come from
    usual datasets (``gene_names``, ``barcodes``, ...), else cells and features are numbered from
    1. ``X`` is transposed if only its second axis is as long as ``Y``; a note reports it. Raises
    ``DataError`` if neither axis is.
    """
    with read_errors(path, ".h5 file with X and Y"), h5py.File(path, "r") as file:
        labels = _as_text(file["Y"][()].reshape(-1))
        matrix = file["X"]
        if matrix.ndim != 2 or len(labels) not in matrix.shape:
            raise DataError(
                f"{path}: X is {' × '.join(map(str, matrix.shape))}, Y has {len(labels)} labels; "
                "expected X with one row for each label.",
                code="size_mismatch",
            )
        counts = _read_dense(path, matrix)
        if matrix.shape[0] != len(labels):
            counts = counts.T.tocsr()
            log_note(f"{path}: X has cells in columns (Y has {len(labels)} labels); transposed")
        cells = _read_names(file, _CELL_NAMES, counts.shape[0], "cell")
        features = _read_names(file, _FEATURE_NAMES, counts.shape[1], "feature")
    obs = pd.DataFrame({"cell_type": labels}, index=cells)
    var = pd.DataFrame(index=features)
    return build_anndata(path, counts, obs, var, hint="rename them in the file")


def _read_attributes(path: Path, group: Any, names: tuple[str, ...], what: str) -> pd.DataFrame:
    """Return the attributes of one dimension of cells or features, with their names as index."""
    values = {name: attribute[()] for name, attribute in group.items()}
    wide = [name for name, array in values.items() if array.ndim != 1]
    if wide:
        log_note(
            f"{path}: {len(wide)} attributes of more than one column were left out ({wide[0]})"
        )
    columns = {
        name: _as_text(array) if array.dtype.kind in "OSU" else array
        for name, array in values.items()
        if array.ndim == 1
    }
    key = next((name for name in names if name in columns), None)
    if key is None:
        raise DataError(
            f"{path}: no names of {what}s; expected the attribute {names[0]}; its attributes: "
            f"{', '.join(columns) or 'none'}.",
            code="missing_names",
        )
    index = columns.pop(key)
    identifier = next((name for name in _GENE_IDS if name in columns), None)
    if what == "feature" and identifier:
        columns["gene_ids"] = columns.pop(identifier)
    return pd.DataFrame(columns, index=pd.Index([str(name) for name in index], dtype=object))


def _read_names(file: Any, keys: tuple[str, ...], count: int, what: str) -> list[str]:
    """Return the names of the first of the datasets ``keys`` that fits, else numbers."""
    for key in keys:
        if key in file and file[key].shape == (count,):
            return _as_text(file[key][()])
    return [f"{what}{number}" for number in range(1, count + 1)]


def _as_text(values: Any) -> list[str]:
    return [
        value.decode()
        if isinstance(value, bytes)
        else str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in values.tolist()
    ]  # fmt: skip


def _read_dense(path: Path, dataset: Any) -> sp.csr_matrix:
    """Read a dense dataset in blocks of rows into CSR float32."""
    height, width = dataset.shape
    step = max(1, _BLOCK_BYTES // max(1, width * dataset.dtype.itemsize))
    blocks = []
    stored = 0
    for start in range(0, height, step):
        block = sp.csr_matrix(np.asarray(dataset[start : start + step], dtype=np.float32))
        blocks.append(block)
        stored += block.data.nbytes + block.indices.nbytes
        share = min(1.0, (start + step) / height)
        # The remaining blocks, then all blocks once more as one matrix and as its transpose.
        require_memory(path, stored * (1 / share - 1) + 2 * stored / share)
    return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((height, width))
