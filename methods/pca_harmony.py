"""Harmony on principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._preparations import BatchCorrection

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class Harmony(BatchCorrection):
    """Principal components with batches moved together in soft clusters (Korsunsky et al. 2019).

    Computed by harmonypy. Rounds end at the tolerance of the publication: that of harmonypy 2, a
    hundred times larger, ends after one where much is left to correct. ``preset=faithful`` has its
    fixed penalty of corrections, too. Clusters: one for 30 cells, at most 100.
    """

    name = "pca_harmony"
    summary = "principal components corrected for batches by Harmony"
    reference = "Korsunsky et al. 2019, Nature Methods 16:1289, doi 10.1038/s41592-019-0619-0"
    requires = ("harmonypy",)
    install = "pip install 'aebench[integration]'"

    class Params(BatchCorrection.Params):
        """Parameters of components and correction."""

        presets: ClassVar = {"faithful": {"ridge": 1.0}}

        theta: Annotated[float, Search(0.5, 4.0)] = Field(
            2.0, ge=0, description="penalty of clusters that hold few batches"
        )
        sigma: Annotated[float, Search(0.05, 0.3)] = Field(
            0.1, gt=0, description="width of the soft clusters"
        )
        ridge: float = Field(
            0.0, ge=0, description="penalty of corrections; 0: estimated in each cluster"
        )
        max_iter: int = Field(10, ge=1, description="most rounds of clustering and correction")
        tol: float = Field(1e-4, gt=0, description="relative gain at which rounds end")

    params: Params

    def correct(self, data: AnnData, batch: np.ndarray, context: Context) -> Fit:
        from ._corrections import harmony

        scores, seed = self.components(data.X, context), derive_seed(context.seed, "harmony")
        return Fit(harmony(scores, batch, self.params, seed, context.threads))
