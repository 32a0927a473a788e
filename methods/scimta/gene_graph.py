"""Graph of genes whose residuals correlate beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from bench.scoring.clustering import graph_communities
from bench.seeds import derive_seed

_BLOCK = 512
"""Genes per block."""
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class GeneGraph:
    features: np.ndarray
    """Correlations with components above noise, (genes, rank)."""
    adjacency: sp.csr_matrix
    """Edge weights ((1 + ρ) / 2)^power, symmetric, no self-edges."""
    rank: int
    limit: float
    """Smallest correlation of an edge."""


def pearson_residuals(
    counts: sp.csr_matrix, depth: np.ndarray, theta: float = 100.0
) -> np.ndarray:
    """Return (c - μ) / √(μ + μ²/θ), clipped at ± √cells, (cells, genes), float32.

    μ is the gene's share of all counts times ``depth``, (cells,). Source: Lause, Berens and Kobak
    2021, eq. 3, doi 10.1186/s13059-021-02451-7. Correlations of these residuals depend less on
    depth than those of logarithms. scanpy's residuals cannot take depths over all genes.
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

    Correlations are those within the leading components of the residuals, relative to whole norms.
    Components count if they exceed those of permuted cells (parallel analysis, Horn 1965). Edges
    must exceed the 95 % quantile of the strongest correlations of permuted genes. Weights follow
    Zhang and Horvath 2005, signed.
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

    -1: the community has fewer than ``smallest`` genes.
    """
    labels = graph_communities(adjacency, resolution, seed, n_iterations=-1)
    labels[np.bincount(labels)[labels] < smallest] = -1
    return labels


def _components(matrix: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return unit scores of the cells, (cells, k), and singular values."""
    scores, strengths, _ = randomized_svd(
        matrix, k, n_iter=7, random_state=derive_seed(seed, "gene components")
    )
    return scores, strengths


def _strongest(genes: np.ndarray, partners: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` most correlated partners of each gene and the correlations, (genes, k).

    Gene i is never paired with partner i.
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
