"""Files of anndata and mudata: h5ad, zarr, h5mu."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import scipy.sparse as sp
import zarr

from bench.contract import RNA
from bench.errors import DataError
from bench.messages import log_note, option_hint

from .elements import read_anndata, read_matrix, read_table
from .guards import open_hdf5, read_errors, require_array_memory

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

_PART_NAMES = {
    "rna": ("rna", "gex", "geneexpression", "genes", "transcriptome"),
    "atac": ("atac", "peaks", "chromatinaccessibility", "chromatin"),
    "protein": ("protein", "proteins", "prot", "adt", "antibodycapture"),
}


def read_h5ad(path: Path) -> AnnData:
    """Return an ``.h5ad`` file with its counts as CSR; raises ``DataError``."""
    with read_errors(path, ".h5ad file"), open_hdf5(path) as file:
        require_array_memory(path, file)
        if isinstance(file["obs"], h5py.Group):
            return to_csr(read_anndata(path, file))
        if file["obs"].shape is None:
            raise DataError(
                f"{path}: obs has no names of cells; set adata.obs_names and write the file "
                "again.",
                code="missing_names",
            )
        if isinstance(file.get("X"), h5py.Group):  # anndata before 0.7
            height, width = (int(size) for size in file["X"].attrs["h5sparse_shape"])
            read_matrix(path, file["X"], "X", (height, width))  # for its checks
    with read_errors(path, ".h5ad file"):
        return to_csr(anndata.read_h5ad(path))


def read_zarr(path: Path, *, part: str | None = None) -> AnnData:
    """Return a zarr folder of anndata, or the modality ``part`` of one of mudata, as CSR.

    Raises ``DataError`` like :func:`read_h5mu`.
    """
    with read_errors(path, "zarr folder"):
        _refuse_pickles(path)
        group = zarr.open_group(str(path), mode="r")
        if "mod" not in group:
            refuse_part(path, part)
            require_array_memory(path, group)
            return to_csr(read_anndata(path, group))
        return _read_modality(path, group, part)


def read_h5mu(path: Path, *, part: str | None = None) -> AnnData:
    """Return one modality of an ``.h5mu`` file, with the columns that all modalities share.

    ``part`` names the modality; the default is ``rna`` if there is one. Raises ``DataError`` for
    an unknown name, and for several modalities without a name.
    """
    with read_errors(path, ".h5mu file"), open_hdf5(path) as file:
        return _read_modality(path, file, part)


def _read_modality(path: Path, group: Any, part: str | None) -> AnnData:
    name = _find_part(path, sorted(group["mod"]), part)
    require_array_memory(path, group["mod"][name])
    shared = read_table(path, group["obs"], "obs", [])
    return _add_shared_columns(to_csr(read_anndata(path, group["mod"][name])), shared)


def _refuse_pickles(path: Path) -> None:
    """Raise ``DataError`` if an array is stored by pickle, which can run code when it is read."""
    for name in (".zarray", ".zmetadata", "zarr.json"):
        for file in path.rglob(name):
            if re.search(rb'"(id|name)"\s*:\s*"[^"]*pickle', file.read_bytes()):
                raise DataError(
                    f"{path}: {file.relative_to(path)} stores Python objects by pickle, which "
                    "could run code; write the file again by a newer anndata.",
                    code="unsafe_file",
                )


def list_modalities(path: Path) -> set[str]:
    """Return ``rna``, ``atac``, ``protein`` or the name of each modality; raises ``DataError``."""
    with read_errors(path, ".h5mu file"), open_hdf5(path) as file:
        return {_kind_of_part(name) for name in file["mod"]}


def to_csr(adata: AnnData) -> AnnData:
    """Make a numeric X CSR; the checks report any other X."""
    matrix: Any = adata.X
    if sp.issparse(matrix):
        adata.X = sp.csr_matrix(matrix)
    elif matrix is not None and np.asarray(matrix).dtype.kind in "biuf":
        adata.X = sp.csr_matrix(np.asarray(matrix))
    return adata


def _kind_of_part(name: str) -> str:
    """Return ``rna``, ``atac`` or ``protein`` for the usual names of modalities, else the name."""
    plain = re.sub(r"[^a-z]", "", name.lower()).removeprefix("sc")
    return next((kind for kind, names in _PART_NAMES.items() if plain in names), name)


def _find_part(path: Path, modalities: list[str], part: str | None) -> str:
    """Return the modality of this name, in any usual spelling; the default is ``rna``."""
    names, kinds = ", ".join(modalities), {_kind_of_part(name): name for name in modalities}
    if part is None:
        if len(modalities) == 1:
            return modalities[0]
        if RNA not in kinds:
            raise DataError(
                f"{path}: holds {names}; choose one, as in "
                f"{option_hint(path, part=modalities[0])}.",
                code="ambiguous_part",
            )
        log_note(
            f"{path}: holds {names}; took {kinds[RNA]}; for another, "
            f"{option_hint(path, part='NAME')}"
        )
        return kinds[RNA]
    found = part if part in modalities else kinds.get(_kind_of_part(part))
    if found is None:
        raise DataError(f"{path}: no part '{part}'; its parts: {names}.", code="unknown_part")
    return found


def refuse_part(path: Path, part: str | None) -> None:
    """Raise ``DataError`` if ``part`` is given for data of a single part."""
    if part is not None:
        raise DataError(
            f"{path}: part={part}: the data have one part only; leave it out.", code="unknown_part"
        )


def _add_shared_columns(adata: AnnData, shared: pd.DataFrame) -> AnnData:
    """Add the columns shared by all modalities, without repeats of a part's own (``rna:type``)."""
    for name in shared.columns:
        if ":" not in str(name) and name not in adata.obs:
            adata.obs[name] = shared[name].reindex(adata.obs_names)
    return adata
