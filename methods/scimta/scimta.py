"""scIMTA: cells, genes and imputation together."""

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

    The model of the publication, whose public code is that of scMGCA and has no genes. What the
    abstract and figure leave open is filled by published techniques. The gene graph has correlated
    Pearson residuals. Gene codes times cell codes enter the likelihood of the counts. Communities
    of genes train themselves like clusters of cells. ALRA, or an autoencoder with its thresholds,
    imputes. The objective is γ (cell graph + gene graph) + (1 - γ) (counts + restored values) plus
    both divergences.

    Imputed values are a result and no input. Genes without a correlation beyond chance, or in
    modules of fewer than ``min_community`` genes, belong to no community.
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
        """Return unscaled values, because imputation must see zeros."""
        return self.unscaled_recipe(info)

    def new_fit(self) -> JointFit:
        from .joint_fit import JointFit

        return JointFit(self.params, self.name)

    def impute(self, data: AnnData) -> np.ndarray:
        """Return imputed log values of the cells of the fit, (cells, genes).

        Expected counts with ``denoiser=none``. Raises ``DataError`` for other cells.
        """
        return self.fitted.impute(data)
