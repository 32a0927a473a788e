"""Differences between clusters of cells in communities of genes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, mannwhitneyu

UNASSIGNED = "unassigned"
_TOP_GENES = 20


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

    ``effect``: mean eigengene inside minus outside, in standard deviations. ``auroc``: chance that
    a cell inside is higher. ``fdr``: of the rank test (Mann and Whitney 1947) after Benjamini and
    Hochberg 1995. ``affinity``: the model's own score. ``genes``: up to 20, by membership times
    residual variance. Clusters of no cell or of all cells have no rows.
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
