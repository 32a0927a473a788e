"""Completeness."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import completeness_score

from bench.contract import Metric

from ._contingency import comparable_codes


def completeness(true: Any, predicted: Any) -> float:
    """Return 1 - H(C | T) / H(C): 1 if all cells of each type are in one cluster.

    Rosenberg and Hirschberg 2007, equation 2. A single cluster is perfectly complete.
    Raises ``UndefinedMetric`` if all cells have the same true type.
    """
    return float(completeness_score(*comparable_codes(true, predicted)))


METRIC = Metric(
    name="completeness",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="1 if all cells of a type are in one cluster",
    reference="Rosenberg and Hirschberg 2007, EMNLP-CoNLL 410-420",
    function=completeness,
)
