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
import zarr
from anndata.io import read_elem

from bench.errors import DataError

from .guards import read_errors, require_array_memory

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def read_h5ad(path: Path) -> AnnData:
    """Return an ``.h5ad`` file with its counts as CSR; raises ``DataError``."""
    with read_errors(path, ".h5ad file"):
        with h5py.File(path, "r") as file:
            require_array_memory(path, file)
        return to_csr(anndata.read_h5ad(path))


def read_zarr(path: Path, *, part: str | None = None) -> AnnData:
    """Return a zarr folder of anndata, or the modality ``part`` of one of mudata, as CSR.

    Raises ``DataError`` like :func:`read_h5mu`.
    """
    with read_errors(path, "zarr folder"):
        group = zarr.open_group(str(path), mode="r")
        if "mod" not in group:
            refuse_part(path, part)
            require_array_memory(path, group)
            return to_csr(anndata.read_zarr(path))
        part = _find_part(path, sorted(group["mod"]), part)
        require_array_memory(path, group["mod"][part])
        adata = to_csr(anndata.read_zarr(path / "mod" / part))
        return _add_shared_columns(adata, read_elem(group["obs"]))


def read_h5mu(path: Path, *, part: str | None = None) -> AnnData:
    """Return one modality of an ``.h5mu`` file, with the columns that all modalities share.

    ``part`` names the modality; a file with a single one needs no name. Raises ``DataError`` for
    an unknown name, and for several modalities without a name.
    """
    with read_errors(path, ".h5mu file"):
        with h5py.File(path, "r") as file:
            part = _find_part(path, sorted(file["mod"]), part)
            require_array_memory(path, file["mod"][part])
            shared = read_elem(file["obs"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mudata announces changes of its defaults
            adata = mudata.read_h5ad(path, mod=part)
        return _add_shared_columns(to_csr(adata), shared)


def list_modalities(path: Path) -> list[str]:
    """Return the modalities of an ``.h5mu`` file; raises ``DataError`` for any other file."""
    with read_errors(path, ".h5mu file"), h5py.File(path, "r") as file:
        return sorted(file["mod"])


def to_csr(adata: AnnData) -> AnnData:
    """Make a numeric X CSR; the checks report any other X."""
    matrix: Any = adata.X
    if sp.issparse(matrix):
        adata.X = sp.csr_matrix(matrix)
    elif matrix is not None and np.asarray(matrix).dtype.kind in "biuf":
        adata.X = sp.csr_matrix(np.asarray(matrix))
    return adata


def _find_part(path: Path, modalities: list[str], part: str | None) -> str:
    names = ", ".join(modalities)
    if part is None:
        if len(modalities) == 1:
            return modalities[0]
        raise DataError(
            f"{path}: holds {names}; choose one with part=, as in part=rna.", code="ambiguous_part"
        )
    if part not in modalities:
        raise DataError(f"{path}: no part '{part}'; its parts: {names}.", code="unknown_part")
    return part


def refuse_part(path: Path, part: str | None) -> None:
    """Raise ``DataError`` for a part of data that have a single one."""
    if part is not None:
        raise DataError(
            f"{path}: part={part}: the data have one part only; leave it out.", code="unknown_part"
        )


def _add_shared_columns(adata: AnnData, shared: pd.DataFrame) -> AnnData:
    """Add the columns of all modalities; one named ``rna:type`` repeats the modality's own."""
    for name in shared.columns:
        if ":" not in str(name) and name not in adata.obs:
            adata.obs[name] = shared[name].reindex(adata.obs_names)
    return adata
