"""V-measure."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import v_measure_score

from bench.contract import Metric

from ._contingency import comparable_codes


def v_measure(true: Any, predicted: Any) -> float:
    """Return the harmonic mean of homogeneity and completeness.

    Rosenberg and Hirschberg 2007, equation 3 with beta = 1; equal to ``nmi`` in value, listed
    because papers report either.
    Raises ``UndefinedMetric`` if all cells have the same true type.
    """
    return float(v_measure_score(*comparable_codes(true, predicted)))


METRIC = Metric(
    name="v_measure",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Harmonic mean of homogeneity and completeness",
    reference="Rosenberg and Hirschberg 2007, EMNLP-CoNLL 410-420",
    function=v_measure,
)
