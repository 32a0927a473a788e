"""Scanorama."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._preparations import BatchCorrection

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class Scanorama(BatchCorrection):
    """Batches stitched by mutual nearest neighbours (Hie et al. 2019), by its defaults.

    It scales cells to unit length and reduces them by its own randomised decomposition.
    """

    name = "scanorama"
    summary = "batches stitched by mutual nearest neighbours"
    reference = (
        "Hie, Bryson and Berger 2019, Nature Biotechnology 37:685, doi 10.1038/s41587-019-0113-3"
    )
    requires = ("scanorama",)
    install = "pip install 'aebench[integration]'"

    class Params(BatchCorrection.Params):
        """Parameters of the correction."""

        n_components: Annotated[int, Search(20, 200, log=True)] = Field(
            100, ge=1, description="number of components (at most cells or features minus one)"
        )
        scale: bool = Field(
            False, description="RNA: scale genes to unit variance; off: logarithms"
        )
        n_neighbors: Annotated[int, Search(10, 50, log=True)] = Field(
            20, ge=1, description="nearest neighbours in another batch"
        )
        sigma: Annotated[float, Search(5.0, 50.0, log=True)] = Field(
            15.0, gt=0, description="width of the smoothing of the correction"
        )
        alpha: float = Field(
            0.1, ge=0, le=1, description="least share of matching cells of two batches to stitch"
        )

    params: Params

    def correct(self, data: AnnData, batch: np.ndarray, context: Context) -> Fit:
        from ._corrections import stitch

        return Fit(stitch(data.X, batch, self.params, derive_seed(context.seed, "scanorama")))
