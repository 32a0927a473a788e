"""Normalised mutual information."""

from __future__ import annotations

from typing import Any

from bench.contract import Metric


def nmi(true: Any, predicted: Any) -> float:
    """Return 2 I(T; C) / (H(T) + H(C)), the arithmetic normalisation.

    I is the mutual information of types T and clusters C, H an entropy. NMI_sum of Vinh, Epps and
    Bailey 2010, table 2.

    Notes
    -----
    Not corrected for chance: it grows with the number of clusters.

    Raises
    ------
    UndefinedMetric
        If all cells have the same true type.
    """
    from sklearn.metrics import normalized_mutual_info_score

    from ._contingency import comparable_codes

    return float(normalized_mutual_info_score(*comparable_codes(true, predicted)))


METRIC = Metric(
    name="nmi",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Mutual information over the mean of the two entropies",
    reference="Vinh, Epps and Bailey 2010, JMLR 11:2837-2854",
    function=nmi,
    scib_metrics="Equal for equal clusters; the clusterings differ as for ari.",
)
