"""HDF5 files by their content, and the readers of loom and of ``.h5`` of clustering papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import log_note

from .annotated import read_h5ad, read_h5mu, refuse_part
from .assemble import build_anndata
from .elements import read_matrix
from .guards import array_bytes, open_hdf5, read_errors, require_memory
from .ten_x import read_10x_h5

if TYPE_CHECKING:
    from anndata import AnnData

_BLOCK_BYTES = 1 << 26
"""Bytes of a dense matrix read at once."""
_CELL_NAMES = ("cellid", "obs_names", "cell_id", "cell_names", "barcodes", "barcode", "cells",
               "cell", "cellname", "cell_name", "observation_id", "index", "id")  # fmt: skip
_FEATURE_NAMES = (
    "gene", "var_names", "gene_names", "gene_name", "target_name", "gene_symbol", "gene_symbols",
    "symbol", "feature_name", "genes", "features", "accession", "gene_ids", "gene_id", "geneid",
    "target_id", "ensembl_id", "peaks", "peak", "feature", "name", "id", "index",
)  # fmt: skip
_GENE_IDS = ("accession", "gene_ids", "gene_id", "geneid", "target_id", "ensembl_id")
"""Usual names of attributes, in lower case; the first one present is used."""
_LABELS = ("cell_type", "cell_ontology_class", "cell_type1")


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
    readers = {"h5ad": read_h5ad, "loom": read_loom, "exprs": read_exprs_h5, "X and Y": read_xy_h5}
    return readers[layout](path)


def _find_layout(path: Path) -> str:
    if path.suffix == ".h5ad":
        return "h5ad"
    with open_hdf5(path) as file:
        keys = set(file)
        if "mod" in keys:
            return "h5mu"
        if {"exprs", "obs_names", "var_names"} <= keys:
            return "exprs"
        if "row_attrs" in keys and isinstance(file.get("matrix"), h5py.Dataset):
            return "loom"
        groups = [file[key] for key in keys if isinstance(file.get(key), h5py.Group)]
        if any("barcodes" in group for group in groups):
            return "10x"
        if {"X", "obs"} <= keys:
            return "h5ad"
        if {"X", "Y"} <= keys:
            return "X and Y"
    names = ", ".join(sorted(keys)) or "nothing"
    raise DataError(
        f"{path}: an HDF5 file of unknown layout (it holds {names}); expected h5ad, h5mu, loom, "
        "10x (matrix/barcodes), exprs with obs_names and var_names, or the datasets X and Y.",
        code="unknown_format",
    )


def read_loom(path: Path) -> AnnData:
    """Return a loom file: ``/matrix`` is features × cells, read in blocks into CSR float32.

    Names come from the attributes CellID and Gene (or usual others), identifiers of genes go to
    ``var["gene_ids"]``, other attributes of one dimension to ``obs`` and ``var``.
    """
    with read_errors(path, "loom file"), open_hdf5(path) as file:
        obs = _read_attributes(path, file["col_attrs"], _CELL_NAMES, "cell")
        var = _read_attributes(path, file["row_attrs"], _FEATURE_NAMES, "feature")
        counts = _read_dense(path, file["matrix"]).T.tocsr()
        adata = build_anndata(path, counts, obs, var, hint="rename them in col_attrs")
        for name, layer in file.get("layers", {}).items():
            if layer.shape == adata.shape[::-1]:
                adata.layers[name] = _read_dense(path, layer).T.tocsr()
    return adata


def read_exprs_h5(path: Path) -> AnnData:
    """Return the counts of a ``data.h5`` of scMGCA, scIMTA, scTAG or scziDesk.

    ``exprs`` is CSR or dense, cells × features; names are ``obs_names`` and ``var_names``, columns
    of cells the members of ``obs``. If there is no ``cell_type``, ``cell_ontology_class`` or
    ``cell_type1`` takes its name, with a note.
    """
    with read_errors(path, ".h5 file with exprs"), open_hdf5(path) as file:
        cells, features = (_as_text(file[name][()]) for name in ("obs_names", "var_names"))
        require_memory(path, 2 * array_bytes({"exprs": file["exprs"]}))
        counts = read_matrix(path, file["exprs"], "exprs", (len(cells), len(features)))
        columns = {
            name: _as_text(member[()]) if member.dtype.kind in "OSU" else member[()]
            for name, member in file.get("obs", {}).items()
            if getattr(member, "shape", None) == (len(cells),)
        }
    labels = next((name for name in _LABELS if name in columns), None)
    if labels is not None and labels != _LABELS[0]:
        columns[_LABELS[0]] = columns[labels]
        log_note(f"{path}: '{labels}' is taken as {_LABELS[0]}")
    obs = pd.DataFrame(columns, index=pd.Index(cells, dtype=object))
    var = pd.DataFrame(index=pd.Index(features, dtype=object))
    return build_anndata(path, counts, obs, var, hint="rename them in obs_names")


def read_xy_h5(path: Path) -> AnnData:
    """Return counts ``X`` (cells × features) and labels ``Y`` of an ``.h5`` of clustering papers.

    Labels are stored in ``obs["cell_type"]`` as text, whole numbers without a decimal point. Names
    come from usual datasets (``gene_names``, ``barcodes``, ...), else cells and features are
    numbered from 1. ``X`` is transposed if only its second axis is as long as ``Y``; a note
    reports it. Raises ``DataError`` if neither axis is as long.
    """
    with read_errors(path, ".h5 file with X and Y"), open_hdf5(path) as file:
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
    """Return the one-dimensional attributes of cells or features as a table, index = names."""
    values = {
        name: attribute[()]
        for name, attribute in group.items()
        if getattr(attribute, "shape", None) is not None
    }
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
    usual = {name.lower(): name for name in columns}
    key = next((usual[name] for name in names if name in usual), None)
    if key is None:
        raise DataError(
            f"{path}: no names of {what}s; expected an attribute such as "
            f"{'CellID' if what == 'cell' else 'Gene'}; its attributes: "
            f"{', '.join(columns) or 'none'}.",
            code="missing_names",
        )
    index = columns.pop(key)
    identifier = next((usual[name] for name in _GENE_IDS if usual.get(name) in columns), None)
    if what == "feature" and identifier:
        columns["gene_ids"] = columns.pop(identifier)
    return pd.DataFrame(columns, index=pd.Index([str(name) for name in index], dtype=object))


def _read_names(file: Any, keys: tuple[str, ...], count: int, what: str) -> list[str]:
    """Return the names in the first dataset of ``keys`` with ``count`` values, else numbers."""
    for key in keys:
        if key in file and getattr(file[key], "shape", None) == (count,):
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
