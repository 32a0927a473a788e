"""Adjusted Rand index."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import adjusted_rand_score

from bench.contract import Metric

from ._contingency import comparable_codes


def ari(true: Any, predicted: Any) -> float:
    """Return the adjusted Rand index: 1 for equal partitions, 0 in expectation at random.

    (RI - E[RI]) / (max RI - E[RI]) over pairs of cells, Hubert and Arabie 1985, equation 5.
    Raises ``UndefinedMetric`` if all cells have the same true type.
    """
    return float(adjusted_rand_score(*comparable_codes(true, predicted)))


METRIC = Metric(
    name="ari",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(-0.5, 1.0),
    summary="Pairs of cells on which clusters and types agree, corrected for chance",
    reference="Hubert and Arabie 1985, doi:10.1007/BF01908075",
    function=ari,
)
