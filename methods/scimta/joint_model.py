"""Network of scIMTA, which learns cells and genes together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..nn.blocks import linear
from .cell_model import CellData, CellModel
from .losses import AdjacencyLoss
from .network import AdjacencyDecoder, GraphEncoder, MultinomialHead, Propagation

if TYPE_CHECKING:
    import scipy.sparse as sp

    from .cell_graph import Graph
    from .imputation import RestorationTargets
    from .params import ScIMTAParams

_GENE_HIDDEN = (64,)


@dataclass(frozen=True)
class GeneTensors:
    powers: Tensor
    propagate: Propagation
    adjacency_loss: AdjacencyLoss

    @classmethod
    def of(cls, features: np.ndarray, graph: Graph, *, balanced: bool, device: str) -> GeneTensors:
        """Return the tensors of gene features, (genes, rank), scaled to unit variance."""
        propagate = Propagation(graph.operator, device)
        features = features / max(float(features.std()), 1e-12)
        return cls(
            powers=propagate.powers(torch.from_numpy(features).to(device), 1),
            propagate=propagate,
            adjacency_loss=AdjacencyLoss(graph.target, balanced=balanced, device=device),
        )


class Restoration(nn.Module):
    """Reconstruction of log values; imputed zeros have no loss."""

    def __init__(self, means: np.ndarray, n_in: int) -> None:
        super().__init__()
        self.restore = linear(n_in, len(means))
        with torch.no_grad():
            self.restore.bias.copy_(torch.from_numpy(means))

    def forward(self, hidden: Tensor, values: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted squared error; the best constant of each gene has 1."""
        return (weights * (self.restore(hidden) - values).square()).sum()


class JointModel(CellModel):
    """Two graph autoencoders whose codes explain the counts together.

    Gene logits of a cell are those of the decoder plus z_i R z_gᵀ. Each loss is divided by that of
    the best constant (graphs: log 2; counts: the entropy of the mean proportions), so that weights
    are comparable. The published losses, squared errors of edges and products with z-scores, are
    not divided.
    """

    def __init__(
        self, cells: CellData, genes: GeneTensors, params: ScIMTAParams,
        restored: RestorationTargets | None,
    ) -> None:  # fmt: skip
        super().__init__(cells, params, MultinomialHead, conv_hops=1)
        self.genes = genes
        n_features = genes.powers.shape[1] // 2
        self.gene_encoder = GraphEncoder(n_features, _GENE_HIDDEN, params.n_latent, hops=1)
        self.gene_adjacency = AdjacencyDecoder(params.n_latent, params.n_adjacency)
        self.coupling: nn.Parameter | None = None
        if params.couple_genes:
            self.coupling = nn.Parameter(torch.empty(params.n_latent, params.n_latent))
            nn.init.xavier_uniform_(self.coupling)
        width = self.head.logits.in_features
        self.restoration = None if restored is None else Restoration(restored.means, width)
        gamma = params.gamma
        of_graph = float(np.log(2)) if params.graph_loss == "balanced" else 1.0
        scores = params.expression_target == "scores"
        of_counts = 1.0 if scores else _constant_loss(cells.counts)
        self.weights = {
            "adjacency": gamma / of_graph, "gene_adjacency": gamma / of_graph,
            "expression": (1 - gamma) / of_counts, "restoration": 1 - gamma,
        }  # fmt: skip

    def encode_genes(self) -> Tensor:
        code: Tensor = self.gene_encoder(self.genes.powers, self.genes.propagate)
        return code

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, z_genes, cells = self.encode(), self.encode_genes(), self.cells
        hidden = self.decode(z, cells.batch)
        terms = {
            "adjacency": cells.adjacency_loss(*self.adjacency(z)),
            "gene_adjacency": self.genes.adjacency_loss(*self.gene_adjacency(z_genes)),
            "expression": self.head(
                hidden, cells.targets, cells.depth, self._gene_logits(z, z_genes)
            ),
        }
        if self.restoration is not None:
            assert cells.restored is not None
            terms["restoration"] = self.restoration(hidden, *cells.restored)
        return {"cells": z, "genes": z_genes}, terms

    def affinity(self, cells: Tensor, genes: Tensor) -> Tensor:
        """Return logits from the codes of cells and genes, (cells, genes)."""
        if self.coupling is None:
            return torch.zeros(len(cells), len(genes), device=cells.device)
        return cells @ self.coupling @ genes.T

    def expected(self, codes: Tensor, totals: Tensor, depth: Tensor, batch: Tensor) -> Tensor:
        extra = self._gene_logits(codes, self.encode_genes())
        mean: Tensor = self.head.mean(self.decode(codes, batch), totals, depth, extra)
        return mean

    def _gene_logits(self, z: Tensor, z_genes: Tensor) -> Tensor | None:
        return None if self.coupling is None else self.affinity(z, z_genes)


def _constant_loss(counts: sp.csr_matrix) -> float:
    """Return the multinomial loss of the best shared proportions."""
    totals = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1.0)
    mean = (counts.T @ (1.0 / totals)) / len(totals)
    mean = mean[mean > 0]
    return max(float(-(mean * np.log(mean / mean.sum())).sum()), 1e-6) if len(mean) else 1e-6
