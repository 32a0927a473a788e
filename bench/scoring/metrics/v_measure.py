"""Homogeneity, completeness and V-measure of Rosenberg and Hirschberg 2007."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.contract import Metric


def homogeneity(true: Any, predicted: Any) -> float:
    """Return 1 - H(T | C) / H(T): 1 if each cluster holds cells of one type only.

    H(T) is the entropy of the types, H(T | C) their entropy within the clusters. Equation 1.

    Notes
    -----
    A clustering with one cell a cluster is perfectly homogeneous.

    Raises
    ------
    UndefinedMetric
        If all cells have the same true type.
    """
    return _entropy_scores(true, predicted)[0]


def completeness(true: Any, predicted: Any) -> float:
    """Return 1 - H(C | T) / H(C): 1 if all cells of each type are in one cluster.

    H(C) is the entropy of the clusters, H(C | T) their entropy within the types. Equation 2.

    Notes
    -----
    A single cluster is perfectly complete.

    Raises
    ------
    UndefinedMetric
        If all cells have the same true type.
    """
    return _entropy_scores(true, predicted)[1]


def v_measure(true: Any, predicted: Any) -> float:
    """Return the harmonic mean of homogeneity and completeness.

    Equation 3 with beta = 1.

    Notes
    -----
    Equal to ``nmi``; papers report either.

    Raises
    ------
    UndefinedMetric
        If all cells have the same true type.
    """
    return _entropy_scores(true, predicted)[2]


def _entropy_scores(true: Any, predicted: Any) -> tuple[float, ...]:
    """Return homogeneity, completeness and V-measure."""
    from sklearn.metrics import homogeneity_completeness_v_measure

    from ._contingency import comparable_codes

    scores = homogeneity_completeness_v_measure(*comparable_codes(true, predicted))
    return tuple(map(float, scores))


def _metric(function: Callable[[Any, Any], float], summary: str) -> Metric:
    return Metric(
        name=function.__name__,
        kind="clustering",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary=summary,
        reference="Rosenberg and Hirschberg 2007, EMNLP-CoNLL 410-420",
        function=function,
    )


METRICS = (
    _metric(homogeneity, "1 if each cluster holds cells of one type only"),
    _metric(completeness, "1 if all cells of a type are in one cluster"),
    _metric(v_measure, "Harmonic mean of homogeneity and completeness"),
)
