"""The cells' side of a graph autoencoder: constants of the data, and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import DataError

from .graph import Graph
from .losses import AdjacencyLoss
from .network import AdjacencyDecoder, ExpressionDecoder, GraphEncoder, Propagation

if TYPE_CHECKING:
    import scipy.sparse as sp

    from .settings import GraphParameters

_LOWEST_DEPTH = 0.01
_SCORE_BOUND = 10.0


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
    batch: Tensor
    """One column a batch that the count decoder is told of, (cells, batches); 0 columns: none."""

    @classmethod
    def of(
        cls, inputs: np.ndarray, counts: sp.csr_matrix, graph: Graph, params: GraphParameters,
        *, conv_hops: int, device: str, batch: np.ndarray | None = None,
    ) -> CellTensors:  # fmt: skip
        """Put inputs (cells × genes), counts and graph on the device.

        ``batch``: name of each cell's, which the count decoder is told of.
        """
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
            batch=torch.from_numpy(_indicators(batch, len(dense))).to(device),
        )  # fmt: skip


def scores(values: np.ndarray, batch: np.ndarray | None, *, owner: str) -> np.ndarray:
    """Return z-scores of each gene, clipped at ± 10, (cells, genes), float32.

    Within each batch if one is given. Raises ``DataError`` if a batch has a single cell.
    """
    found = np.empty(values.shape, dtype=np.float32)
    groups = np.zeros(len(values)) if batch is None else batch
    for name in np.unique(groups):
        rows = groups == name
        if batch is not None and rows.sum() == 1:
            raise DataError(
                f"{owner}: batch '{name}' has 1 cell, at least 2 are needed to scale its genes; "
                "leave this cell out or set batches=ignored."
            )
        part = values[rows].astype(np.float64)
        spread = part.std(axis=0)
        found[rows] = (part - part.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.clip(found, -_SCORE_BOUND, _SCORE_BOUND)


def _indicators(batch: np.ndarray | None, n_cells: int) -> np.ndarray:
    if batch is None:
        return np.zeros((n_cells, 0), dtype=np.float32)
    return (batch[:, None] == np.unique(batch)[None, :]).astype(np.float32)


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
            params.n_latent + cells.batch.shape[1], params.decoder_hidden, head, n_genes,
            scores=params.expression_target == "scores",
        )  # fmt: skip

    def encode(self) -> Tensor:
        """Return the code of each cell, (cells, n_latent)."""
        code: Tensor = self.encoder(self.cells.powers, self.cells.propagate)
        return code

    def decode(self, codes: Tensor) -> Tensor:
        """Return the count decoder's last hidden layer, (cells, width); told the batch if any."""
        hidden: Tensor = self.decoder.hidden(torch.cat([codes, self.cells.batch], dim=1))
        return hidden

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the codes and the loss terms, see :class:`.training.Model`."""
        z = self.encode()
        terms = {
            "adjacency": self.cells.adjacency_loss(*self.adjacency(z)),
            "expression": self.decoder.head(self.decode(z), self.cells.targets, self.cells.depth),
        }
        return {"cells": z}, terms

    def expected_counts(self) -> np.ndarray:
        """Return the expected counts of each entry, (cells, genes), float32."""
        self.eval()
        with torch.no_grad():
            hidden = self.decode(self.encode())
            mean: Tensor = self.decoder.head.mean(  # type: ignore[operator]
                hidden, self.cells.totals, self.cells.depth
            )
        return mean.cpu().numpy()
