"""Number of clusters found."""

from __future__ import annotations

from typing import Any

from bench.contract import Metric


def n_clusters(true: Any, predicted: Any) -> float:
    """Return the number of clusters with at least one cell."""
    from ._contingency import contingency

    return float(contingency(true, predicted).shape[1])


METRIC = Metric(
    name="n_clusters",
    kind="clustering",
    version=1,
    higher_is_better=None,
    bounds=(1.0, float("inf")),
    summary="Number of clusters found",
    reference="a count",
    function=n_clusters,
    without_types=True,
)
