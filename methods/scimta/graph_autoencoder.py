"""What the graph autoencoders of cells share: graph, training, first clusters, results."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Recipe, log_normalized
from bench.errors import DataError
from bench.seeds import derive_seed

from .params import GraphParameters

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData
    from torch import Tensor, nn

    from .batches import Batches
    from .cell_graph import Graph
    from .cell_model import CellData, CellModel
    from .encoder_inputs import Inputs
    from .training import SelfTraining

_START_CELLS = 100_000
"""First clusters are sought among up to so many cells; the others join the nearest."""


class GraphAutoencoder(Method):
    """Base of graph autoencoders of cells with self-trained clusters; see the subclasses."""

    modalities = frozenset({RNA})
    family = "autoencoder"
    cost = "heavy"
    gpu = True
    loss_measures = ("held_out", "n_top_genes", "batches", "expression_target")

    params: GraphParameters

    def uses(self) -> frozenset[str]:
        """Return the number of types if it sets the number of clusters, and the batch if used."""
        told = self.params.k_from == "truth" and self.params.n_clusters == 0
        batch = frozenset({"batch"}) if self.params.batches != "ignored" else frozenset()
        return batch | ({"n_clusters"} if told else frozenset())

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return scaled log-normalised variable genes; as published without a bound on scores.

        The publication scales cells to the median of their totals, this to their mean. With
        batches, held-out counts or too many cells for one step they are scaled later.
        """
        p = self.params
        if p.batches != "ignored" or p.held_out or info.n_cells > p.minibatch_above:
            plain = log_normalized(info, n_top_genes=p.n_top_genes, scale=False)
            aware = p.batches != "ignored" and plain.n_top_features is not None
            return replace(plain, batch_aware=aware)
        if p.expression_target == "counts":
            return log_normalized(info, n_top_genes=p.n_top_genes)
        return Recipe(
            target_sum=max(info.mean_counts, 1.0), log1p=True, scale=True,
            n_top_features=p.n_top_genes if info.n_features > p.n_top_genes else None,
        )  # fmt: skip

    def conv_hops(self) -> int:
        """Return the powers of Ã in a convolution; 1 is a skip convolution."""
        return 1

    def make_graph(self, adjacency: sp.csr_matrix) -> Graph:
        """Return what the adjacency decoder explains and the convolutions multiply by."""
        raise NotImplementedError

    def head(self) -> type[nn.Module]:
        """Return the class of the count decoder's last layer."""
        raise NotImplementedError

    def inputs(self, data: AnnData, batch: np.ndarray | None) -> Inputs:
        """Return what the encoder and the search for neighbours read, cells × genes.

        Z-scores within each batch, (cells,), if it is given.
        """
        import numpy as np
        import scipy.sparse as sp

        from .encoder_inputs import DenseInputs, SparseInputs, scores

        if not sp.issparse(data.X):
            return DenseInputs(np.asarray(data.X, dtype=np.float32))
        if self.in_parts(data.n_obs):
            return SparseInputs.of(sp.csr_matrix(data.X), batch, owner=self.name)
        return DenseInputs(scores(data.X.toarray(), batch, owner=self.name))

    def in_parts(self, n_cells: int) -> bool:
        """Return whether there are too many cells for one step."""
        return n_cells > self.params.minibatch_above

    def build(self, data: AnnData, cells: CellData, context: Context) -> CellModel:
        """Return the untrained network; torch is seeded when this is called."""
        from .cell_model import CellModel

        return CellModel(cells, self.params, self.head(), conv_hops=self.conv_hops())

    def views(self, codes: dict[str, Tensor], labels: Tensor) -> dict[str, SelfTraining]:
        """Return what trains itself, by view: the clusters of the cells, from first ``labels``."""
        from .training import SelfTraining

        p = self.params
        return {
            "cells": SelfTraining(
                codes["cells"], labels, p.cluster_weight, trainable=p.train_centres
            )
        }

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the code of each cell, (cells, n_latent), and the clustering ``self_trained``.

        Tables: ``assignment`` (cells × clusters, q) and ``centres`` (clusters × n_latent); with
        ``keep_graphs`` also ``cell_graph`` (see :func:`.graph.edges`). With ``held_out`` see
        :func:`.thinning.fit_thinned`.
        """
        if self.params.held_out:
            pass

            return fit_thinned(self, data, context)
        return self.fit_once(data, context)

    def fit_once(self, data: AnnData, context: Context) -> Fit:
        """Return the fit of all counts of ``data``."""
        import scipy.sparse as sp

        from ..nn.train import n_parameters, seeded
        from .cell_model import CellData
        from .training import codes_of, pretrain, self_train

        p, batch = self.params, context.knowledge.batch
        self._check(data, context)
        inputs = self.inputs(data, batch)
        points = self.points(inputs, context)
        self._graph, notes = self.cell_graph(points, context)
        graph = self._graph
        self._names = list(data.obs_names)
        with seeded(context.seed, "network", device=context.device):
            cells = CellData(
                inputs, sp.csr_matrix(data.layers["counts"]), graph, p,
                conv_hops=self.conv_hops(), device=context.device,
                batch=batch if p.batches == "corrected" else None,
            )  # fmt: skip
            self._model = model = self.build(data, cells, context).to(context.device)
            self._batches, told = self.make_batches(cells, points, context)
            pretrain(model, self._batches, p, context)
            codes = codes_of(model, self._batches)
            clusters = self.views(codes, self.first_labels(codes["cells"], graph, context))
            ended = self_train(model, self._batches, clusters, p, context)
        codes = codes_of(model, self._batches)
        k = len(clusters["cells"].centres)
        notes |= told | {"training": ended.note(), "clusters": self._about_clusters(k, context)}
        notes |= self._graph_quality(model, codes["cells"], graph, context)
        found = self.results(model, codes, clusters, data)
        return Fit(
            embedding=codes["cells"].cpu().numpy(),
            labels=found["labels"],
            tables=found["tables"],
            n_parameters=n_parameters(model) + sum(map(n_parameters, clusters.values())),
            notes=notes | found["notes"],
        )

    def results(
        self, model: CellModel, codes: dict[str, Tensor], clusters: dict[str, SelfTraining],
        data: AnnData,
    ) -> dict[str, Any]:  # fmt: skip
        """Return ``labels``, ``tables`` and further ``notes`` of a fit."""
        import numpy as np
        import pandas as pd
        import torch

        from .cell_graph import edges

        cells = clusters["cells"]
        with torch.no_grad():
            q = cells.soft(codes["cells"]).cpu().numpy()
        centres = cells.centres.detach().cpu().numpy()
        names = np.array([f"cluster{number + 1}" for number in range(len(centres))])
        units = [f"latent{number + 1}" for number in range(self.params.n_latent)]
        return {
            "labels": {"self_trained": names[q.argmax(axis=1)]},
            "tables": {
                "assignment": pd.DataFrame(q, pd.Index(data.obs_names, name="cell"), names),
                "centres": pd.DataFrame(centres, pd.Index(names, name="cluster"), units),
            }
            | ({"cell_graph": edges(self._graph.target)} if self.params.keep_graphs else {}),
            "notes": {},
        }

    def impute(self, data: AnnData) -> np.ndarray:
        """Return the expected counts of the cells of the fit, (cells, genes).

        Raises ``DataError`` for other cells: a code depends on a cell's place in the graph.
        """
        self.check_cells(data)
        return self.expected_counts()

    def expected_counts(self) -> np.ndarray:
        """Return the expected counts of the last fit, (cells, genes), float32."""
        return self._batches.expected_counts(self._model)

    def check_cells(self, data: AnnData) -> None:
        """Raise ``DataError`` unless these are the cells of the fit."""
        if list(data.obs_names) != self._names:
            raise DataError(
                f"{self.name}: other cells ({data.n_obs}) than those of the fit "
                f"({len(self._names)}); their codes come from their graph, so fit them together."
            )

    def _check(self, data: AnnData, context: Context) -> None:
        """Raise ``DataError`` for what cannot be asked of these cells."""
        p, k = self.params, self.params.n_clusters or context.n_clusters
        if k is not None and k > data.n_obs:
            raise DataError(
                f"{self.name}: n_clusters={k} clusters asked for, but there are only "
                f"{data.n_obs} cells; ask for fewer clusters."
            )
        if self.in_parts(data.n_obs) and p.start == "spectral":
            raise DataError(
                f"{self.name}: start=spectral needs one step of all cells, but {data.n_obs} are "
                f"more than minibatch_above={p.minibatch_above}; use start=kmeans or raise it."
            )

    def points(self, inputs: Inputs, context: Context) -> np.ndarray:
        """Return the coordinates that neighbours are sought in, (cells, dimensions)."""
        from .cell_graph import principal_components
        from .encoder_inputs import principal_components as components_of_many

        k = self.params.n_components
        if k and self.in_parts(inputs.shape[0]):
            return components_of_many(inputs, k)
        return principal_components(inputs.rows(slice(None)), k, derive_seed(context.seed, "pca"))

    def cell_graph(self, points: np.ndarray, context: Context) -> tuple[Graph, dict[str, str]]:
        """Return the cells' graph, and what is worth a note."""
        from .cell_graph import balanced_neighbors, n_parts, neighbors

        p = self.params
        batch = context.knowledge.batch
        many = self.in_parts(len(points))
        how: dict[str, Any] = {
            "metric": p.metric, "seed": derive_seed(context.seed, "neighbours"), "approximate": many,
        }  # fmt: skip
        if batch is not None and p.batches == "corrected":
            adjacency = balanced_neighbors(points, p.n_neighbors, batch, **how)
        else:
            adjacency = neighbors(points, p.n_neighbors, parity=p.published_graph, **how)
        notes = {}
        if many:
            notes["neighbours"] = "approximate, by inverted lists"
        if p.n_components and points.shape[1] < p.n_components:
            notes["n_components"] = f"{points.shape[1]}, cells or genes minus one"
        parts = n_parts(adjacency)
        if parts > 1:
            notes["graph"] = f"{parts} parts that no edge connects"
        return self.make_graph(adjacency), notes

    def make_batches(
        self, cells: CellData, points: np.ndarray, context: Context
    ) -> tuple[Batches, dict[str, str]]:
        """Return what each step sees, and a note if that is not all cells."""
        from .batches import Batches, edges_within, partition

        p, n = self.params, cells.n_cells
        if not self.in_parts(n):
            return Batches(cells), {}
        n_parts = max(p.merged_parts, round(n / p.batch_cells * p.merged_parts))
        parts = partition(points, n_parts)
        within = edges_within(cells.graph.target, parts)
        found = Batches(
            cells, parts, merged=p.merged_parts, seed=derive_seed(context.seed, "merged parts")
        )
        steps = -(-len(parts) // p.merged_parts)
        return found, {
            "batches": f"{steps} steps an epoch, each of {p.merged_parts} of {len(parts)} parts "
            f"of about {n // len(parts)} cells; {within:.0%} of the edges lie within parts"
        }

    def first_labels(self, codes: Tensor, graph: Graph, context: Context) -> Tensor:
        """Return the first cluster of each cell, (cells,), from its code."""
        import torch

        from .initial_clusters import first_clusters

        p = self.params
        found = first_clusters(
            codes.cpu().numpy(), graph, p.n_clusters or context.n_clusters,
            k_from=p.k_from, start=p.start, seed=context.seed, most=_START_CELLS,
        )  # fmt: skip
        return torch.from_numpy(found).to(codes.device)

    def _about_clusters(self, found: int, context: Context) -> str:
        p = self.params
        asked = p.n_clusters or context.n_clusters
        why: str = "the number of true types" if p.k_from == "truth" else p.k_from
        why = "as asked" if p.n_clusters else why
        if asked and found < asked:
            return f"{found}; {asked} ({why}) are more than the codes have apart"
        return f"{found}, {why}"

    def _graph_quality(
        self, model: CellModel, codes: Tensor, graph: Graph, context: Context
    ) -> dict[str, str]:
        import torch

        from .losses import edge_auroc

        with torch.no_grad():
            left, right = model.adjacency(codes)
        found = edge_auroc(left, right, graph.target, derive_seed(context.seed, "edges"))
        return {"adjacency AUROC": f"{found:.3f}"}


N_FITS = 3
"""Fits whose clusters are compared."""


def fit_thinned(method: GraphAutoencoder, data: AnnData, context: Context) -> Fit:
    """Return the fit of what is left, and report ``held_out_loss`` and ``stability``.

    The mean of three fits with seeds of their own, and the mean ARI of their clusterings; the fit
    that is returned is the first.
    """
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    from .count_thinning import held_out_loss, thin

    thinned = thin(data, method.params.held_out, context.seed, owner=method.name)
    losses, labels, first = [], [], None
    for number in range(N_FITS):
        one: Any = method if number == 0 else type(method)(method.params)
        told = context
        if number:
            told = replace(
                context, seed=derive_seed(context.seed, "stability", str(number)), report=_unheard
            )
        done = one.fit_once(thinned.data, told)
        losses.append(held_out_loss(one.expected_counts(), thinned.held_out))
        labels.append(done.labels["self_trained"])
        first = first or done
    assert first is not None
    pairs = [adjusted_rand_score(a, b) for a, b in combinations(labels, 2)]
    loss, stability = float(np.mean(losses)), float(np.mean(pairs))
    context.report(1, 1, held_out_loss=loss, stability=stability)
    first.notes["held out"] = (
        f"{method.params.held_out:g} of the counts; {loss:.4f} nats a count, clusters of "
        f"{N_FITS} seeds agree with ARI {stability:.3f}"
    )
    return first


def _unheard(step: int, total: int | None = None, /, **values: float) -> None:
    """Take the reports of a fit that only its clusters are wanted of."""
