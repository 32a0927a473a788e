"""Cells and genes learned together: the network of scIMTA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..nn.blocks import linear
from .cells import CellModel, CellTensors
from .genes import GeneGraph
from .graph import Graph
from .imputation import Imputation
from .losses import AdjacencyLoss
from .network import AdjacencyDecoder, GraphEncoder, MultinomialHead, Propagation

if TYPE_CHECKING:
    from .full import ScIMTA

_GENE_HIDDEN = (64,)


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


class Restoration(nn.Module):
    """Reconstruction of log-normalised values that does not punish what was filled in.

    The weighted mean squared error over the entries: weight 1 where something was observed,
    ``zero_weight`` where a zero counts as biological, 0 where it was imputed; divided by that of
    the best constant of each gene.
    """

    def __init__(
        self, values: np.ndarray, imputation: Imputation, n_in: int, zero_weight: float
    ) -> None:
        super().__init__()
        weights = (values > 0) + zero_weight * imputation.kept_zeros() * (values == 0)
        weights = weights.astype(np.float32)
        total = np.maximum(weights.sum(axis=0), 1e-12)
        mean = (weights * values).sum(axis=0) / total
        constant = float((weights * (values - mean) ** 2).sum())
        self.register_buffer("values", torch.from_numpy(values), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weights / max(constant, 1e-12)),
                             persistent=False)  # fmt: skip
        self.restore = linear(n_in, values.shape[1])
        with torch.no_grad():
            self.restore.bias.copy_(torch.from_numpy(mean.astype(np.float32)))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the loss, 1 for constants, a scalar."""
        error = (self.restore(hidden) - self.values).square()
        return (self.weights * error).sum()


class JointModel(CellModel):
    """Two graph autoencoders whose codes explain the counts together.

    The logits of the genes' proportions in a cell are those of the decoder plus z_i R z_gᵀ. Each
    loss is divided by its value for the best constant prediction (log 2 of a graph, the entropy of
    the mean proportions), so that weights compare.
    """

    def __init__(
        self, cells: CellTensors, genes: GeneTensors, params: ScIMTA.Params,
        values: np.ndarray, imputation: Imputation | None,
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
            None if imputation is None
            else Restoration(values, imputation, self.decoder.width, params.zero_weight)
        )  # fmt: skip
        gamma = params.gamma
        self.weights = {
            "adjacency": gamma / float(np.log(2)), "gene_adjacency": gamma / float(np.log(2)),
            "expression": (1 - gamma) / _constant_loss(cells.targets), "restoration": 1 - gamma,
        }  # fmt: skip

    def encode_genes(self) -> Tensor:
        """Return the code of each gene, (genes, n_latent)."""
        code: Tensor = self.gene_encoder(self.genes.powers, self.genes.propagate)
        return code

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the codes and the loss terms, see :class:`.training.Model`."""
        z, z_genes = self.encode(), self.encode_genes()
        hidden = self.decode(z)
        terms = {
            "adjacency": self.cells.adjacency_loss(*self.adjacency(z)),
            "gene_adjacency": self.genes.adjacency_loss(*self.gene_adjacency(z_genes)),
            "expression": self.decoder.head(
                hidden, self.cells.targets, self.cells.depth, self._extra(z, z_genes)
            ),
        }
        if self.restoration is not None:
            terms["restoration"] = self.restoration(hidden)
        return {"cells": z, "genes": z_genes}, terms

    def affinity(self, cells: Tensor, genes: Tensor) -> Tensor:
        """Return what the codes of both sides add to the logits, (cells, genes)."""
        if self.coupling is None:
            return torch.zeros(len(cells), len(genes), device=cells.device)
        return cells @ self.coupling @ genes.T

    def expected_counts(self) -> np.ndarray:
        """Return the expected counts of each entry, (cells, genes), float32."""
        self.eval()
        with torch.no_grad():
            z = self.encode()
            mean: Tensor = self.decoder.head.mean(  # type: ignore[operator]
                self.decode(z), self.cells.totals, self.cells.depth,
                self._extra(z, self.encode_genes()),
            )  # fmt: skip
        return mean.cpu().numpy()

    def _extra(self, z: Tensor, z_genes: Tensor) -> Tensor | None:
        return None if self.coupling is None else self.affinity(z, z_genes)


def _constant_loss(counts: Tensor) -> float:
    """Return the multinomial's loss for the best proportions that are equal in all cells."""
    shares = counts / counts.sum(dim=1, keepdim=True).clamp_min(1.0)
    mean = shares.mean(dim=0)
    return max(float(-torch.xlogy(mean, mean / mean.sum().clamp_min(1e-12)).sum()), 1e-6)
