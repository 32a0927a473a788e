"""Counts of surface proteins that come with a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


PROTEINS = "ADT"
"""Key of ``obsm`` of the counts of surface proteins (antibody-derived tags)."""


def protein_counts(adata: AnnData) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Return the counts of surface proteins, ``None`` if there are none.

    Parameters
    ----------
    adata
        Cells with ``obsm["ADT"]``, a matrix or data frame.

    Returns
    -------
    numpy.ndarray
        Counts, shape (n_cells, n_proteins), float32.
    tuple of str
        Names of the proteins.
    """
    import numpy as np

    if PROTEINS not in adata.obsm:
        return None
    table = adata.obsm[PROTEINS]
    dense = table.toarray() if hasattr(table, "toarray") else table
    values = np.asarray(dense, dtype=np.float32)
    columns = getattr(table, "columns", [f"protein{n + 1}" for n in range(values.shape[1])])
    return values, tuple(str(name) for name in columns)
