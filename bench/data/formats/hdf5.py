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

from bench.data.formats.annotated import no_part, read_h5ad, read_h5mu, to_csr
from bench.data.formats.assemble import assemble, unique_features
from bench.data.formats.matrix_market import pick_features
from bench.data.formats.memory_guard import guard, require, require_arrays
from bench.errors import DataError
from bench.messages import log_note

if TYPE_CHECKING:
    from anndata import AnnData


_BLOCK = 1 << 26
"""Bytes of a dense matrix read at once."""
_CELL_NAMES = ("CellID", "obs_names", "cell_id", "cell_names", "barcodes", "barcode", "cells")
_FEATURE_NAMES = ("Gene", "var_names", "gene_names", "genes", "features", "Accession", "peaks")
_GENE_IDS = ("Accession", "gene_ids", "gene_id")


def read_hdf(path: Path, *, part: str | None = None) -> AnnData:
    """Return the counts (cells × features) of an HDF5 file of any known layout.

    Raises ``DataError`` if it is none of h5ad, h5mu, loom, 10x and X with Y.
    """
    kind = guard(path, _kind, "HDF5 file")
    if kind == "h5mu":
        return read_h5mu(path, part=part)
    if kind == "10x":
        return read_10x_h5(path, part=part)
    no_part(path, part)
    if kind == "h5ad":
        return read_h5ad(path)
    return read_loom(path) if kind == "loom" else read_xy_h5(path)


def _kind(path: Path) -> str:
    if path.suffix == ".h5ad":
        return "h5ad"
    with h5py.File(path, "r") as file:
        keys = set(file)
        if "mod" in keys:
            return "h5mu"
        if "row_attrs" in keys and isinstance(file.get("matrix"), h5py.Dataset):
            return "loom"
        if any(isinstance(one, h5py.Group) and "barcodes" in one for one in file.values()):
            return "10x"
        if {"X", "obs"} <= keys:
            return "h5ad"
        if {"X", "Y"} <= keys:
            return "X and Y"
    there = ", ".join(sorted(keys)) or "nothing"
    raise DataError(
        f"{path}: an HDF5 file of no known layout (it holds {there}); expected h5ad, h5mu, loom, "
        "10x (matrix/barcodes) or the datasets X and Y."
    )


def read_10x_h5(path: Path, *, part: str | None = None) -> AnnData:
    """Return counts (CSR float32, cells × features) of a Cell Ranger ``.h5``, version 2 or 3.

    Names, ``var["gene_ids"]``, ``var["feature_types"]`` and ``part`` as for the folder
    (:func:`read_10x_mtx`). Raises ``DataError`` if it cannot be read.
    """

    def read(one: Path) -> AnnData:
        with h5py.File(one, "r") as file:
            require_arrays(one, file, copied=tuple(file))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that are not unique are dealt with below
            return sc.read_10x_h5(one, gex_only=False)

    adata = to_csr(pick_features(guard(path, read, "10x .h5 file"), part, path))
    unique_features(path, adata)
    return adata


def read_loom(path: Path) -> AnnData:
    """Return a loom file: ``/matrix`` is features × cells, read in blocks into CSR float32.

    Names come from the attributes CellID and Gene (or usual others), identifiers of genes go to
    ``var["gene_ids"]``, other attributes of one dimension to ``obs`` and ``var``.
    """

    def read(one: Path) -> AnnData:
        with h5py.File(one, "r") as file:
            obs = _attributes(one, file["col_attrs"], _CELL_NAMES, "cell")
            var = _attributes(one, file["row_attrs"], _FEATURE_NAMES, "feature")
            counts = _sparse(one, file["matrix"]).T.tocsr()
            adata = assemble(one, counts, obs, var, hint="rename them in col_attrs")
            for name, layer in file.get("layers", {}).items():
                adata.layers[name] = _sparse(one, layer).T.tocsr()
        return adata

    adata: AnnData = guard(path, read, "loom file")
    return adata


def read_xy_h5(path: Path) -> AnnData:
    """Return counts ``X`` (cells × features) and labels ``Y`` of an ``.h5`` of clustering papers.

    Labels go to ``obs["cell_type"]`` as text, whole numbers without a point. Names come from
    usual datasets if there are any (``gene_names``, ``barcodes``, ...), else cells and features
    are numbered from 1. ``X`` is turned if only its second axis is as long as ``Y``, which is
    said. Raises ``DataError`` if neither is.
    """

    def read(one: Path) -> AnnData:
        with h5py.File(one, "r") as file:
            labels = _as_text(file["Y"][()].reshape(-1))
            matrix = file["X"]
            if matrix.ndim != 2 or len(labels) not in matrix.shape:
                raise DataError(
                    f"{one}: X is {' × '.join(map(str, matrix.shape))}, Y has {len(labels)} "
                    "labels; expected X with one row for each label."
                )
            counts = _sparse(one, matrix)
            if matrix.shape[0] != len(labels):
                counts = counts.T.tocsr()
                log_note(f"{one}: X has cells in columns (Y has {len(labels)} labels); turned")
            cells = _names(file, _CELL_NAMES, counts.shape[0], "cell")
            features = _names(file, _FEATURE_NAMES, counts.shape[1], "feature")
        obs = pd.DataFrame({"cell_type": labels}, index=cells)
        var = pd.DataFrame(index=features)
        return assemble(one, counts, obs, var, hint="rename them in the file")

    adata: AnnData = guard(path, read, ".h5 file with X and Y")
    return adata


def _attributes(path: Path, group: Any, names: tuple[str, ...], what: str) -> Any:
    values = {name: one[()] for name, one in group.items()}
    wide = [name for name, one in values.items() if one.ndim != 1]
    if wide:
        log_note(
            f"{path}: {len(wide)} attributes of more than one column were left out ({wide[0]})"
        )
    columns = {
        name: _as_text(one) if one.dtype.kind in "OSU" else one
        for name, one in values.items()
        if one.ndim == 1
    }
    key = next((name for name in names if name in columns), None)
    if key is None:
        there = ", ".join(columns) or "none"
        raise DataError(
            f"{path}: no names of {what}s; expected the attribute {names[0]}; there: {there}."
        )
    index = columns.pop(key)
    identifier = next((name for name in _GENE_IDS if name in columns), None)
    if what == "feature" and identifier:
        columns["gene_ids"] = columns.pop(identifier)
    return pd.DataFrame(columns, index=pd.Index([str(name) for name in index], dtype=object))


def _names(file: Any, known: tuple[str, ...], count: int, what: str) -> list[str]:
    for name in known:
        if name in file and file[name].shape == (count,):
            return _as_text(file[name][()])
    return [f"{what}{number}" for number in range(1, count + 1)]


def _as_text(values: Any) -> list[str]:
    return [
        one.decode()
        if isinstance(one, bytes)
        else str(int(one)) if isinstance(one, float) and one.is_integer() else str(one)
        for one in values.tolist()
    ]  # fmt: skip


def _sparse(path: Path, dataset: Any) -> sp.csr_matrix:
    """Read a dense dataset in blocks of rows into CSR float32."""
    height, width = dataset.shape
    step = max(1, _BLOCK // max(1, width * dataset.dtype.itemsize))
    blocks = []
    held = 0
    for start in range(0, height, step):
        block = sp.csr_matrix(np.asarray(dataset[start : start + step], dtype=np.float32))
        blocks.append(block)
        held += block.data.nbytes + block.indices.nbytes
        share = min(1.0, (start + step) / height)
        # What is to come, then all blocks once more as one matrix and again as its transpose.
        require(path, held * (1 / share - 1) + 2 * held / share)
    return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((height, width))
