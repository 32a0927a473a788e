"""scIMTA as a method of the harness: cells, genes and imputation together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .graph_autoencoder import GraphAutoencoder
from .params import ScIMTAParams

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from bench.contract import DatasetInfo, Recipe

    from .joint_fit import JointFit


class ScIMTA(GraphAutoencoder):
    """Graph autoencoders of cells and genes, trained together, with imputation (Yu et al. 2025).

    The model of the publication; its public code is that of scMGCA and has no genes. Parts that
    the abstract and figure leave open are published techniques: a gene graph of correlated Pearson
    residuals; a graph autoencoder of the genes, whose codes times those of the cells enter the
    counts' likelihood; communities of genes that train themselves as the cells' clusters do, with
    unassigned genes; ALRA for the imputation, or an autoencoder with its thresholds. The objective
    is γ (cell graph + gene graph) + (1 - γ) (counts + restored values) plus both divergences.

    The imputation is a result and no input of graphs or encoder; the reconstruction of log values
    has no loss at imputed zeros. Genes without a correlation beyond chance, or in modules of fewer
    than ``min_community`` genes, belong to no community.
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
