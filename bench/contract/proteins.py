"""proteins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


PROTEINS = "ADT"
"""Where counts of surface proteins (antibody-derived tags) are: ``obsm["ADT"]``."""


def protein_counts(adata: AnnData) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Return ``obsm["ADT"]`` (cells × proteins, float32) and the names of its columns."""
    import numpy as np

    if PROTEINS not in adata.obsm:
        return None
    table = adata.obsm[PROTEINS]
    dense = table.toarray() if hasattr(table, "toarray") else table
    values = np.asarray(dense, dtype=np.float32)
    columns = getattr(table, "columns", [f"protein{n + 1}" for n in range(values.shape[1])])
    return values, tuple(str(name) for name in columns)
