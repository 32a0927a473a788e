"""Formats inside HDF5 and zarr: h5ad, h5mu, loom, zarr, 10x h5, and ``.h5`` with X and Y."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DataError

from .lines import Say, silent
from .market import pick_features
from .memory import require
from .text import unique_features

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData

_BLOCK = 1 << 26
"""Bytes of a dense matrix read at once."""
_CELL_NAMES = ("CellID", "obs_names", "cell_id", "cell_names", "barcodes", "barcode", "cells")
_FEATURE_NAMES = ("Gene", "var_names", "gene_names", "genes", "features", "Accession", "peaks")
_GENE_IDS = ("Accession", "gene_ids", "gene_id")


def read_hdf(path: Path, *, part: str | None = None, say: Say = silent) -> AnnData:
    """Return the counts (cells × features) of an HDF5 file of any known layout.

    Raises ``DataError`` if it is none of h5ad, h5mu, loom, 10x and X with Y.
    """
    kind = _kind(path)
    if kind == "h5mu":
        return read_h5mu(path, part=part, say=say)
    if kind == "10x":
        return read_10x_h5(path, part=part, say=say)
    if part is not None:
        raise DataError(f"{path}: part={part}: the file has one part only ({kind}); leave it out.")
    readers: dict[str, Callable[..., AnnData]] = {
        "h5ad": read_h5ad, "loom": read_loom, "X and Y": read_xy_h5,
    }  # fmt: skip
    return readers[kind](path, say=say)


def _kind(path: Path) -> str:
    import h5py

    if path.suffix == ".h5ad":
        return "h5ad"
    with _opened(path) as file:
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


def read_h5ad(path: Path, *, say: Say = silent) -> AnnData:
    """Return an ``.h5ad`` file as it is, counts as CSR; raises ``DataError``."""
    import anndata

    del say
    return _anndata(path, anndata.read_h5ad, ".h5ad file")


def read_zarr(path: Path, *, part: str | None = None, say: Say = silent) -> AnnData:
    """Return a zarr folder written by anndata, or one modality of one written by mudata."""
    del say
    import anndata

    if (path / "mod").is_dir():
        modalities = sorted(one.name for one in (path / "mod").iterdir() if one.is_dir())
        chosen = _choose(path, modalities, part)
        import mudata

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _csr(_guard(path, mudata.read_zarr, "zarr folder").mod[chosen])
    if part is not None:
        raise DataError(f"{path}: part={part}: the folder has one part only; leave it out.")
    return _anndata(path, anndata.read_zarr, "zarr folder")


def read_h5mu(path: Path, *, part: str | None = None, say: Say = silent) -> AnnData:
    """Return one modality of an ``.h5mu`` file, with the columns that all modalities share.

    ``part`` names the modality; it may be left out if there is one only. Raises ``DataError``
    for a name that is not there, or if there are several and none is named.
    """
    import mudata
    from anndata.io import read_elem

    del say
    with _opened(path) as file:
        chosen = _choose(path, sorted(file["mod"]), part)
        shared = _guard(path, lambda _: read_elem(file["obs"]), ".h5mu file")
    adata = _anndata(path, lambda one: mudata.read_h5ad(one, mod=chosen), ".h5mu file")
    for name in shared.columns:
        # A column "rna:type" is a copy of the modality's own column.
        if ":" not in str(name) and name not in adata.obs:
            adata.obs[name] = shared[name].reindex(adata.obs_names)
    return adata


def _choose(path: Path, modalities: list[str], part: str | None) -> str:
    there = ", ".join(modalities)
    if part is None:
        if len(modalities) == 1:
            return modalities[0]
        raise DataError(f"{path}: holds {there}; say which one with part=, as in part=rna.")
    if part not in modalities:
        raise DataError(f"{path}: no part '{part}'; parts there: {there}.")
    return part


def read_10x_h5(path: Path, *, part: str | None = None, say: Say = silent) -> AnnData:
    """Return counts (CSR float32, cells × features) of a Cell Ranger ``.h5``, version 2 or 3.

    Names, ``var["gene_ids"]``, ``var["feature_types"]`` and ``part`` as for the folder
    (:func:`read_10x_mtx`). Raises ``DataError`` if it cannot be read.
    """
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = _guard(path, lambda one: sc.read_10x_h5(one, gex_only=False), "10x .h5 file")
    adata = _csr(pick_features(read, part, path, say))
    unique_features(path, adata, say)
    return adata


def read_loom(path: Path, *, say: Say = silent) -> AnnData:
    """Return a loom file: ``/matrix`` is features × cells, read in blocks into CSR float32.

    Names come from the attributes CellID and Gene (or usual others), identifiers of genes go to
    ``var["gene_ids"]``, other attributes of one dimension to ``obs`` and ``var``.
    """
    from anndata import AnnData

    def read(one: Path) -> AnnData:
        with _opened(one) as file:
            obs = _attributes(one, file["col_attrs"], _CELL_NAMES, "cell", say)
            var = _attributes(one, file["row_attrs"], _FEATURE_NAMES, "feature", say)
            counts = _sparse(one, file["matrix"]).T.tocsr()
            adata = AnnData(counts, obs=obs, var=var)
            for name, layer in file.get("layers", {}).items():
                adata.layers[name] = _sparse(one, layer).T.tocsr()
        return adata

    adata = _guard(path, read, "loom file")
    unique_features(path, adata, say)
    return adata


def read_xy_h5(path: Path, *, say: Say = silent) -> AnnData:
    """Return counts ``X`` (cells × features) and labels ``Y`` of an ``.h5`` of clustering papers.

    Labels go to ``obs["cell_type"]`` as text, whole numbers without a point. Names come from
    usual datasets if there are any (``gene_names``, ``barcodes``, ...), else cells and features
    are numbered from 1. ``X`` is turned if only its second axis is as long as ``Y``, which is
    said. Raises ``DataError`` if neither is.
    """
    import pandas as pd
    from anndata import AnnData

    def read(one: Path) -> AnnData:
        with _opened(one) as file:
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
                say(f"{one}: X has cells in columns (Y has {len(labels)} labels); turned")
            cells = _names(file, _CELL_NAMES, counts.shape[0], "cell")
            features = _names(file, _FEATURE_NAMES, counts.shape[1], "feature")
        return AnnData(
            counts,
            obs=pd.DataFrame({"cell_type": labels}, index=cells),
            var=pd.DataFrame(index=features),
        )

    adata = _guard(path, read, ".h5 file with X and Y")
    unique_features(path, adata, say)
    return adata


def _attributes(path: Path, group: Any, names: tuple[str, ...], what: str, say: Say) -> Any:
    import pandas as pd

    values = {name: one[()] for name, one in group.items()}
    wide = [name for name, one in values.items() if one.ndim != 1]
    if wide:
        say(f"{path}: {len(wide)} attributes of more than one column were left out ({wide[0]})")
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
    import numpy as np
    import scipy.sparse as sp

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


def _anndata(path: Path, read: Callable[[Path], AnnData], what: str) -> AnnData:
    return _csr(_guard(path, read, what))


def _csr(adata: AnnData) -> AnnData:
    """Make X CSR where it holds numbers; other values are left for the checks to name."""
    import numpy as np
    import scipy.sparse as sp

    if sp.issparse(adata.X):
        adata.X = sp.csr_matrix(adata.X)
    elif adata.X is not None and np.asarray(adata.X).dtype.kind in "biuf":
        adata.X = sp.csr_matrix(np.asarray(adata.X))
    return adata


def _guard(path: Path, read: Callable[[Path], Any], what: str) -> Any:
    """Turn whatever a library raises into one line."""
    try:
        return read(path)
    except DataError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a readable {what}: {text}") from None


def _opened(path: Path) -> Any:
    import h5py

    return _guard(path, lambda one: h5py.File(one, "r"), "HDF5 file")
