"""Reader of the file with genes, proteins and labels that the authors of scMDC distribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd

from bench.errors import DataError

from ._labelled_counts import labelled_counts

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


def read_genes_and_proteins(path: Path) -> AnnData:
    """Return the counts (CSR) with ``obs["cell_type"]`` and ``obsm["ADT"]`` (a table).

    Raises ``DataError`` if the file is of another layout.
    """
    try:
        with h5py.File(path) as file:
            genes, proteins, labels = (file[key][()] for key in ("X1", "X2", "Y"))
            gene_names = _names(file, "Genes", "gene", genes.shape[1])
            protein_names = _names(file, "ADT", "protein", proteins.shape[1])
    except (OSError, KeyError, IndexError) as error:
        raise DataError(
            f"{path}: {error}; expected an HDF5 file with X1 (cells × genes), X2 (cells × "
            "proteins) and Y (labels); fetch it again.",
            code="unreadable",
        ) from None
    cells = [f"cell_{number}" for number in range(len(genes))]
    adata = labelled_counts(
        genes,
        cells=cells,
        features=gene_names,
        labels=_as_text(labels.ravel()),
        label_key="cell_type",
        where=str(path),
    )
    if len(proteins) != len(cells):
        raise DataError(
            f"{path}: {len(cells)} cells in X1, {len(proteins)} in X2; expected the same cells; "
            "fetch it again.",
            code="size_mismatch",
        )
    table = pd.DataFrame(proteins, index=cells, columns=protein_names)
    adata.obsm["ADT"] = table.loc[adata.obs_names]
    return adata


def _names(file: h5py.File, key: str, noun: str, size: int) -> list[str]:
    """Return the names in the file, else ``gene_0``, ``gene_1``, ..."""
    names: list[str] = list(_as_text(file[key][()].ravel())) if key in file else []
    return names if len(names) == size else [f"{noun}_{number}" for number in range(size)]


def _as_text(values: Any) -> np.ndarray:
    """Return strings; whole numbers without a decimal point."""
    if values.dtype.kind == "f" and np.all(values == np.rint(values)):
        values = values.astype(np.int64)
    if values.dtype.kind in "SO":
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], object)
    return values.astype(str).astype(object)
