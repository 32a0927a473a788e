"""Consensus non-negative matrix factorisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bench.contract import Context, Fit, Search

from ._fitted_arrays import ArrayState
from ._preparations import CountFactors

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class ConsensusNMF(ArrayState, CountFactors):
    """Gene programmes that many factorisations agree on (Kotliar et al. 2019).

    Counts of variable genes (``seurat_v3``), each of unit variance and not centred, are factorised
    by ``nmf`` from many random starts. Programmes far from their neighbours are dropped, k-means
    groups the others, and the median of a group is a consensus programme. The embedding is the
    usage of programmes, rows of sum 1. ``preset=faithful`` has the defaults of the authors'
    program (cnmf 1.7): 100 starts and multiplicative updates.
    """

    name = "cnmf"
    summary = "consensus of many non-negative matrix factorisations"
    reference = "Kotliar et al. 2019, eLife 8:e43803, doi 10.7554/eLife.43803"

    class Params(CountFactors.Params):
        """Parameters of replicates and consensus."""

        presets: ClassVar = {
            "quick": {"n_replicates": 5, "max_iter": 100},
            "faithful": {"n_replicates": 100, "solver": "mu", "max_iter": 1000},
        }

        n_components: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="number of programmes (at most cells or genes)"
        )
        n_replicates: int = Field(10, ge=2, description="factorisations from random starts")
        density_threshold: Annotated[float, Search(0.1, 0.5)] = Field(
            0.5, gt=0, description="largest mean distance to near programmes that is no outlier"
        )
        neighbourhood: float = Field(
            0.3, gt=0, le=1, description="near programmes of one, as a share of the replicates"
        )
        solver: Literal["cd", "mu"] = Field("cd", description="solver of the replicates")
        max_iter: int = Field(200, ge=1, description="most iterations of a replicate")
        tol: float = Field(1e-4, ge=0, description="relative improvement at which they stop")

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the usage of each programme, (cells, n_components)."""
        from ._consensus import fit_consensus

        arrays, fit = fit_consensus(data, self.params, context)
        self.store_arrays(arrays, data)
        return fit

    def transform(self, data: AnnData) -> np.ndarray:
        from ._consensus import usages

        return usages(data.X, self.arrays_for(data))
