"""scCrossRec as a method of the harness."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bench.contract import (
    MULTIOME,
    Context,
    DatasetInfo,
    Fit,
    Method,
    PairedInfo,
    PairedRecipe,
    Recipe,
)

from .._features import check_features
from .params import ScCrossRecParameters

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from .model import FittedModel


class ScCrossRec(Method):
    """Matching, translation and links of RNA and chromatin on graphs of genes and peaks.

    One graph is one cell, or the RNA of one and the chromatin of another. Its nodes are the genes
    and peaks that are not zero, and genes attend to peaks of their chromosome. A network pools
    both and decides whether they are of one cell. No tensor of the size genes × peaks is needed:
    the peaks that a gene selects are found chromosome by chromosome, and only those are computed
    again with gradients. Outputs and gradients equal those of the dense form.

    ``preset=faithful`` is the published network: scores of other chromosomes multiplied by 0, a
    softmax of the ten largest sigmoids cut at 0.8, and a translation that counts sigmoids above
    0.8. Corrected in it: cells, not graphs, are split, so that no held-out cell was trained on;
    seeds are used; a graph with fewer than ten peaks uses those it has; static features come from
    the training counts. Wrong pairs are with any other cell. The published ones are with another
    type, which shows the labels to the fit (``neg_mode=label_easy``, marked as using labels).

    The default differs. The published weights lie between 0.083 and 0.155 whatever the scores, and
    pools of cell types solve the matching without any link, so neither shows which peak regulates
    a gene. Two things are learned first: the states that both parts of a cell share, mixtures of
    count profiles (:mod:`.state_mixture`), and gates of pairs (:mod:`.gate_links`), from the
    expression that open peaks explain in the same cell beyond its state; the decrease of the
    gates' prior with the distance from the TSS is learned too. Gates are added to the scaled
    scores of the attention, a masked softmax without threshold.

    The matching weighs the log ratios of states and links on cells left out in turn
    (:mod:`.evidence`). The network joins if it helps on held-out cells, which it does not on the
    simulation. The translation is the expected expression, with slopes calibrated on held-out
    cells. The embedding is the profile expected from the states. The pools of the network
    (``embedding=pools``) hardly differ from random maps of a few loadings, which clustered worse
    than PCA. Links are the gates, which do not grow with the accessibility of a peak. Effects are
    positive only: silencers are not found. Sizes of mixtures, shrinkage and the cap on fragments
    were chosen on draws 10 to 12 of ``sim_multiome[preset=links]``; other draws are reported.

    Also: log-normalised expression, binary peaks, embeddings that start as loadings, pools
    weighted by value, several graphs an update, early stopping.
    """

    name = "sccrossrec"
    summary = "graphs of genes and peaks: matching, translation and links of RNA and chromatin"
    reference = (
        "wangxiaotang0906/scCrossRec (program; no paper found); after Bi2Former, OpenReview "
        "swf3Hbc3Qe"
    )
    modalities = frozenset({MULTIOME})
    family = "autoencoder"
    cost = "heavy"
    gpu = True
    loss_measures = (
        "validation", "neg_mode", "neg_ratio", "links", "normalize", "n_top_genes", "n_top_peaks",
        "translation_target",
    )  # fmt: skip

    class Params(ScCrossRecParameters):
        """Parameters of scCrossRec."""

    params: Params
    _model: FittedModel

    def needs(self) -> frozenset[str]:
        """Return labels if wrong pairs are chosen by them."""
        return frozenset({"labels"} if self.params.neg_mode.startswith("label") else ())

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return variable genes, log-normalised, and variable peaks, binary; or counts of both."""
        p, parts = self.params, cast("PairedInfo", info).parts
        genes, peaks = parts["rna"].n_features, parts["atac"].n_features
        n_genes = p.n_top_genes if genes > p.n_top_genes else None
        n_peaks = p.n_top_peaks if peaks > p.n_top_peaks else None
        if not p.normalize:
            return PairedRecipe(
                rna=Recipe(min_cells=2, n_top_features=n_genes),
                atac=Recipe(min_cells=2, n_top_features=n_peaks),
            )
        return PairedRecipe(
            rna=Recipe(min_cells=2, target_sum=1e4, log1p=True, n_top_features=n_genes),
            atac=Recipe(min_cells=2, binarize=True, n_top_features=n_peaks),
        )

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the coordinates of each cell among the states, or its pools, (cells, dimensions).

        Table ``links``: the strongest pairs, gene, peak and weight. Curves: ``links_residual``,
        then ``loss`` and, of held-out cells, loss and accuracy of the matching.
        Raises ``DataError`` where chromosomes, or a required sequence, are missing.
        """
        from .fitting import fit

        self._model, result = fit(data, self.params, context)
        return result

    def transform(self, data: MuData) -> np.ndarray:
        """Return the embedding of new cells."""
        self._check(data)
        return self._model.embed(data)

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the log odds that RNA and ATAC of rows are of one cell, (pairs,)."""
        self._check(data)
        return self._model.match(data, rna_cells, atac_cells)

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return a score that each gene is detected, (cells, genes), from the peaks alone.

        ``rna``, if given, helps to infer the state of the cell (``links=evidence``).
        """
        check_features(self._model.features["atac"], data, self.name)
        if rna is not None:
            check_features(self._model.features["rna"], rna, self.name)
        return self._model.translate(data, rna)

    def links(self, data: MuData) -> pd.DataFrame:
        """Return ``gene``, ``peak`` and ``weight`` of the pairs with a weight above 0.001.

        Of peaks open and genes on in any of the cells. Weights are the learned gates; without
        gates, the mean attention over the cells.
        """
        self._check(data)
        return self._model.link_table(data)

    def save(self, path: Path) -> None:
        """Write the fitted state into the folder ``path``."""
        self._model.save(path / "model.pt")

    def load(self, path: Path) -> None:
        """Read the fitted state from the folder ``path``; the parameters must be the same."""
        from .model import FittedModel

        self._model = FittedModel.load(path / "model.pt", self.params)

    def _check(self, data: MuData) -> None:
        for part, features in self._model.features.items():
            check_features(features, data[part], self.name)
