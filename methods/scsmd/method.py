"""scSMD and DeepScena."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Recipe

from .params import DeepScenaParams, ScSMDParams

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from anndata import AnnData

    from .fitted_networks import FittedScSMD


class ScSMD(Method):
    """Convolutional autoencoder of gene images with dilated attention (Cui et al. 2025).

    784 variable genes are the pixels of a 28 × 28 image. Other numbers of genes take the smallest
    square that holds them, at least 9 × 9; its empty pixels have no loss. Three phases:
    reconstruction; fuzzy clusters, which pull codes to centres; pairs of cells, which train an
    assignment network. Clusterings are ``fuzzy`` (after phase 2) and ``assigned``.

    The published program stops with undefined names. Corrections: every cell is encoded once and
    in evaluation mode, so that its label depends on no other cell; the program's row index loses
    some cells and duplicates others. A batch of one cell joins the batch before. Cells that equal
    a centre have finite memberships. No true label is used, while the published checkpoint was
    chosen by labels. 1,358,336 unused parameters are left out. With ``read_counts`` variable genes
    are chosen from the counts; the program gives rounded logarithms to a rule for counts.

    Further differences of the default, which ``preset=faithful`` restores. Genes are centred:
    without this 20 epochs of a few hundred cells learn little but means (ARI 0.00 instead of 0.79
    on ``sim_rna``, deepscena). The negative binomial is of counts with the cell's depth, not of
    rounded logarithms, and trains from phase 1 on. A batch has one step for all cluster losses,
    with converted step size and momentum, and a bound on gradients, which would diverge with
    counts. Batch norms have the statistics of phase 1, so that cells and centres share one space.
    Centres move before the first, third, … epoch of phase 2, not the second, fourth, …. Phases 2
    and 3 end when labels hardly change. The encoder is not trained in phase 3, which saves a third
    of the time: its steps of 1e-6 moved codes by 0.5 % (``pbmc68k``, deepscena, quick, one seed).
    No term balances clusters unless ``balance_weight`` is set; ``pair_usage`` falls to 0 when all
    cells are in one cluster.
    """

    name = "scsmd"
    summary = "convolutional autoencoder with attention, clusters by pairs of cells"
    reference = "Cui et al. 2025, BMC Bioinformatics 26:33, doi 10.1186/s12859-025-06047-x"
    modalities = frozenset({RNA})
    family = "autoencoder"
    cost = "heavy"
    gpu = True

    class Params(ScSMDParams):
        """Parameters of scSMD."""

    params: Params
    fitted: FittedScSMD

    def needs(self) -> frozenset[str]:
        """Return ``{"n_clusters"}`` if the true types set the number of clusters."""
        return self.params.optional_inputs()

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised variable genes of at least 3 cells, not scaled.

        With ``read_counts`` variable genes are those whose counts vary beyond what their mean
        explains (``seurat_v3``). The network rounds the log values.
        """
        p = self.params
        return Recipe(
            min_cells=2, target_sum=1e4, log1p=True,
            n_top_features=p.n_top_genes if info.n_features > p.n_top_genes else None,
            flavor="seurat_v3" if p.read_counts else "seurat",
        )  # fmt: skip

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the code of each cell, (cells, n_latent), and both clusterings.

        Tables after the last phase: ``memberships`` and ``assignment`` (cells × clusters),
        ``centres`` (clusters × n_latent), with ``keep_genes`` also ``genes`` (cells × genes).
        ``fuzzy`` is the cluster of the largest membership before phase 3. Curves: losses, share of
        changed labels, ``pair_usage`` (entropy of cluster sizes, 1: equal).
        """
        from .fitted_networks import FittedScSMD

        self.fitted = FittedScSMD(self.params, list(data.var_names), self.name, context.device)
        return self.fitted.fit(data, context)

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the code of new cells; raises ``DataError`` for other features."""
        return self.fitted.encode(data)

    def impute(self, data: AnnData) -> np.ndarray:
        """Return expected counts, or reconstructed values if counts are not modelled."""
        return self.fitted.reconstruct(data)

    def export(self, name: str, fit: Fit, cells: pd.Index) -> dict[str, pd.DataFrame]:
        """Return tables by the published names of files; ``output_name`` replaces ``name``."""
        import pandas as pd

        name = self.params.output_name or name

        units = [f"latent{number + 1}" for number in range(fit.embedding.shape[1])]
        return {
            f"{name}_uspace.csv": pd.DataFrame(fit.embedding, cells, units),
            f"{name}_clusters.csv": pd.DataFrame(fit.labels, cells),
        }

    def save(self, path: Path) -> None:
        self.fitted.save(path)

    def load(self, path: Path) -> None:
        from .fitted_networks import load_scsmd

        self.fitted = load_scsmd(self.params, self.name, path)


class DeepScena(ScSMD):
    """scSMD without attention: plain 3 × 3 convolutions, no squeeze block (Lei et al. 2023).

    The rest is as in :class:`ScSMD`. The publication also detects rare types; this method does
    not.
    """

    name = "deepscena"
    summary = "convolutional autoencoder, clusters by pairs of cells"
    reference = "Lei et al. 2023, Briefings in Bioinformatics 24:bbad335, doi 10.1093/bib/bbad335"

    class Params(DeepScenaParams):
        """Parameters of DeepScena."""
