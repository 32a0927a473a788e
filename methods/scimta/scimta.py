"""scIMTA as a method of the harness: cells, genes and imputation together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import DatasetInfo, Recipe

from .graph_autoencoder import GraphAutoencoder
from .params import ScIMTAParams

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from .joint_fit import JointFit


class ScIMTA(GraphAutoencoder):
    """Cells and genes as two graphs, explained together, with imputation (Yu et al. 2025).

    What the publication describes; its public code is :class:`.method.ScMGCA` and holds no genes.
    Every part the abstract and figure leave open is filled by a published technique: a gene graph
    of correlated Pearson residuals; a graph autoencoder of the genes whose codes meet those of the
    cells in the counts' likelihood; communities of genes that sharpen themselves as the cells'
    clusters do, with genes that belong to none; ALRA for the imputation, or an autoencoder under
    its thresholds. The objective is γ (cell graph + gene graph) + (1 - γ) (counts + restored
    values) plus both divergences.

    The imputation neither reaches the graphs nor the encoder: it is a result, and tells which
    zeros the reconstruction of log values must not be held to. Genes without a correlation beyond
    chance, or in modules of fewer than ``min_community`` genes, take no part in communities.
    """

    name = "scimta"
    summary = "graphs of cells and genes learned together, imputation, gene communities"
    reference = (
        "Yu et al. 2025, Interdisciplinary Sciences: Computational Life Sciences, "
        "doi 10.1007/s12539-025-00765-9"
    )

    class Params(ScIMTAParams):
        """Parameters of scIMTA."""

    params: Params
    fitted: JointFit

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised variable genes, not scaled: imputation must see zeros."""
        return self.unscaled_recipe(info)

    def new_fit(self) -> JointFit:
        """Return an unfitted model of cells and genes."""
        from .joint_fit import JointFit

        return JointFit(self.params, self.name)

    def impute(self, data: AnnData) -> np.ndarray:
        """Return the imputed log-normalised values of the cells of the fit, (cells, genes).

        Expected counts with ``denoiser=none``. Raises ``DataError`` for other cells.
        """
        return self.fitted.impute(data)
