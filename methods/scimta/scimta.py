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

    ``preset=faithful`` follows the published program for the cells: preparation, graph,
    losses, weights and schedule are those of :class:`.ScMGCA`, corrected as there.
    Genes, imputation and communities, of which neither code nor weights are published, are those
    of the default. Genes are ranked on cells scaled to 10,000 counts, since the imputation is of
    these values.

    The default has the published target, z-scores: of four settings of graph and target it was the
    best on 500 cells each of zeisel_200genes, mouse_bladder_2100, kang_ifnb and three simulations
    with one dominant type. Held-out counts are then predicted by the means of a cell's neighbours
    in the embedding.

    There is no code for new cells, as in :class:`.ScMGCA`. ``impute_mask`` separates zeros that
    stay from filled zeros. Imputed values are a result and no input. Genes without a correlation
    beyond chance, or in modules of fewer than ``min_community`` genes, belong to no community.
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

    def impute_mask(self, data: AnnData) -> np.ndarray:
        """Return what each entry of the imputed matrix is, (cells, genes), int8.

        0: a zero that stays, taken as biological; 1: observed; 2: a zero that was filled, taken as
        a technical dropout. With ``denoiser=none`` every zero is filled. Raises ``DataError`` for
        other cells than those of the fit.
        """
        return self.fitted.impute_mask(data)
