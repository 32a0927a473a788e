"""How well the neighbours of a cell tell whether it is of the rare type: average precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.metrics import average_precision_score

from bench.contract import Metric, MetricResult, RareTask
from bench.scoring.metrics._rare import held_out, votes

if TYPE_CHECKING:
    import numpy as np


def rare_ap(embedding: np.ndarray, task: RareTask, *, seed: int) -> MetricResult:
    """Return the average precision of the share of rare cells among the 15 nearest others.

    AP = Σ (R_n - R_n-1) P_n over the distinct shares, from the largest down (scikit-learn's
    ``average_precision_score``); cells of equal share count together. A useless embedding scores
    about the prevalence, fact ``prevalence``; fact ``cells`` is the number of rare cells.
    """
    return _precision(embedding, task.rare, None, seed)


def rare_ap_held_out(embedding: np.ndarray, task: RareTask, *, seed: int) -> MetricResult:
    """Return the same for held-out cells, whose neighbours are the training cells."""
    return _precision(embedding, task.rare, held_out(task), seed)


def _precision(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, seed: int
) -> MetricResult:
    neighbours, truly = votes(embedding, rare, train, seed=seed)
    value = average_precision_score(truly, neighbours.mean(axis=1))
    return float(value), {"cells": float(truly.sum()), "prevalence": float(truly.mean())}


_REFERENCE = "Davis and Goadrich 2006, doi:10.1145/1143844.1143874"
METRICS = (
    Metric(
        name="rare_ap",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Average precision of the 15-neighbour vote for the rare type",
        reference=_REFERENCE,
        function=rare_ap,
    ),
    Metric(
        name="rare_ap_held_out",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="The same for held-out cells, by the vote of training cells",
        reference=_REFERENCE,
        function=rare_ap_held_out,
    ),
)
