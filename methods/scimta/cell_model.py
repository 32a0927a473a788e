"""Data of the cells as tensors, and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..nn.blocks import multilayer
from .losses import AdjacencyLoss
from .network import AdjacencyDecoder, GraphEncoder, Propagation

if TYPE_CHECKING:
    import scipy.sparse as sp

    from .cell_graph import Graph
    from .encoder_inputs import Inputs
    from .imputation import RestorationTargets
    from .params import GraphParameters

_LOWEST_DEPTH = 0.01


@dataclass(frozen=True)
class CellTensors:
    """Constants of a training step."""

    rows: np.ndarray | slice
    inputs: Tensor
    """(cells, genes), or [X | ÃX | …] with ``has_powers``, (cells, (hops + 1) genes)."""
    has_powers: bool
    """Whether ``inputs`` hold the powers, computed once if every step has all cells."""
    propagate: Propagation
    adjacency_loss: AdjacencyLoss
    targets: Tensor
    """Counts or scores, (cells, genes)."""
    depth: Tensor
    """Total counts over their median, at least 0.01, (cells, 1)."""
    totals: Tensor
    """Total counts, (cells, 1)."""
    batch: Tensor
    """Batch indicators for the count decoder, (cells, batches); no columns without batches."""
    restored: tuple[Tensor, Tensor] | None
    """Values and weights from :class:`.imputation.RestorationTargets`."""


class CellData:
    """All cells of a fit; ``counts``: cells × genes, ``batch``: input of the count decoder."""

    def __init__(
        self, inputs: Inputs, counts: sp.csr_matrix, graph: Graph, params: GraphParameters,
        *, conv_hops: int, device: str, batch: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.inputs, self.counts, self.graph, self.device = inputs, counts, graph, device
        self.n_cells, self.n_genes = counts.shape
        self.restored: RestorationTargets | None = None
        """Set if log values are reconstructed too."""
        self._scores = params.expression_target == "scores"
        self._balanced = params.graph_loss == "balanced"
        self._conv_hops = conv_hops
        totals = np.asarray(counts.sum(axis=1), dtype=np.float32).reshape(-1, 1)
        median = float(np.median(totals[totals > 0])) if totals.any() else 1.0
        self._totals, self._depth = totals, np.maximum(totals / median, _LOWEST_DEPTH)
        self._batch = _indicators(batch, self.n_cells)

    def gene_means(self) -> Tensor:
        """Return the mean counts of the genes at median depth, (genes,)."""
        means = self.counts.T @ (1.0 / self._depth.astype(np.float64)) / self.n_cells
        return torch.from_numpy(means.ravel().astype(np.float32))

    @property
    def n_batches(self) -> int:
        return int(self._batch.shape[1])

    def tensors(self, rows: np.ndarray | None = None) -> CellTensors:
        """Return the tensors of some cells and the graph between them, by default of all."""
        graph = self.graph if rows is None else self.graph.part(rows)
        chosen = slice(None) if rows is None else rows
        propagate = Propagation(graph.operator, self.device)
        # A copy, because prepared matrices are mapped read-only.
        x = torch.from_numpy(np.array(self.inputs.rows(chosen))).to(self.device)
        totals, depth, batch = self.covariates(chosen)
        restored = None
        if self.restored is not None:
            values, weights = map(torch.from_numpy, self.restored.rows(chosen))
            restored = values.to(self.device), weights.to(self.device)
        return CellTensors(
            rows=chosen,
            inputs=propagate.powers(x, self._conv_hops) if rows is None else x,
            has_powers=rows is None,
            propagate=propagate,
            adjacency_loss=AdjacencyLoss(
                graph.target, balanced=self._balanced, device=self.device
            ),
            targets=x if self._scores else self._tensor(self.counts[chosen].toarray()),
            depth=depth, totals=totals, batch=batch, restored=restored,
        )  # fmt: skip

    def covariates(self, chosen: np.ndarray | slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return totals, depth and batch indicators of some cells."""
        return (
            self._tensor(self._totals[chosen]), self._tensor(self._depth[chosen]),
            self._tensor(self._batch[chosen]),
        )  # fmt: skip

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.device)


def _indicators(batch: np.ndarray | None, n_cells: int) -> np.ndarray:
    if batch is None:
        return np.zeros((n_cells, 0), dtype=np.float32)
    return (batch[:, None] == np.unique(batch)[None, :]).astype(np.float32)


class CellModel(nn.Module):
    """Graph encoder with decoders of the graph and of the counts."""

    cells: CellTensors
    """Cells of the current step."""
    head: Any
    """Last layer of the count decoder, multinomial or zero-inflated."""

    def __init__(
        self, cells: CellData, params: GraphParameters, head: type[nn.Module], *, conv_hops: int
    ) -> None:
        super().__init__()
        self.weights = {
            "adjacency": params.adjacency_weight,
            "expression": params.expression_weight,
        }
        self.encoder = GraphEncoder(
            cells.n_genes, params.hidden, params.n_latent, hops=conv_hops,
            dropout=params.input_dropout,
        )  # fmt: skip
        self.adjacency = AdjacencyDecoder(params.n_latent, params.n_adjacency)
        widths = [params.n_latent + cells.n_batches, *params.decoder_hidden]
        scores = params.expression_target == "scores"
        self.hidden = multilayer(widths)
        self.head = head(widths[-1], cells.n_genes, scores=scores)
        if not scores:
            self.head.start_at(cells.gene_means())

    def encode(self) -> Tensor:
        cells = self.cells
        encode = self.encoder if cells.has_powers else self.encoder.of_inputs
        code: Tensor = encode(cells.inputs, cells.propagate)
        return code

    def decode(self, codes: Tensor, batch: Tensor) -> Tensor:
        """Return the last hidden layer of the count decoder, (cells, width)."""
        hidden: Tensor = self.hidden(torch.cat([codes, batch], dim=1))
        return hidden

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return codes by view and loss terms by name."""
        z, cells = self.encode(), self.cells
        adjacency = cells.adjacency_loss(*self.adjacency(z))
        hidden = self.decode(z, cells.batch)
        expression = self.head(hidden, cells.targets, cells.depth)
        return {"cells": z}, {"adjacency": adjacency, "expression": expression}

    def expected(self, codes: Tensor, totals: Tensor, depth: Tensor, batch: Tensor) -> Tensor:
        """Return expected counts of cells with these codes, (cells, genes)."""
        mean: Tensor = self.head.mean(self.decode(codes, batch), totals, depth)
        return mean
