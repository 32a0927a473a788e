"""The cells' side of a graph autoencoder: constants of the data, and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .graph import Graph
from .losses import AdjacencyLoss
from .network import AdjacencyDecoder, ExpressionDecoder, GraphEncoder, Propagation

if TYPE_CHECKING:
    import scipy.sparse as sp

    from .settings import GraphParameters

_LOWEST_DEPTH = 0.01


@dataclass(frozen=True)
class CellTensors:
    """What training reads and never changes."""

    powers: Tensor
    """[X | ÃX | …], (cells, (hops + 1) genes): constant, so found once."""
    propagate: Propagation
    adjacency_loss: AdjacencyLoss
    targets: Tensor
    """Counts or scores, (cells, genes)."""
    depth: Tensor
    """Total counts of a cell divided by their median, at least 0.01, (cells, 1)."""
    totals: Tensor
    """Total counts of a cell, (cells, 1)."""

    @classmethod
    def of(
        cls, inputs: np.ndarray, counts: sp.csr_matrix, graph: Graph, params: GraphParameters,
        *, conv_hops: int, device: str,
    ) -> CellTensors:  # fmt: skip
        """Put inputs (cells × genes), counts and graph on the device."""
        propagate = Propagation(graph.operator, device)
        # A copy, because prepared matrices are mapped read-only.
        x = torch.from_numpy(np.array(inputs, dtype=np.float32)).to(device)
        dense = np.asarray(counts.toarray(), dtype=np.float32)
        totals = dense.sum(axis=1, keepdims=True)
        middle = float(np.median(totals[totals > 0])) if totals.any() else 1.0
        return cls(
            powers=propagate.powers(x, conv_hops),
            propagate=propagate,
            adjacency_loss=AdjacencyLoss(
                graph.target, balanced=params.graph_loss == "balanced", device=device
            ),
            targets=x if params.expression_target == "scores"
            else torch.from_numpy(dense).to(device),
            depth=torch.from_numpy(np.maximum(totals / middle, _LOWEST_DEPTH)).to(device),
            totals=torch.from_numpy(totals).to(device),
        )  # fmt: skip


class CellModel(nn.Module):
    """Graph encoder with two decoders: of the graph, and of the cells' counts."""

    def __init__(
        self, cells: CellTensors, params: GraphParameters, head: type[nn.Module], *, conv_hops: int
    ) -> None:
        super().__init__()
        self.cells = cells
        self.weights = {
            "adjacency": params.adjacency_weight,
            "expression": params.expression_weight,
        }
        n_genes = cells.targets.shape[1]
        self.encoder = GraphEncoder(
            n_genes, params.hidden, params.n_latent, hops=conv_hops, dropout=params.input_dropout
        )
        self.adjacency = AdjacencyDecoder(params.n_latent, params.n_adjacency)
        self.decoder = ExpressionDecoder(
            params.n_latent, params.decoder_hidden, head, n_genes,
            scores=params.expression_target == "scores",
        )  # fmt: skip

    def encode(self) -> Tensor:
        """Return the code of each cell, (cells, n_latent)."""
        code: Tensor = self.encoder(self.cells.powers, self.cells.propagate)
        return code

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the codes and the loss terms, see :class:`.training.Model`."""
        z = self.encode()
        terms = {
            "adjacency": self.cells.adjacency_loss(*self.adjacency(z)),
            "expression": self.decoder.head(
                self.decoder.hidden(z), self.cells.targets, self.cells.depth
            ),
        }
        return {"cells": z}, terms

    def expected_counts(self) -> np.ndarray:
        """Return the expected counts of each entry, (cells, genes), float32."""
        self.eval()
        with torch.no_grad():
            hidden = self.decoder.hidden(self.encode())
            mean: Tensor = self.decoder.head.mean(  # type: ignore[operator]
                hidden, self.cells.totals, self.cells.depth
            )
        return mean.cpu().numpy()
