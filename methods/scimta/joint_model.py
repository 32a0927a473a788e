"""Cells and genes learned together: the network of scIMTA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from ..nn.blocks import linear
from .cell_graph import Graph
from .cell_model import CellData, CellModel
from .gene_graph import GeneGraph
from .imputation import Imputation
from .losses import AdjacencyLoss
from .network import AdjacencyDecoder, GraphEncoder, MultinomialHead, Propagation
from .params import ScIMTAParams

_GENE_HIDDEN = (64,)
_ROWS = 4096
"""Cells that are dense at a time."""


@dataclass(frozen=True)
class GeneTensors:
    """The constants of the genes' side."""

    powers: Tensor
    propagate: Propagation
    adjacency_loss: AdjacencyLoss

    @classmethod
    def of(cls, found: GeneGraph, graph: Graph, *, device: str) -> GeneTensors:
        """Put features and graph on the device; features have unit variance over all."""
        propagate = Propagation(graph.operator, device)
        features = found.features / max(float(found.features.std()), 1e-12)
        return cls(
            powers=propagate.powers(torch.from_numpy(features).to(device), 1),
            propagate=propagate,
            adjacency_loss=AdjacencyLoss(graph.target, balanced=True, device=device),
        )


class RestorationTargets:
    """Log-normalised values and how much their reconstruction counts.

    Weight 1 where something was observed, ``zero_weight`` where a zero counts as biological, 0
    where it was imputed; divided so that the best constant of each gene has loss 1.
    """

    def __init__(self, values: sp.csr_matrix, imputation: Imputation, zero_weight: float) -> None:
        self._values, self._imputation, self._zero_weight = values, imputation, zero_weight
        n_cells, n_genes = values.shape
        self._scale = 1.0
        total, sums, squares = np.zeros((3, n_genes))
        for start in range(0, n_cells, _ROWS):
            block, weights = self._block(slice(start, start + _ROWS))
            total += weights.sum(axis=0, dtype=np.float64)
            sums += (weights * block).sum(axis=0, dtype=np.float64)
            squares += (weights * block * block).sum(axis=0, dtype=np.float64)
        self.means = (sums / np.maximum(total, 1e-12)).astype(np.float32)
        constant = float((squares - sums**2 / np.maximum(total, 1e-12)).sum())
        self._scale = 1.0 / max(constant, 1e-12)

    def rows(self, chosen: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Return values and weights of some cells; their loss estimates that of all."""
        values, weights = self._block(chosen)
        weights *= self._scale * self._values.shape[0] / max(len(values), 1)
        return values, weights

    def _block(self, chosen: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        values = self._values[chosen].toarray().astype(np.float32)
        biological = (self._imputation.rows(chosen) == 0) & (values == 0)
        return values, (values > 0) + np.float32(self._zero_weight) * biological


class Restoration(nn.Module):
    """Reconstruction of log-normalised values that does not punish what was filled in."""

    def __init__(self, means: np.ndarray, n_in: int) -> None:
        super().__init__()
        self.restore = linear(n_in, len(means))
        with torch.no_grad():
            self.restore.bias.copy_(torch.from_numpy(means))

    def forward(self, hidden: Tensor, values: Tensor, weights: Tensor) -> Tensor:
        """Return the loss, 1 for constants, a scalar."""
        return (weights * (self.restore(hidden) - values).square()).sum()


class JointModel(CellModel):
    """Two graph autoencoders whose codes explain the counts together.

    The logits of the genes' proportions in a cell are those of the decoder plus z_i R z_gᵀ. Each
    loss is divided by its value for the best constant prediction (log 2 of a graph, the entropy of
    the mean proportions), so that weights compare.
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
        self.restoration = (
            None if restored is None else Restoration(restored.means, self.decoder.width)
        )
        gamma = params.gamma
        self.weights = {
            "adjacency": gamma / float(np.log(2)), "gene_adjacency": gamma / float(np.log(2)),
            "expression": (1 - gamma) / _constant_loss(cells.counts), "restoration": 1 - gamma,
        }  # fmt: skip

    def encode_genes(self) -> Tensor:
        """Return the code of each gene, (genes, n_latent)."""
        code: Tensor = self.gene_encoder(self.genes.powers, self.genes.propagate)
        return code

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the codes and the loss terms, see :mod:`.training`."""
        z, z_genes, here = self.encode(), self.encode_genes(), self.cells
        hidden = self.decode(z, here.batch)
        terms = {
            "adjacency": here.adjacency_loss(*self.adjacency(z)),
            "gene_adjacency": self.genes.adjacency_loss(*self.gene_adjacency(z_genes)),
            "expression": self.decoder.head(
                hidden, here.targets, here.depth, self._extra(z, z_genes)
            ),
        }
        if self.restoration is not None:
            assert here.restored is not None
            terms["restoration"] = self.restoration(hidden, *here.restored)
        return {"cells": z, "genes": z_genes}, terms

    def affinity(self, cells: Tensor, genes: Tensor) -> Tensor:
        """Return what the codes of both sides add to the logits, (cells, genes)."""
        if self.coupling is None:
            return torch.zeros(len(cells), len(genes), device=cells.device)
        return cells @ self.coupling @ genes.T

    def expected(self, codes: Tensor, totals: Tensor, depth: Tensor, batch: Tensor) -> Tensor:
        """Return the expected counts of cells with these codes, (cells, genes)."""
        # Heads differ in class; what they share beyond a module is not declared.
        mean: Tensor = self.decoder.head.mean(  # type: ignore[operator]
            self.decode(codes, batch), totals, depth, self._extra(codes, self.encode_genes())
        )
        return mean

    def _extra(self, z: Tensor, z_genes: Tensor) -> Tensor | None:
        return None if self.coupling is None else self.affinity(z, z_genes)


def _constant_loss(counts: sp.csr_matrix) -> float:
    """Return the multinomial's loss for the best proportions that are equal in all cells."""
    totals = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1.0)
    mean = (counts.T @ (1.0 / totals)) / len(totals)
    mean = mean[mean > 0]
    return max(float(-(mean * np.log(mean / mean.sum())).sum()), 1e-6) if len(mean) else 1e-6
