"""Homogeneity."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import homogeneity_score

from bench.contract import Metric

from ._contingency import comparable_codes


def homogeneity(true: Any, predicted: Any) -> float:
    """Return 1 - H(T | C) / H(T): 1 if each cluster holds cells of one type only.

    Rosenberg and Hirschberg 2007, equation 1. One cluster a cell is perfectly homogeneous.
    Raises ``UndefinedMetric`` if all cells have the same true type.
    """
    return float(homogeneity_score(*comparable_codes(true, predicted)))


METRIC = Metric(
    name="homogeneity",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="1 if each cluster holds cells of one type only",
    reference="Rosenberg and Hirschberg 2007, EMNLP-CoNLL 410-420",
    function=homogeneity,
)
