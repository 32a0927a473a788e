"""Elements of anndata in an HDF5 or zarr group: matrices, tables of cells and features, others.

Matrices are checked before use. Unreadable elements that are not needed are left out with a note,
so that an empty value (null) or an element of another program does not make a file unreadable.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import read_elem

from bench.errors import DataError
from bench.messages import log_note, quote_names

from .guards import check_compressed

_INDEX_NAMES = ("_index", "index", "cell_id", "barcode", "barcodes", "features", "gene_name")
_ANNOTATIONS = {"obsm": 0, "obsp": 0, "varm": 1, "varp": 1}
"""Axis of cells (0) or features (1) of each kind of annotation."""


def read_anndata(path: Path, group: Any) -> AnnData:
    """Return the AnnData in a group, with X as CSR; raises ``DataError``."""
    left_out: list[str] = []
    obs, var = (read_table(path, group[name], name, left_out) for name in ("obs", "var"))
    shape = (len(obs), len(var))
    parts: dict[str, Any] = {"obs": obs, "var": var}
    if "X" in group:
        parts["X"] = read_matrix(path, group["X"], "X", shape)
    parts["layers"] = _read_layers(path, group, shape, left_out)
    for kind, axis in _ANNOTATIONS.items():
        values = _read_members(path, group, kind, left_out)
        size = shape[axis : axis + 1]
        fitting = {
            k: v for k, v in values.items() if tuple(getattr(v, "shape", None) or ())[:1] == size
        }
        left_out += [f"{kind}/{name}" for name in values.keys() - fitting.keys()]
        parts[kind] = fitting
    parts["uns"] = _read_members(path, group, "uns", left_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are not unique, which the checks report
        adata = AnnData(**parts)
        adata.raw = _read_raw(path, group, obs, left_out)
    if left_out:
        log_note(f"{path}: not readable and left out: {quote_names(sorted(left_out))}")
    return adata


def read_matrix(path: Path, element: Any, name: str, shape: tuple[int, int]) -> Any:
    """Return a matrix as CSR, unchanged if it holds no numbers, ``None`` if it is empty.

    Numbers that sparse matrices cannot hold (16 bits, foreign byte order) are converted.
    """
    if not hasattr(element, "shape"):
        return _read_sparse(path, element, name, shape)
    if element.shape is None:
        return None
    if tuple(element.shape) != shape:
        raise _wrong_shape(path, name, tuple(element.shape), shape)
    if element.dtype.kind not in "biuf":
        return read_elem(element)
    return sp.csr_matrix(_native(element[()]))


def _read_sparse(path: Path, group: Any, name: str, shape: tuple[int, int]) -> sp.csr_matrix:
    if not {"data", "indices", "indptr"} <= set(group):
        raise DataError(
            f"{path}: {name} is no matrix: expected a dataset, or data, indices and indptr.",
            code="damaged_matrix",
        )
    stored = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
    if stored is None and "shape" in group:
        stored = group["shape"][()]
    found = tuple(int(size) for size in stored) if stored is not None else shape
    if found != shape:
        raise _wrong_shape(path, name, found, shape)
    kind = str(group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", "csr")))
    by_columns = kind.startswith("csc")
    return read_compressed(path, group, name, shape, by_columns=by_columns)


def read_compressed(
    path: Path, group: Any, name: str, shape: tuple[int, int], *, by_columns: bool
) -> sp.csr_matrix:
    """Return the matrix of ``data``, ``indices`` and ``indptr`` as CSR, checked before use."""
    data, indices, indptr = (_native(group[key][()]) for key in ("data", "indices", "indptr"))
    for key, array in (("indices", indices), ("indptr", indptr)):
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise DataError(
                f"{path}: {name}/{key} holds no whole numbers; write the file again.",
                code="damaged_matrix",
            )
    axes = shape[::-1] if by_columns else shape
    check_compressed(path, name, (data, indices, indptr), axes)
    make = sp.csc_matrix if by_columns else sp.csr_matrix
    return sp.csr_matrix(make((data, indices, indptr), shape=shape))


def _wrong_shape(
    path: Path, name: str, found: tuple[int, ...], shape: tuple[int, int]
) -> DataError:
    sizes = " × ".join(map(str, found))
    return DataError(
        f"{path}: {name} is {sizes}, but obs and var have {shape[0]} × {shape[1]} names; write "
        "the file again.",
        code="size_mismatch",
    )


def _native(values: Any) -> np.ndarray:
    """Return numbers of a type that sparse matrices can hold."""
    array = np.asarray(values)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_layers(
    path: Path, group: Any, shape: tuple[int, int], left_out: list[str]
) -> dict[str, Any]:
    layers = {}
    for name in group["layers"] if _is_group(group, "layers") else ():
        try:
            layer = read_matrix(path, group["layers"][name], f"layers/{name}", shape)
        except DataError:
            raise
        except Exception:
            layer = None
        if layer is None:
            left_out.append(f"layers/{name}")
        else:
            layers[name] = layer
    return layers


def _read_raw(path: Path, group: Any, obs: pd.DataFrame, left_out: list[str]) -> AnnData | None:
    """Return ``raw`` as AnnData; ``None`` if there is none with counts and names."""
    if not _is_group(group, "raw") or not {"X", "var"} <= set(group["raw"]):
        return None
    var = read_table(path, group["raw"]["var"], "raw/var", left_out)
    shape = (len(obs), len(var))
    matrix = read_matrix(path, group["raw"]["X"], "raw/X", shape)
    return None if matrix is None else AnnData(matrix, obs=obs[[]], var=var)


def _is_group(group: Any, name: str) -> bool:
    return name in group and not hasattr(group[name], "shape")


def _read_members(path: Path, group: Any, kind: str, left_out: list[str]) -> dict[str, Any]:
    """Return the readable members of a mapping; the names of the others go to ``left_out``."""
    values: dict[str, Any] = {}
    for name in group[kind] if _is_group(group, kind) else ():
        try:
            member = group[kind][name]
            empty = getattr(member, "shape", 0) is None and kind == "uns"
            values[name] = None if empty else _read_member(path, member, f"{kind}/{name}")
        except Exception:
            left_out.append(f"{kind}/{name}")
    return values


def _read_member(path: Path, member: Any, name: str) -> Any:
    """Return an annotation; a sparse one is checked like the counts."""
    stored = member.attrs.get("shape")
    if hasattr(member, "shape") or stored is None or len(stored) != 2:
        return read_elem(member)
    return read_matrix(path, member, name, (int(stored[0]), int(stored[1])))


def read_table(path: Path, element: Any, name: str, left_out: list[str]) -> pd.DataFrame:
    """Return a table of cells or features; columns that cannot be read are left out."""
    foreign = any(_is_foreign(element.get(key)) for key in element if key != "__categories")
    if element.attrs.get("encoding-type") == "dataframe" and not foreign:
        with contextlib.suppress(Exception):  # column by column, then
            table = read_elem(element)
            return table.set_axis(table.index.astype(str))
    index_name = element.attrs.get("_index")
    index_name = index_name.decode() if isinstance(index_name, bytes) else index_name
    if index_name is None or index_name not in element:
        index_name = next((key for key in _INDEX_NAMES if key in element), None)
    index = None if index_name is None else _read_column(element, index_name)
    if index is None:
        raise DataError(
            f"{path}: {name} has no names (no member _index); write the file again with names.",
            code="missing_names",
        )
    order = [str(key) for key in element.attrs.get("column-order", [])] or list(element)
    columns = {}
    for key in order:
        if key in (index_name, "__categories") or key not in element:
            continue
        values = _read_column(element, key)
        if values is None or len(values) != len(index):
            left_out.append(f"{name}/{key}")
        else:
            columns[key] = values
    return pd.DataFrame(columns, index=pd.Index([str(one) for one in index], dtype=object))


def _is_foreign(member: Any) -> bool:
    """Return whether a column is empty (null), or a group not written by anndata."""
    if hasattr(member, "shape"):
        return member.shape is None
    return member is not None and "encoding-type" not in member.attrs


def _read_column(group: Any, key: str) -> Any:
    """Return one column of a table, ``None`` if it is empty or cannot be read.

    Reads columns of anndata, codes with separate categories (anndata 0.6) and factors of R.
    """
    try:
        member = group[key]
        if not hasattr(member, "shape"):
            if {"levels", "values"} <= set(member):
                return _from_codes(member["values"][()] - 1, member["levels"])
            if "encoding-type" not in member.attrs and {"codes", "categories"} <= set(member):
                return _from_codes(member["codes"][()], member["categories"])
            return read_elem(member)
        if member.shape is None:
            return None
        if "__categories" in group and key in group["__categories"]:
            return _from_codes(member[()], group["__categories"][key])
        reference = member.attrs.get("categories")
        if isinstance(reference, h5py.Reference):
            return _from_codes(member[()], member.file[reference])
        return decode_text(read_elem(member))
    except Exception:
        return None


def _from_codes(codes: np.ndarray, categories: Any) -> pd.Categorical:
    names = decode_text(categories[()])
    codes = np.where((codes < 0) | (codes >= len(names)), -1, codes).astype(np.int64)
    return pd.Categorical.from_codes(codes, pd.Index(names))


def decode_text(values: Any) -> Any:
    """Return an array of bytes or text as text; numbers are returned unchanged."""
    if getattr(values, "dtype", np.dtype("f4")).kind not in "OS":
        return values
    return np.array(
        [one.decode() if isinstance(one, bytes) else one for one in values.tolist()], dtype=object
    )
