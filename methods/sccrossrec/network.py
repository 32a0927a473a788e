"""The network on one graph: node maps, attention, pools, matching, translation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import Attention, AttentionRules, PairScores, attend

if TYPE_CHECKING:
    import numpy as np

_CHUNK = 2**22
"""Translation scores in memory at once."""


@dataclass(frozen=True)
class CellGraph:
    """Nodes of a graph: genes of a cell, peaks of the same or another cell."""

    genes: Tensor
    expression: Tensor
    gene_share: Tensor
    """Weight of each gene in the pool."""
    peaks: Tensor
    openness: Tensor
    peak_share: Tensor
    pair_scores: PairScores | None = None
    """Added to attention scores, by position in ``genes`` and ``peaks``."""


class SequenceEncoder(nn.Module):
    """Bases to 32 numbers: 64 motifs of 15 bases, maximum over positions."""

    width = 32

    def __init__(self) -> None:
        super().__init__()
        self.motifs = nn.Conv1d(4, 64, 15)
        self.out = nn.Linear(64, self.width)

    def forward(self, codes: Tensor) -> Tensor:
        """Return (peaks, 32) of codes (peaks, bases): A 0, C 1, G 2, T 3, other 4."""
        bases = functional.one_hot(codes.long(), 5)[..., :4].to(self.out.weight.dtype)
        maps = functional.relu(self.motifs(bases.transpose(1, 2)))
        return self.out(maps.amax(dim=2))


class Nodes(nn.Module):
    """Genes or peaks: three linear maps of embedding and static features.

    The value of a node, its expression or openness, is added later. So maps are computed once for
    all cells of a step.
    """

    static: Tensor
    codes: Tensor | None
    sequence: SequenceEncoder | None

    def __init__(
        self, static: Tensor, codes: Tensor | None, id_dim: int, hidden: int, *, sparse: bool
    ) -> None:
        super().__init__()
        self.register_buffer("static", static)
        self.register_buffer("codes", codes)
        self.table = nn.Embedding(len(static), id_dim, sparse=sparse)
        self.sequence = None if codes is None else SequenceEncoder()
        width = id_dim + static.shape[1] + (0 if codes is None else SequenceEncoder.width)
        self.maps = nn.Linear(width, 3 * hidden)
        bound = (width + 1) ** -0.5
        self.value = nn.Parameter(torch.empty(3 * hidden).uniform_(-bound, bound))

    def start_from(self, table: Tensor) -> None:
        """Set the embedding; the third map starts from it alone."""
        own = self.maps.weight.shape[0] // 3 * 2
        with torch.no_grad():
            self.table.weight.copy_(table)
            self.maps.weight[own:, table.shape[1] :] = 0.0
            self.value[own:] = 0.0

    def forward(self, nodes: Tensor) -> Tensor:
        """Return the maps without the value, (nodes, 3 · hidden)."""
        parts = [self.table(nodes), self.static[nodes]]
        if self.sequence is not None and self.codes is not None:
            parts.append(self.sequence(self.codes[nodes]))
        return self.maps(torch.cat(parts, dim=1))


class BipartiteNetwork(nn.Module):
    """Attention between genes and peaks, mean pools, and a matching head.

    Updates are linear in attended values and own values, so that pooling may come first. Published
    parameters for more heads and layers have no effect and are left out.
    """

    gene_chrom: Tensor
    peak_chrom: Tensor
    pool_mean: Tensor
    pool_scale: Tensor
    genes: Nodes
    peaks: Nodes

    def __init__(
        self, genes: Nodes, peaks: Nodes, hidden: int, dropout: float, rules: AttentionRules,
        gene_chrom: Tensor, peak_chrom: Tensor,
    ) -> None:  # fmt: skip
        super().__init__()
        self.genes, self.peaks, self.rules, self.hidden = genes, peaks, rules, hidden
        self.register_buffer("gene_chrom", gene_chrom)
        self.register_buffer("peak_chrom", peak_chrom)
        self.register_buffer("pool_mean", torch.zeros(2 * hidden))
        self.register_buffer("pool_scale", torch.ones(2 * hidden))
        self.gene_update = nn.Linear(2 * hidden, hidden)
        self.peak_update = nn.Linear(2 * hidden, hidden)
        self.head = nn.Sequential(
            nn.Linear(2 * hidden, 128), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(128, 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, 2),
        )  # fmt: skip

    def standardise(self, pools: np.ndarray) -> None:
        """Set mean and standard deviation that standardise pools, from ``pools`` of cells.

        ``pools``: (cells, 2 · hidden). Their common part would hide their differences.
        """
        spread = torch.from_numpy(pools.std(axis=0))
        self.pool_mean.copy_(torch.from_numpy(pools.mean(axis=0)))
        self.pool_scale.copy_(torch.where(spread > 1e-8, spread, 1.0))

    def start_without_neighbours(self) -> None:
        """Set the weights of attended values to 0, because these values are noise at first."""
        with torch.no_grad():
            for update in (self.gene_update, self.peak_update):
                update.weight[:, : self.hidden] = 0.0

    def attention(self, graph: CellGraph, gene_maps: Tensor, peak_maps: Tensor) -> Attention:
        """Return the weights of the pairs of a graph."""
        h = self.hidden
        return attend(
            gene_maps[:, :h], peak_maps[:, :h], self.gene_chrom[graph.genes],
            self.peak_chrom[graph.peaks], self.rules, graph.pair_scores,
        )  # fmt: skip

    def with_values(
        self, graph: CellGraph, gene_maps: Tensor, peak_maps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the maps of nodes with their values."""
        return (
            gene_maps + graph.expression.unsqueeze(1) * self.genes.value,
            peak_maps + graph.openness.unsqueeze(1) * self.peaks.value,
        )

    def pools(self, graph: CellGraph, gene_maps: Tensor, peak_maps: Tensor) -> Tensor:
        """Return pooled genes and peaks, (2 · hidden,); zeros without nodes."""
        h, n_peaks = self.hidden, len(graph.peaks)
        if not len(graph.genes) or not n_peaks:
            return gene_maps.new_zeros(2 * h)
        genes, peaks = self.with_values(graph, gene_maps, peak_maps)
        attention = self.attention(graph, genes, peaks)
        peak_weight = attention.to_peaks(graph.gene_share, n_peaks)
        peak_share = graph.peak_share[attention.peak.clamp(min=0)]
        gene_weight = (attention.weight * peak_share).sum(dim=1)
        from_peaks = peak_weight @ peaks[:, h : 2 * h]
        from_genes = gene_weight @ genes[:, h : 2 * h]
        gene_pool = torch.cat([from_peaks, graph.gene_share @ genes[:, 2 * h :]])
        peak_pool = torch.cat([from_genes, graph.peak_share @ peaks[:, 2 * h :]])
        return torch.cat([self.gene_update(gene_pool), self.peak_update(peak_pool)])

    def forward(self, graphs: list[CellGraph]) -> tuple[Tensor, Tensor]:
        """Return pools (graphs, 2 · hidden) and logits (graphs, 2).

        Maps are computed once for all nodes.
        """
        gene, of_gene = torch.unique(torch.cat([g.genes for g in graphs]), return_inverse=True)
        peak, of_peak = torch.unique(torch.cat([g.peaks for g in graphs]), return_inverse=True)
        gene_maps, peak_maps = self.genes(gene), self.peaks(peak)
        gene_at = of_gene.split([len(g.genes) for g in graphs])
        peak_at = of_peak.split([len(g.peaks) for g in graphs])
        pools = torch.stack([
            self.pools(
                graph, gene_maps.index_select(0, rows), peak_maps.index_select(0, columns)
            )
            for graph, rows, columns in zip(graphs, gene_at, peak_at, strict=True)
        ])  # fmt: skip
        pools = (pools - self.pool_mean) / self.pool_scale
        return pools, self.head(pools)

    def translation_queries(self) -> Tensor:
        """Return a query of every gene with expression 1, (genes, hidden).

        Static features are cut to integers, as published.
        """
        genes, h = self.genes, self.hidden
        inputs = torch.cat([genes.table.weight, genes.static.trunc()], dim=1)
        return inputs @ genes.maps.weight[:h].T + genes.maps.bias[:h] + genes.value[:h]

    def translate(self, graph: CellGraph, *, hard: bool, threshold: float) -> Tensor:
        """Return a number for each gene, (genes,), from open peaks.

        ``hard``: 1 if more than ``threshold`` sigmoids exceed the edge threshold, with
        straight-through gradients; else the sum of sigmoids.
        """
        keys = self.peaks(graph.peaks)[:, : self.hidden]
        keys = keys + graph.openness.unsqueeze(1) * self.peaks.value[: self.hidden]
        limit = self.rules.threshold if hard else None
        count: Tensor = _SigmoidCount.apply(self.translation_queries(), keys, limit)
        if not hard:
            return count
        # Value of the step, gradient of the count.
        return count + ((count > threshold).to(count.dtype) - count).detach()


class _SigmoidCount(torch.autograd.Function):
    """Σ over keys of [sigmoid(q · k) > limit], or of the sigmoid; backward as of the sigmoid.

    Computed in chunks of queries. The backward pass leaves out queries without a gradient and
    reuses the scores of a single chunk.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, limit: float | None) -> Tensor:
        chunks = query.split(max(1, _CHUNK // max(1, len(key))))
        parts, scores = [], query.new_empty(0)
        for rows in chunks:
            scores = rows @ key.T
            if limit is None:
                parts.append(torch.sigmoid(scores).sum(dim=1))
            else:  # a sigmoid exceeds the limit where its score exceeds the limit's logit
                over = scores > math.log(limit / (1 - limit))
                parts.append(over.sum(dim=1).to(query.dtype))
        ctx.save_for_backward(query, key, scores if len(chunks) == 1 else None)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        query, key, scores = ctx.saved_tensors
        for_query, for_key = torch.zeros_like(query), torch.zeros_like(key)
        wanted = grad.nonzero().flatten()
        for rows in wanted.split(max(1, _CHUNK // max(1, len(key)))):
            share = torch.sigmoid(query[rows] @ key.T if scores is None else scores[rows])
            slope = share * (1 - share) * grad[rows].unsqueeze(1)
            for_query[rows] = slope @ key
            for_key += slope.T @ query[rows]
        return for_query, for_key, None
