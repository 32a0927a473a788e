"""Fit of a graph autoencoder: graph, network, clusters and results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn

from bench.contract import Context, Fit
from bench.errors import DataError
from bench.seeds import derive_seed

from ..nn.clusters import cluster_names, cluster_tables
from ..nn.train import n_parameters, seeded
from . import encoder_inputs
from .batches import Batches, edges_within, partition
from .cell_graph import (
    Graph,
    balanced_neighbors,
    count_components,
    edges,
    given_graph,
    neighbors,
    plain_graph,
    principal_components,
    surfing_graph,
)
from .cell_model import CellData, CellModel
from .count_thinning import held_out_loss, thin_counts
from .encoder_inputs import SCORE_BOUND, DenseInputs, Inputs, SparseInputs, z_scores
from .initial_clusters import initial_clusters
from .losses import edge_auroc
from .network import MultinomialHead, ZeroInflatedHead
from .training import SelfTraining, all_codes, pretrain, self_train

if TYPE_CHECKING:
    from anndata import AnnData

    from .params import GraphParameters, ScTAGParams, SurfingParameters

_START_CELLS = 100_000
"""Cells that are clustered for the first labels; further cells join the nearest cluster."""
_N_FITS = 3
"""Fits that ``held_out`` compares."""


class GraphFit(ABC):
    """Fit of a graph autoencoder; subclasses choose graph and count model."""

    head: type[nn.Module] = MultinomialHead
    """Last layer of the count decoder."""
    params: GraphParameters

    def __init__(self, params: GraphParameters, name: str) -> None:
        self.params, self.name = params, name
        self.conv_hops: int = getattr(params, "conv_hops", 1)

    @abstractmethod
    def make_graph(self, adjacency: sp.csr_matrix) -> Graph:
        """Return the graph for the adjacency decoder and the convolutions."""

    def fit(self, data: AnnData, context: Context) -> Fit:
        if self.params.held_out:
            return fit_thinned(self, data, context)
        return self.fit_counts(data, context)

    def fit_counts(self, data: AnnData, context: Context) -> Fit:
        """Return the fit of all counts."""
        p, batch = self.params, context.knowledge.batch
        self._check(data, context)
        inputs = self.inputs(data, batch)
        points = self.points(inputs, context)
        graph, notes = self.cell_graph(points, context)
        self.obs_names = list(data.obs_names)
        with seeded(context.seed, "network", device=context.device):
            cells = CellData(
                inputs, sp.csr_matrix(data.layers["counts"]), graph, p,
                conv_hops=self.conv_hops, device=context.device,
                batch=batch if p.batches == "corrected" else None,
            )  # fmt: skip
            self.model = model = self.build(data, cells, context).to(context.device)
            self.batches, batch_notes = self.make_batches(cells, points, context)
            pretrain(model, self.batches, p, context)
            codes = all_codes(model, self.batches)
            clusters = self.views(codes, self.first_labels(codes["cells"], graph, context))
            training = self_train(model, self.batches, clusters, p, context)
        codes = all_codes(model, self.batches)
        notes |= batch_notes | {
            "training": training,
            "clusters": self._cluster_note(len(clusters["cells"].centres), context),
            "adjacency AUROC": self._edge_auroc(codes["cells"], graph, context),
        }
        fit = self.results(codes, clusters, data)
        fit.notes = notes | fit.notes
        if p.keep_graphs:
            fit.tables["cell_graph"] = edges(graph.target)
        return fit

    def inputs(self, data: AnnData, batch: np.ndarray | None) -> Inputs:
        """Return the inputs of the encoder, cells × genes; z-scores within batches if given."""
        if not sp.issparse(data.X):
            return DenseInputs(np.asarray(data.X, dtype=np.float32))
        values, bound = sp.csr_matrix(data.X), SCORE_BOUND
        if self.params.expression_target == "scores":
            values, bound = self._median_scaled(data), np.inf
        if self.in_parts(data.n_obs):
            return SparseInputs.of(values, batch, owner=self.name, bound=bound)
        return DenseInputs(z_scores(values.toarray(), batch, owner=self.name, bound=bound))

    def _median_scaled(self, data: AnnData) -> sp.csr_matrix:
        """Return log(1 + counts of a cell scaled to the median total), as published."""
        depth = np.asarray(data.obs["size_factor"], dtype=np.float64)
        depth = depth * (1.0 - self.params.held_out)
        factor = np.divide(1.0, depth, out=np.zeros_like(depth), where=depth > 0)
        counts = sp.csr_matrix(data.layers["counts"])
        return sp.csr_matrix((sp.diags(factor) @ counts).log1p(), dtype=np.float32)

    def in_parts(self, n_cells: int) -> bool:
        """Return whether there are too many cells for one step."""
        return n_cells > self.params.minibatch_above

    def build(self, data: AnnData, cells: CellData, context: Context) -> CellModel:
        """Return the untrained network."""
        return CellModel(cells, self.params, self.head, conv_hops=self.conv_hops)

    def views(self, codes: dict[str, Tensor], labels: Tensor) -> dict[str, SelfTraining]:
        """Return the self-training of each view, from the first ``labels`` of the cells."""
        p = self.params
        return {
            "cells": SelfTraining(
                codes["cells"], labels, p.cluster_weight, trainable=p.train_centres
            )
        }

    def results(
        self, codes: dict[str, Tensor], clusters: dict[str, SelfTraining], data: AnnData
    ) -> Fit:
        cells = clusters["cells"]
        with torch.no_grad():
            q = cells.soft(codes["cells"])
        return Fit(
            embedding=codes["cells"].cpu().numpy(),
            labels={"self_trained": cluster_names(q)},
            tables=cluster_tables({"assignment": q}, cells.centres, data.obs_names),
            n_parameters=n_parameters(self.model) + sum(map(n_parameters, clusters.values())),
        )

    def impute(self, data: AnnData) -> np.ndarray:
        self.check_cells(data)
        return self.expected_counts()

    def expected_counts(self) -> np.ndarray:
        """Return expected counts of the cells of the fit, (cells, genes), float32.

        Those of the count decoder. A decoder of z-scores has none; the proportions of a cell are
        then the means of its neighbours in the embedding, itself included.
        """
        if self.params.expression_target == "counts":
            return self.batches.expected_counts(self.model)
        cells = self.batches.cells
        codes = self.batches.codes(self.model).cpu().numpy()
        graph = neighbors(
            codes, self.params.n_neighbors, metric="euclidean", seed=0, parity=True,
            approximate=self.in_parts(cells.n_cells),
        )  # fmt: skip
        totals = np.asarray(cells.counts.sum(axis=1), dtype=np.float64).ravel()
        shares = sp.diags(1.0 / np.maximum(totals, 1.0)) @ cells.counts
        weights = sp.diags(totals / np.asarray(graph.sum(axis=1)).ravel()) @ graph
        return (weights @ shares).toarray().astype(np.float32)

    def check_cells(self, data: AnnData) -> None:
        """Raise ``DataError`` unless these are the cells of the fit."""
        if list(data.obs_names) != self.obs_names:
            raise DataError(
                f"{self.name}: these {data.n_obs} cells are not the {len(self.obs_names)} cells "
                "of the fit; codes come from the graph of all cells, so fit all cells "
                "together.",
                code="other_cells",
            )

    def _check(self, data: AnnData, context: Context) -> None:
        """Raise ``DataError`` for parameters that do not suit the number of cells."""
        p, k = self.params, self.params.n_clusters or context.n_clusters
        if k is not None and k > data.n_obs:
            raise DataError(
                f"{self.name}: n_clusters={k} clusters asked for, but there are only "
                f"{data.n_obs} cells; ask for fewer clusters.",
                code="too_few_cells",
            )
        if self.in_parts(data.n_obs) and p.start == "spectral":
            raise DataError(
                f"{self.name}: start=spectral needs one step of all cells, but {data.n_obs} are "
                f"more than minibatch_above={p.minibatch_above}; use start=kmeans or raise it.",
                code="too_many_cells",
            )

    def points(self, inputs: Inputs, context: Context) -> np.ndarray:
        """Return the points whose neighbours are sought, (cells, dimensions)."""
        k = self.params.n_components
        if k and self.in_parts(inputs.shape[0]):
            return encoder_inputs.principal_components(inputs, k)
        return principal_components(inputs.rows(slice(None)), k, derive_seed(context.seed, "pca"))

    def cell_graph(self, points: np.ndarray, context: Context) -> tuple[Graph, dict[str, str]]:
        """Return the cells' graph and notes on it."""
        p = self.params
        batch = context.knowledge.batch
        in_parts = self.in_parts(len(points))
        options: dict[str, Any] = {
            "metric": p.metric, "seed": derive_seed(context.seed, "neighbours"),
            "approximate": in_parts,
        }  # fmt: skip
        notes = {}
        if context.knowledge.graph is not None:
            adjacency = given_graph(context.knowledge.graph, directed=p.published_graph)
            notes["cell graph"] = f"given, {adjacency.nnz} entries"
        elif batch is not None and p.batches == "corrected":
            adjacency = balanced_neighbors(points, p.n_neighbors, batch, **options)
        else:
            adjacency = neighbors(points, p.n_neighbors, parity=p.published_graph, **options)
        if in_parts and context.knowledge.graph is None:
            notes["neighbours"] = "approximate, by inverted lists"
        if p.n_components and points.shape[1] < p.n_components:
            notes["n_components"] = f"{points.shape[1]}, cells or genes minus one"
        n_components = count_components(adjacency)
        if n_components > 1:
            notes["graph"] = f"{n_components} parts that no edge connects"
        return self.make_graph(adjacency), notes

    def make_batches(
        self, cells: CellData, points: np.ndarray, context: Context
    ) -> tuple[Batches, dict[str, str]]:
        """Return the cells of each step, and a note if steps have parts of them."""
        p, n = self.params, cells.n_cells
        if not self.in_parts(n):
            return Batches(cells), {}
        n_parts = max(p.merged_parts, round(n / p.batch_cells * p.merged_parts))
        parts = partition(points, n_parts)
        within = edges_within(cells.graph.target, parts)
        seed = derive_seed(context.seed, "merged parts")
        batches = Batches(cells, parts, merged=p.merged_parts, seed=seed)
        steps, epochs = batches.n_steps, batches.epochs_a_pass
        span = "an epoch" if epochs == 1 else f"in {epochs} epochs (a pass over the cells)"
        return batches, {
            "batches": f"{steps} steps {span}, each of {p.merged_parts} of {len(parts)} parts "
            f"of about {n // len(parts)} cells; {within:.0%} of the edges lie within parts"
        }

    def first_labels(self, codes: Tensor, graph: Graph, context: Context) -> Tensor:
        """Return the first cluster of each cell, (cells,)."""
        p = self.params
        labels = initial_clusters(
            codes.cpu().numpy(), graph, p.n_clusters or context.n_clusters, p,
            seed=context.seed, most=_START_CELLS,
        )  # fmt: skip
        return torch.from_numpy(labels).to(codes.device)

    def _cluster_note(self, n_clusters: int, context: Context) -> str:
        requested = self.params.n_clusters or context.n_clusters
        origin = self.params.count_origin()
        if requested and n_clusters != requested and self.params.k_from == "leiden":
            return f"{n_clusters}, the nearest to {requested} that leiden finds"
        if requested and n_clusters < requested:
            return f"{n_clusters}; the codes do not separate {requested} ({origin})"
        return f"{n_clusters}, {origin}"

    def _edge_auroc(self, codes: Tensor, graph: Graph, context: Context) -> str:
        with torch.no_grad():
            left, right = self.model.adjacency(codes)
        auroc = edge_auroc(left, right, graph.target, derive_seed(context.seed, "edges"))
        return f"{auroc:.3f}"


class SurfedFit(GraphFit):
    """scMGCA: neighbours after random surfing, multinomial counts."""

    params: SurfingParameters

    def make_graph(self, adjacency: sp.csr_matrix) -> Graph:
        p = self.params
        most = p.n_neighbors**2 if self.in_parts(adjacency.shape[0]) else None
        return surfing_graph(
            adjacency, hops=p.hops, alpha=p.alpha, parity=p.published_graph, most=most
        )


class NeighborFit(GraphFit):
    """scTAG: nearest neighbours, zero-inflated counts."""

    head = ZeroInflatedHead
    params: ScTAGParams

    def make_graph(self, adjacency: sp.csr_matrix) -> Graph:
        return plain_graph(adjacency)


def fit_thinned(first: GraphFit, data: AnnData, context: Context) -> Fit:
    """Return a fit of thinned counts and report ``held_out_loss`` and ``stability``.

    The loss is the mean of three fits, the stability the mean ARI of their clusters. The first fit
    is returned.
    """
    thinned, held_out = thin_counts(data, first.params.held_out, context.seed, owner=first.name)
    models = [first, *(type(first)(first.params, first.name) for _ in range(1, _N_FITS))]
    fits = []
    for number, model in enumerate(models):
        seed = derive_seed(context.seed, "stability", str(number)) if number else context.seed
        report = _ignore_report if number else context.report
        fits.append(model.fit_counts(thinned, replace(context, seed=seed, report=report)))
    losses = [held_out_loss(model.expected_counts(), held_out) for model in models]
    pairs = combinations([fit.labels["self_trained"] for fit in fits], 2)
    loss = float(np.mean(losses))
    stability = float(np.mean([adjusted_rand_score(a, b) for a, b in pairs]))
    context.report(1, 1, held_out_loss=loss, stability=stability)
    fits[0].notes["held out"] = (
        f"{first.params.held_out:g} of the counts; {loss:.4f} nats a count, clusters of "
        f"{_N_FITS} seeds agree with ARI {stability:.3f}"
    )
    return fits[0]


def _ignore_report(step: int, total: int | None = None, /, **values: float) -> None: ...
