"""Graph and communities of genes, and how clusters of cells differ in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.stats import false_discovery_control, mannwhitneyu
from sklearn.utils.extmath import randomized_svd

from bench.scoring.clustering import graph_communities
from bench.seeds import derive_seed

_BLOCK = 512
"""Genes per block."""
_CONFIDENCE = 0.95
_TOP_GENES = 20
UNASSIGNED = "unassigned"


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

    Correlations are inner products of genes in the leading components of the residuals, over the
    norms in all components. Components count if their singular value exceeds the largest after the
    cells of each gene were permuted (parallel analysis, Horn 1965). Edges must exceed the 95 %
    quantile of the strongest correlations of permuted genes. Weights follow Zhang and Horvath
    2005, signed.
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


def eigengenes(residuals: np.ndarray, community: np.ndarray, n_communities: int) -> np.ndarray:
    """Return the first principal component of each community, (cells, communities).

    Unit variance, loadings positive on average; 0 for a community without genes. ``community``:
    number of each gene, -1 for none.
    """
    scores = np.zeros((len(residuals), n_communities))
    for number in range(n_communities):
        members = residuals[:, community == number].astype(np.float64)
        if members.shape[1] == 0:
            continue
        centred = members - members.mean(axis=0)
        loading = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        score = centred @ (loading if loading.sum() >= 0 else -loading)
        scores[:, number] = score / (score.std() or 1.0)
    return scores


def membership(residuals: np.ndarray, community: np.ndarray, eigen: np.ndarray) -> np.ndarray:
    """Return each gene's correlation with its community's eigengene; NaN without one."""
    centred = residuals - residuals.mean(axis=0)
    scale = np.maximum(centred.std(axis=0), 1e-12)
    correlation = np.full(residuals.shape[1], np.nan)
    for number in range(eigen.shape[1]):
        genes = community == number
        products = centred[:, genes].T @ eigen[:, number]
        correlation[genes] = products / len(residuals) / scale[genes]
    return correlation


def interpretation(
    eigen: np.ndarray, cluster_of_cell: np.ndarray, affinity: np.ndarray, genes: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per cluster and community, most different first.

    ``effect``: mean eigengene inside the cluster minus outside, in standard deviations. ``auroc``:
    chance that a cell inside is higher. ``fdr``: of the rank test (Mann and Whitney 1947) after
    Benjamini and Hochberg 1995. ``affinity``: the model's logits of the centres, (clusters,
    communities). ``genes``: up to 20, by membership times residual variance. Clusters of no cell
    or of all cells have no rows.
    """
    top = _top_genes(genes)
    rows = []
    for cluster in range(len(affinity)):
        inside = cluster_of_cell == cluster
        if not inside.any() or inside.all():
            continue
        test = mannwhitneyu(eigen[inside], eigen[~inside], method="asymptotic")
        aurocs = test.statistic / (inside.sum() * (~inside).sum())
        effects = eigen[inside].mean(axis=0) - eigen[~inside].mean(axis=0)
        rows += [
            {"cluster": f"cluster{cluster + 1}", "community": f"community{number + 1}",
             "effect": effects[number], "auroc": aurocs[number], "fdr": test.pvalue[number],
             "affinity": affinity[cluster, number], "genes": top.get(f"community{number + 1}", "")}
            for number in range(eigen.shape[1])
        ]  # fmt: skip
    columns = ["cluster", "community", "effect", "auroc", "fdr", "affinity", "genes"]
    table = pd.DataFrame(rows, columns=columns)
    if len(table):
        # The test is undefined if all values are equal.
        table["fdr"] = false_discovery_control(table["fdr"].fillna(1.0))
        order = (table["auroc"] - 0.5).abs().sort_values(ascending=False, kind="stable").index
        table = table.loc[order].reset_index(drop=True)
    return table


def _top_genes(genes: pd.DataFrame) -> dict[str, str]:
    assigned = genes[genes["community"] != UNASSIGNED]
    score = assigned["membership"] * assigned["variance"]
    ordered = assigned.loc[score.sort_values(ascending=False, kind="stable").index]
    return {
        str(name): " ".join(map(str, part.index[:_TOP_GENES]))
        for name, part in ordered.groupby("community")
    }
