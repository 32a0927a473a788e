"""scCrossRec as a method of the harness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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
from bench.errors import DataError

from .params import CrossParameters

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from .model import Model

_LISTED = 1e-3
"""Smallest weight of a link that is listed."""
_TOP = 20_000


class ScCrossRec(Method):
    """Matching, translation and links of RNA and chromatin on graphs of genes and peaks.

    One graph is one cell, or the RNA of one and the chromatin of another: its nodes are the genes
    and peaks that are not zero, and genes attend to peaks of their chromosome. A network pools
    both and says whether they are of one cell. Nothing of the size genes × peaks is held: which
    peaks a gene selects is found chromosome by chromosome, and only those are computed again with
    gradients; outputs and gradients equal those of the dense form.

    ``preset=faithful`` is the published network: scores of other chromosomes multiplied by 0, a
    softmax of the ten largest sigmoids cut at 0.8, and a translation that counts sigmoids above
    0.8. Mended in it: cells, not graphs, are split, so that no held-out cell was trained on;
    seeds are used; a graph with fewer than ten peaks uses those it has; static features are
    computed from the training counts. Wrong pairs are with any other cell, where the published
    ones are with another type, which shows the labels to the fit (``neg_mode=label_easy``, marked
    as using labels).

    The default differs, because weights that lie between 0.083 and 0.155 whatever the scores, and
    a matching that pools of cell types solve without any link, cannot tell which peak regulates a
    gene. Two things are learned first: the states that both parts of a cell share, mixtures of
    count profiles (:mod:`.states`), and gates of pairs, from the expression that open peaks
    explain in the same cell beyond its state (:mod:`.links`); how the gates' prior falls with the
    distance from the gene's start is learned too. Gates are added to the scaled scores of the
    attention, a masked softmax without threshold. The matching weighs what states and links say
    on cells left out in turn (:mod:`.evidence`); the network joins where held-out cells say that
    it helps, which on the simulation it does not. The translation is the expected expression,
    with slopes calibrated on held-out cells. The embedding is the profile that the states
    expect: the pools of the network hardly move from random maps of a few loadings, which
    clustered worse than PCA (``embedding=pools`` gives them). Links are the gates: they do not
    grow with how often a peak is open. One positive effect for all: silencers are not found.
    Sizes of mixtures, shrinkage and what counts as a fragment were chosen on draws 10 to 12 of
    ``sim_multiome[preset=links]``; reported are others.
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

    class Params(CrossParameters):
        """Parameters of scCrossRec."""

    params: Params
    _model: Model
    _features: dict[str, list[str]]

    def uses(self) -> frozenset[str]:
        """Return labels if wrong pairs are chosen by them."""
        return frozenset({"labels"} if self.params.neg_mode.startswith("label") else ())

    def recipe(self, info: DatasetInfo) -> PairedRecipe:
        """Return variable genes, log-normalised, and variable peaks, binary; or counts of both."""
        p, parts = self.params, cast(PairedInfo, info).parts
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
        """Return the place of each cell among the states, or its pools, (cells, dimensions).

        Table ``links``: the strongest pairs, gene, peak and weight. Curves: ``links_residual``,
        then ``loss`` and, of held-out cells, loss and accuracy of the matching.
        Raises ``DataError`` where chromosomes, or a required sequence, are missing.
        """
        import torch

        from ..nn.train import n_parameters
        from .genome_sites import check_cells
        from .model import fit_model

        notes = {}
        empty = check_cells(data)
        if empty:
            notes["cells"] = empty
            context.log(f"sccrossrec: {empty}")
        self._features = {part: list(data[part].var_names) for part in ("rna", "atac")}
        # Sums over scattered indices on several threads come out in the order of the threads.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            self._model = model = fit_model(data, self.params, context)
        finally:
            torch.set_num_threads(threads)
        short = model.sites.short(self.params.top_k)
        if short:
            notes["chromosomes"] = (
                f"fewer than top_k={self.params.top_k} peaks on {', '.join(short)}: genes there "
                "attend to those"
            )
            context.log(f"sccrossrec: {notes['chromosomes']}")
        notes |= self._told(model)
        top = self.links(data).nlargest(_TOP, "weight").reset_index(drop=True)
        return Fit(
            embedding=model.embed(data),
            tables={"links": top},
            n_parameters=n_parameters(model.network),
            notes=notes,
        )

    def _told(self, model: Model) -> dict[str, str]:
        measured = "known" if model.sites.measured else "unknown: whole chromosomes"
        notes = {
            "training": model.trained,
            "distances": measured if self.params.mask_mode == "distance_kb" else "not used",
            "sequence": "used" if self._with_sequence(model) else "none in the data or not asked",
        }
        if model.evidence is not None:
            shares = "network and evidence" if model.blend[1] else "evidence alone"
            notes["matching"] = f"{shares}: {model.evidence.note()}"
        return notes

    def _with_sequence(self, model: Model) -> bool:
        width = model.network.peaks.static.shape[1]
        return model.network.peaks.sequence is not None or width > len(model.sites.names)

    def transform(self, data: MuData) -> np.ndarray:
        """Return the embedding of new cells, prepared like the training cells.

        Raises ``DataError`` if the features are not those of the training cells.
        """
        self._check(data["rna"], "rna")
        self._check(data["atac"], "atac")
        return self._model.embed(data)

    def match(self, data: MuData, rna_cells: np.ndarray, atac_cells: np.ndarray) -> np.ndarray:
        """Return the log odds that the RNA of one and the ATAC of another row are of one cell."""
        self._check(data["rna"], "rna")
        self._check(data["atac"], "atac")
        return self._model.match(data, rna_cells, atac_cells)

    def translate(self, data: AnnData, rna: AnnData | None = None) -> np.ndarray:
        """Return a score that each gene is detected, (cells, genes), from the peaks alone.

        ``rna``, if given, helps to tell the state of the cell (``links=evidence``).
        """
        self._check(data, "atac")
        if rna is not None:
            self._check(rna, "rna")
        return self._model.translate(data, rna)

    def links(self, data: MuData) -> pd.DataFrame:
        """Return ``gene``, ``peak`` and ``weight`` of the pairs with a weight above 0.001.

        Of peaks open and genes on in any of the cells. Weights are the learned gates; without
        them, the attention, mean over the cells.
        """
        import pandas as pd

        self._check(data["rna"], "rna")
        self._check(data["atac"], "atac")
        found = self._model.regulation(data).tocoo()
        kept = found.data > _LISTED
        genes, peaks = (pd.Index(self._features[part]) for part in ("rna", "atac"))
        return pd.DataFrame({
            "gene": genes[found.row[kept]], "peak": peaks[found.col[kept]],
            "weight": found.data[kept],
        })  # fmt: skip

    def save(self, path: Path) -> None:
        """Write all that the other methods need into the folder ``path``."""
        import torch

        torch.save({"model": self._model.state(), "features": self._features}, path / "model.pt")

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote; the parameters must be the same."""
        import torch

        from .model import Model

        kept: dict[str, Any] = torch.load(path / "model.pt", weights_only=True, map_location="cpu")
        self._features = kept["features"]
        self._model = Model.from_state(self.params, kept["model"])

    def _check(self, part: AnnData, name: str) -> None:
        wanted = self._features[name]
        if list(part.var_names) != wanted:
            raise DataError(
                f"{self.name}: the new cells have other {name} features ({part.n_vars}) than the "
                f"training cells ({len(wanted)}); select and order them alike."
            )
