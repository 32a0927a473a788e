"""Clustering accuracy after the best one-to-one matching of clusters and types."""

from __future__ import annotations

from typing import Any

from bench.contract import Metric


def accuracy(true: Any, predicted: Any) -> float:
    """Return the share of cells whose cluster is matched to their type.

    Clusters and types are matched one to one with the most cells in matched pairs (Kuhn 1955; used
    for clusterings by Yang et al. 2010 and Xie et al. 2016, equation 10).

    Notes
    -----
    Cells of a cluster or type without a partner count as wrong, so too many clusters lower the
    accuracy. Of several best matchings the one with the largest sum of F1 is used.
    """
    from ._contingency import best_matching, contingency

    table = contingency(true, predicted)
    return float(table[best_matching(table)].sum() / table.sum())


METRIC = Metric(
    name="accuracy",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Share of correct cells after one-to-one matching of clusters and types",
    reference="Kuhn 1955, doi:10.1002/nav.3800020109; Xie et al. 2016, arXiv:1511.06335",
    function=accuracy,
)
