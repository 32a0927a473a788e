"""Files of anndata and mudata: h5ad, zarr, h5mu."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import mudata
import numpy as np
import scipy.sparse as sp
from anndata.io import read_elem

from bench.errors import DataError

from .memory_guard import guard, require_arrays

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def read_h5ad(path: Path) -> AnnData:
    """Return an ``.h5ad`` file as it is, counts as CSR; raises ``DataError``."""

    def read(one: Path) -> AnnData:
        with h5py.File(one, "r") as file:
            _require(one, file)
        return to_csr(anndata.read_h5ad(one))

    adata: AnnData = guard(path, read, ".h5ad file")
    return adata


def read_zarr(path: Path, *, part: str | None = None) -> AnnData:
    """Return a zarr folder of anndata, or the modality ``part`` of one of mudata, as CSR.

    Raises ``DataError`` as :func:`read_h5mu` does.
    """
    import zarr

    def read(one: Path) -> AnnData:
        group = zarr.open_group(str(one), mode="r")
        if "mod" not in group:
            no_part(one, part)
            _require(one, group)
            return to_csr(anndata.read_zarr(one))
        chosen = _choose(one, sorted(group["mod"]), part)
        _require(one, group["mod"][chosen])
        adata = to_csr(anndata.read_zarr(one / "mod" / chosen))
        return _with_shared(adata, anndata.io.read_elem(group["obs"]))

    adata: AnnData = guard(path, read, "zarr folder")
    return adata


def read_h5mu(path: Path, *, part: str | None = None) -> AnnData:
    """Return one modality of an ``.h5mu`` file, with the columns that all modalities share.

    ``part`` names the modality; it may be left out if there is one only. Raises ``DataError``
    for a name that is not there, or if there are several and none is named.
    """

    def read(one: Path) -> AnnData:
        with h5py.File(one, "r") as file:
            chosen = _choose(one, sorted(file["mod"]), part)
            _require(one, file["mod"][chosen])
            shared = read_elem(file["obs"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mudata announces changes of its defaults
            adata = mudata.read_h5ad(one, mod=chosen)
        return _with_shared(to_csr(adata), shared)

    adata: AnnData = guard(path, read, ".h5mu file")
    return adata


def modalities(path: Path) -> list[str]:
    """Return the modalities in an ``.h5mu`` file; raises ``DataError`` if it is none."""

    def names(one: Path) -> list[str]:
        with h5py.File(one, "r") as file:
            return sorted(file["mod"])

    found: list[str] = guard(path, names, ".h5mu file")
    return found


def to_csr(adata: AnnData) -> AnnData:
    """Make X CSR where it holds numbers; other values are left for the checks to name."""
    matrix: Any = adata.X
    if sp.issparse(matrix):
        adata.X = sp.csr_matrix(matrix)
    elif matrix is not None and np.asarray(matrix).dtype.kind in "biuf":
        adata.X = sp.csr_matrix(np.asarray(matrix))
    return adata


def _require(path: Path, group: Any) -> None:
    dense = "X" in group and hasattr(group["X"], "shape")
    require_arrays(path, group, copied=("X",) if dense else ())


def _choose(path: Path, modalities: list[str], part: str | None) -> str:
    there = ", ".join(modalities)
    if part is None:
        if len(modalities) == 1:
            return modalities[0]
        raise DataError(f"{path}: holds {there}; say which one with part=, as in part=rna.")
    if part not in modalities:
        raise DataError(f"{path}: no part '{part}'; parts there: {there}.")
    return part


def no_part(path: Path, part: str | None) -> None:
    """Raise ``DataError`` if a part is asked of data that have one only."""
    if part is not None:
        raise DataError(f"{path}: part={part}: the data have one part only; leave it out.")


def _with_shared(adata: AnnData, shared: pd.DataFrame) -> AnnData:
    """Add the columns of all modalities; one named ``rna:type`` repeats the modality's own."""
    for name in shared.columns:
        if ":" not in str(name) and name not in adata.obs:
            adata.obs[name] = shared[name].reindex(adata.obs_names)
    return adata
