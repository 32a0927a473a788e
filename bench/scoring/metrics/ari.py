"""Adjusted Rand index."""

from __future__ import annotations

from typing import Any

from bench.contract import Metric


def ari(true: Any, predicted: Any) -> float:
    """Return the adjusted Rand index: 1 for equal partitions, 0 in expectation at random.

    (RI - E[RI]) / (max RI - E[RI]) over pairs of cells, Hubert and Arabie 1985, equation 5.

    Notes
    -----
    k-means gets the number of true types and is the best of 10 starts; Leiden has resolution 1.

    Raises
    ------
    UndefinedMetric
        If all cells have the same true type.
    """
    from sklearn.metrics import adjusted_rand_score

    from ._contingency import comparable_codes

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
    scib_metrics="Equal for equal clusters. nmi_ari_cluster_labels_kmeans takes one start of "
    "k-means, not the best of 10; nmi_ari_cluster_labels_leiden takes the best of 10 resolutions "
    "by the labels, the harness resolution 1.",
)
