"""Base class of the graph autoencoders."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Recipe, log_normalized

from .params import GraphParameters

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from .graph_fit import GraphFit


class GraphAutoencoder(Method):
    """Base of the graph autoencoders with self-trained clusters."""

    modalities = frozenset({RNA})
    family = "autoencoder"
    cost = "heavy"
    gpu = True
    loss_measures = ("held_out", "n_top_genes", "batches", "expression_target")

    class Params(GraphParameters):
        """Parameters of a graph autoencoder."""

    params: GraphParameters
    fitted: GraphFit

    @abstractmethod
    def new_fit(self) -> GraphFit:
        """Return an unfitted model."""

    def needs(self) -> frozenset[str]:
        """Return ``{"n_clusters"}`` if the true types set the number of clusters."""
        return self.params.optional_inputs()

    def may_use(self) -> frozenset[str]:
        """Return the user's own graph, and the batch unless it is ignored."""
        return frozenset({"graph"} if self.params.batches == "ignored" else {"graph", "batch"})

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised variable genes, scaled to zero mean and unit variance.

        With batches, held-out counts, z-scores as targets or more than ``minibatch_above`` cells
        the fit scales the genes. For z-scores as targets, as published, cells are scaled to the
        median of their totals, and scores have no bound; only the ranking of genes uses counts
        scaled to the mean total.
        """
        p = self.params
        if p.expression_target == "scores":
            return self._published_recipe(info)
        if self._uses_batches(info) or p.held_out or info.n_cells > p.minibatch_above:
            return self.unscaled_recipe(info)
        return log_normalized(info, n_top_genes=p.n_top_genes)

    def _published_recipe(self, info: DatasetInfo) -> Recipe:
        """Return log values of variable genes, cells scaled to the mean of their totals."""
        n_top = self.params.n_top_genes if info.n_features > self.params.n_top_genes else None
        return Recipe(
            target_sum=max(info.mean_counts, 1.0), log1p=True, n_top_features=n_top,
            batch_aware=self._uses_batches(info) and n_top is not None,
        )  # fmt: skip

    def unscaled_recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised variable genes, chosen within batches if these are used."""
        recipe = log_normalized(info, n_top_genes=self.params.n_top_genes, scale=False)
        batch_aware = self._uses_batches(info) and recipe.n_top_features is not None
        return replace(recipe, batch_aware=batch_aware)

    def _uses_batches(self, info: DatasetInfo) -> bool:
        """Return whether genes are scaled by batch."""
        return self.params.batches != "ignored" and info.has_batch

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the code of each cell, (cells, n_latent), and the clustering ``self_trained``.

        Tables: ``assignment`` (cells × clusters, q), ``centres`` (clusters × n_latent) and, with
        ``keep_graphs``, ``cell_graph``. ``held_out``: see :func:`.graph_fit.fit_thinned`.
        """
        self.fitted = self.new_fit()
        return self.fitted.fit(data, context)

    def impute(self, data: AnnData) -> np.ndarray:
        """Return the expected counts of the cells of the fit, (cells, genes).

        Those of the count decoder or, with z-scores as target, the means of a cell's neighbours in
        the embedding. Raises ``DataError`` for other cells: codes depend on the whole graph.
        """
        return self.fitted.impute(data)
