"""Average precision of the neighbour vote for the rare type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._ranking import PR
from ._rare import rare_metrics, rare_neighbours

if TYPE_CHECKING:
    import numpy as np

    from bench.contract import MetricResult


def rare_ap(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, *, seed: int
) -> MetricResult:
    """Return the average precision of the share of rare cells among the 15 nearest others.

    AP = Σ (R_n - R_n-1) P_n over the distinct shares, from the largest down; R is recall, P
    precision (scikit-learn's ``average_precision_score``). The held-out form ranks the held-out
    cells by their neighbours among the training cells.

    Notes
    -----
    Cells of equal share have one threshold. An uninformative embedding scores about the prevalence
    (fact ``prevalence``). Fact ``cells`` is the number of rare cells.

    Raises
    ------
    UndefinedMetric
        If all cells or none are rare, or if all points are equal.
    """
    from sklearn.metrics import average_precision_score

    neighbours, is_rare = rare_neighbours(embedding, rare, train, seed=seed)
    value = average_precision_score(is_rare, neighbours.mean(axis=1))
    return float(value), {"cells": float(is_rare.sum()), "prevalence": float(is_rare.mean())}


METRICS = rare_metrics(
    "rare_ap",
    rare_ap,
    reference=PR,
    summary="Average precision of the 15-neighbour vote for the rare type",
    held_out_summary="The same for held-out cells, by the vote of training cells",
)
