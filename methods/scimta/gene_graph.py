"""The graph of genes: correlations of residuals beyond those of permuted data."""

from __future__ import annotations

import random
from dataclasses import dataclass

import igraph
import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from bench.seeds import derive_seed

_BLOCK = 512
"""Genes per block of correlations."""
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class GeneGraph:
    """A graph of correlated genes."""

    features: np.ndarray
    """Correlations with the components above noise, (genes, rank)."""
    adjacency: sp.csr_matrix
    """Weights ((1 + ρ) / 2)^power of edges, genes × genes, symmetric, no self-edges."""
    rank: int
    limit: float
    """Lower bound of the correlations of edges."""


def pearson_residuals(
    counts: sp.csr_matrix, depth: np.ndarray, theta: float = 100.0
) -> np.ndarray:
    """Return (c - μ) / √(μ + μ²/θ) clipped at ± √cells, (cells, genes), float32.

    μ_ig = s_i Σ_i c_ig / Σ_i s_i with ``depth`` s, (cells,). Source: Lause, Berens and Kobak 2021,
    eq. 3, doi 10.1186/s13059-021-02451-7. Their correlations depend less on depth than those of
    logarithms. scanpy's residuals have no depth of their own, which here is that over all genes.
    """
    share = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() / max(depth.sum(), 1e-12)
    mean = np.maximum(depth[:, None] * share[None, :], 1e-12)
    residual = (counts.toarray() - mean) / np.sqrt(mean + mean**2 / theta)
    bound = np.sqrt(counts.shape[0])
    return np.clip(residual, -bound, bound).astype(np.float32)


def gene_graph(
    residuals: np.ndarray, *, k: int, power: float, max_rank: int, seed: int
) -> GeneGraph:
    """Return the graph of each gene's up to ``k`` strongest correlations.

    The correlation of genes g and h is that of their parts in the leading components of the
    centred residuals, relative to their whole norms: F_g F_hᵀ / (‖r_g‖ ‖r_h‖), F = RᵀU. Components
    count if they are stronger than any of the residuals with each gene's cells permuted (parallel
    analysis, Horn 1965), at most ``max_rank``. An edge must exceed the 95 % quantile of the
    strongest correlation of permuted genes, projected on the same components, with the real ones.
    Weights: Zhang and Horvath 2005, signed.
    """
    rng = np.random.default_rng(derive_seed(seed, "permuted genes"))
    centred = residuals - residuals.mean(axis=0)
    norms = np.maximum(np.linalg.norm(centred, axis=0), 1e-12)
    most = max(1, min(max_rank, min(centred.shape) - 1))
    scores, strengths = _components(centred, most, seed)
    permuted = rng.permuted(centred, axis=0)
    rank = max(1, int((strengths > _components(permuted, 1, seed)[1][0]).sum()))
    features = (centred.T @ scores[:, :rank]) / norms[:, None]
    null = (permuted.T @ scores[:, :rank]) / norms[:, None]
    limit = float(np.quantile(_strongest(null, features, 1)[1][:, 0], _CONFIDENCE))
    partners, correlation = _strongest(features, features, k)
    above = correlation > limit
    rows = np.repeat(np.arange(len(features)), above.sum(axis=1))
    weights = ((1 + np.minimum(correlation[above], 1.0)) / 2) ** power
    shape = (len(features), len(features))
    directed = sp.csr_matrix((weights, (rows, partners[above])), shape=shape)
    symmetric = sp.csr_matrix(directed.maximum(directed.T))
    return GeneGraph(features.astype(np.float32), symmetric, rank, limit)


def gene_modules(
    adjacency: sp.csr_matrix, *, resolution: float, smallest: int, seed: int
) -> np.ndarray:
    """Return the Leiden community of each gene, 0 the largest, (genes,).

    -1: genes without edges and those in communities of fewer than ``smallest`` genes.
    """
    upper = sp.triu(adjacency, k=1).tocoo()
    graph = igraph.Graph(n=adjacency.shape[0], edges=np.column_stack((upper.row, upper.col)))
    igraph.set_random_number_generator(random.Random(seed))
    try:
        communities = graph.community_leiden(
            objective_function="modularity", weights=upper.data, resolution=resolution,
            n_iterations=-1,
        )  # fmt: skip
    finally:
        igraph.set_random_number_generator(random)  # igraph's default; it has no getter
    labels = np.asarray(communities.membership, dtype=np.int64)
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    number = np.full(len(sizes), -1)
    large = order[sizes[order] >= smallest]
    number[large] = np.arange(len(large))
    return number[labels]


def _components(matrix: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return unit scores of the cells, (cells, k), and singular values."""
    scores, strengths, _ = randomized_svd(
        matrix, k, n_iter=7, random_state=derive_seed(seed, "gene components")
    )
    return scores, strengths


def _strongest(genes: np.ndarray, partners: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k most correlated ``partners`` of each of ``genes``, and the correlations.

    Both (genes, k). Gene i is never paired with partner i.
    """
    k = max(1, min(k, len(genes) - 1))
    indices, values = [], []
    for start in range(0, len(genes), _BLOCK):
        block = genes[start : start + _BLOCK] @ partners.T
        block[np.arange(len(block)), np.arange(start, start + len(block))] = -np.inf
        best = np.argpartition(-block, k - 1, axis=1)[:, :k]
        indices.append(best)
        values.append(np.take_along_axis(block, best, axis=1))
    return np.concatenate(indices), np.concatenate(values)
