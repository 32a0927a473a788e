"""Spectral embedding of cosine similarities, as in SnapATAC2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import ATAC, RNA, Context, DatasetInfo, Fit, Method, Parameters, Recipe, Search

from ._fitted_arrays import ArrayState
from ._preparations import logarithms_or_peaks

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class SpectralEmbedding(ArrayState, Method):
    """Eigenvectors of the graph Laplacian of cosine similarities, matrix-free (Zhang et al. 2024).

    Cells are binarised peaks weighted by log(n / (1 + count)). The similarities are never
    computed, only their products with vectors. Eigenvectors are multiplied by the root of their
    eigenvalue, so that the number of them matters little. A new cell is embedded as if it were one
    of the fit. Genes: logarithms of variable genes instead of peaks.
    """

    name = "spectral"
    summary = "spectral embedding of cosine similarities (SnapATAC2)"
    reference = "Zhang et al. 2024, Nature Methods 21:217, doi 10.1038/s41592-023-02139-9"
    modalities = frozenset({RNA, ATAC})
    family = "baseline"

    class Params(Parameters):
        """Parameters of the embedding."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            30, ge=1, description="eigenvectors (at most cells minus two)"
        )
        n_top_genes: int = Field(2000, ge=10, description="RNA: number of variable genes")
        max_share: float = Field(
            0.9, gt=0, le=1, description="chromatin: peaks open in a smaller share of cells"
        )

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return binarised peaks, or logarithms of variable genes."""
        return logarithms_or_peaks(info, self.params.n_top_genes, self.params.max_share)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the weighted eigenvectors, (cells, n_components or fewer)."""
        from ._cosine_laplacian import cosine_spectrum

        arrays = cosine_spectrum(data.X, self.params.n_components, context.seed)
        self.store_arrays(arrays, data)
        return Fit(self.transform(data), n_parameters=int(arrays["map"].size))

    def transform(self, data: AnnData) -> np.ndarray:
        from ._cosine_laplacian import embed

        return embed(data.X, self.arrays_for(data))
