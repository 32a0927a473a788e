"""Adjusted mutual information."""

from __future__ import annotations

from typing import Any

from bench.contract import Metric


def ami(true: Any, predicted: Any) -> float:
    """Return (I - E[I]) / (mean(H(T), H(C)) - E[I]): 1 for equal partitions, 0 at random.

    I is the mutual information of types T and clusters C, H an entropy, E the expectation for
    clusters of the same sizes. AMI_sum of Vinh, Epps and Bailey 2010, equation 3 and table 2.

    Notes
    -----
    Arithmetic mean of the entropies, as in scikit-learn. A little below 0 is possible.

    Raises
    ------
    UndefinedMetric
        If all cells have the same true type.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    from ._contingency import comparable_codes

    return float(adjusted_mutual_info_score(*comparable_codes(true, predicted)))


METRIC = Metric(
    name="ami",
    kind="clustering",
    version=1,
    higher_is_better=True,
    bounds=(-1.0, 1.0),
    summary="Mutual information of clusters and types, corrected for chance",
    reference="Vinh, Epps and Bailey 2010, JMLR 11:2837-2854",
    function=ami,
)
