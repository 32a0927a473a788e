"""ComBat, then principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import Context, Fit

from ._preparations import BatchCorrection

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class ComBat(BatchCorrection):
    """Principal components after ComBat (Johnson et al. 2007), by ``scanpy.pp.combat``.

    Mean and variance of each feature in each batch are shrunk towards those of all features of
    the batch and removed. A batch of one cell has no variance and stays as it is.
    """

    name = "combat"
    summary = "principal components after ComBat's correction of batches"
    reference = (
        "Johnson, Li and Rabinovic 2007, Biostatistics 8:118, doi 10.1093/biostatistics/kxj037"
    )

    def correct(self, data: AnnData, batch: np.ndarray, context: Context) -> Fit:
        return Fit(self.components(_corrected(data.X, batch), context))


def _corrected(values: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """Return the corrected values, dense; constant features stay as they are."""
    import numpy as np
    import scanpy as sc
    from anndata import AnnData

    dense = np.array(values if isinstance(values, np.ndarray) else values.toarray(), np.float64)
    names, sizes = np.unique(batch, return_counts=True)
    rows = np.isin(batch, names[sizes > 1])
    columns = dense[rows].std(axis=0) > 0
    part = AnnData(dense[np.ix_(rows, columns)], obs={"batch": batch[rows]})
    if np.sum(sizes > 1) > 1:
        with np.errstate(divide="ignore", invalid="ignore"):  # genes constant in a batch
            dense[np.ix_(rows, columns)] = sc.pp.combat(part, key="batch", inplace=False)
    return dense
