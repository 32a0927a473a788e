"""scCrossRec: the method."""

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

from .._fitted_arrays import check_features
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

    A graph holds the nonzero genes of one cell and the nonzero peaks of the same or another cell.
    Genes attend to peaks of their chromosome. A network pools both and decides whether they are of
    one cell. Selected peaks are found chromosome by chromosome, so that no tensor has the size
    genes × peaks; outputs and gradients equal the dense form.

    ``preset=faithful`` is the published network. Scores across chromosomes are multiplied by 0.
    Weights are a softmax of the ten largest sigmoids cut at 0.8, and the translation counts
    sigmoids above 0.8. All genes and peaks are used, counts as they are. The program trains 99
    epochs and keeps the best on held-out cells; here training ends after 5 epochs without a
    better one (``patience=0``: all 99). An epoch takes about 50 ms of a core for each of twice the
    training cells: the 479 of sim_multiome took 8 epochs in 4 minutes. Corrections: cells, not
    graphs, are split, so that no held-out cell was trained on; seeds are used; graphs with fewer
    than ten peaks use all of them; static features come from training counts. A wrong pair joins a
    cell with any other cell. The published one joins cells of two types, which needs labels
    (``neg_mode=label_easy``).

    The default differs. Published weights lie between 0.083 and 0.155 whatever the scores, and
    pools of types match without any link. So neither shows which peak regulates a gene. Here
    states that both parts share (:mod:`.state_mixture`) and gates of pairs (:mod:`.gate_links`)
    are learned first. Gates come from expression that open peaks explain beyond the state; their
    prior decreases with the distance from the TSS. They are added to the scaled scores of a masked
    softmax without threshold. Log ratios of states and links are weighed on cells left out in turn
    (:mod:`.evidence`). The network joins only if it helps on held-out cells, which it does not on
    the simulation.

    The translation is the expected expression, calibrated on held-out cells. The embedding is the
    most likely log profile in the directions in which states differ, with 20 axes of differences
    within states (:mod:`.within_states`); network pools (``embedding=pools``) hardly differ from
    random maps of a few loadings and cluster worse than PCA. Links are gates, which do not grow
    with the accessibility of a peak. Effects are positive: silencers are not found. Sizes of
    mixtures, shrinkage and the cap on fragments were chosen on draws 10 to 12 of
    ``sim_multiome[preset=links]``, the axes on draws 10 and 11; other draws are reported.

    Further differences: log-normalised expression, binary peaks, embeddings that start as
    loadings, pools weighted by value, several graphs an update, early stopping.
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
        """Return ``{"labels"}`` if labels choose wrong pairs."""
        return frozenset({"labels"} if self.params.neg_mode.startswith("label") else ())

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return log-normalised variable genes and binary variable peaks, or counts."""
        p, parts = self.params, cast("PairedInfo", info).parts
        genes, peaks = parts["rna"].n_features, parts["atac"].n_features
        n_genes = p.n_top_genes if genes > p.n_top_genes else None
        n_peaks = p.n_top_peaks if peaks > p.n_top_peaks else None
        if not p.normalize:
            return PairedRecipe(
                rna=Recipe(n_top_features=n_genes), atac=Recipe(n_top_features=n_peaks)
            )
        return PairedRecipe(
            rna=Recipe(min_cells=2, target_sum=1e4, log1p=True, n_top_features=n_genes),
            atac=Recipe(min_cells=2, binarize=True, n_top_features=n_peaks),
        )

    def fit(self, data: MuData, context: Context) -> Fit:
        """Return the coordinates of each cell among the states, or its pools.

        Table ``links``: gene, peak and weight of the strongest pairs. Curves: ``links_residual``,
        then ``loss`` and held-out loss and accuracy. Raises ``DataError`` without chromosomes or a
        required sequence.
        """
        from .fitting import fit

        self._model, result = fit(data, self.params, context)
        return result

    def transform(self, data: MuData) -> np.ndarray:
        self._check(data)
        return self._model.embed(data)

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the log odds that rows are of one cell, (pairs,)."""
        self._check(data)
        return self._model.match(data, rna_cells, atac_cells)

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return a score that each gene is detected, (cells, genes).

        ``rna`` helps to infer the state of the cell (``links=evidence``).
        """
        check_features(self._model.features["atac"], data, self.name)
        if rna is not None:
            check_features(self._model.features["rna"], rna, self.name)
        return self._model.translate(data, rna)

    def links(self, data: MuData) -> pd.DataFrame:
        """Return ``gene``, ``peak`` and ``weight`` of pairs with a weight above 0.001.

        A weight is the gate of a pair whose gene and peak are detected in any of the cells, or,
        without gates, the mean attention.
        """
        self._check(data)
        return self._model.link_table(data)

    def save(self, path: Path) -> None:
        self._model.save(path / "model.pt")

    def load(self, path: Path) -> None:
        from .model import FittedModel

        self._model = FittedModel.load(path / "model.pt", self.params)

    def _check(self, data: MuData) -> None:
        for part, features in self._model.features.items():
            check_features(features, data[part], self.name)
