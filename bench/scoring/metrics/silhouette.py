"""Silhouette of the clusters and of the true types on the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult

if TYPE_CHECKING:
    import numpy as np


def silhouette(embedding: np.ndarray, labels: Any, *, seed: int) -> MetricResult:
    """Return the mean over cells of (b - a) / max(a, b).

    a is the mean Euclidean distance to the other cells of the same cluster or type, b the smallest
    mean distance to the cells of another one (Rousseeuw 1987).

    Notes
    -----
    A cell alone in its cluster scores 0. Above 10,000 cells it is the mean within a sample of
    10,000, drawn with the seed; the fact ``cells`` is their number. The silhouette of the types
    does not follow the quality of clusterings (UMAP raised it on 29 of 30 datasets, the ARI on
    15): do not rank methods by it alone.

    Raises
    ------
    UndefinedMetric
        For one cluster, if every cluster has one cell, or if all points are equal.
    """
    from ._silhouettes import cell_silhouettes

    widths, _ = cell_silhouettes(embedding, labels, seed=seed)
    return float(widths.mean()), {"cells": float(len(widths))}


_REFERENCE = "Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7"
METRICS = (
    Metric(
        name="silhouette",
        kind="partition",
        version=1,
        higher_is_better=True,
        bounds=(-1.0, 1.0),
        summary="Mean silhouette of the clusters on the embedding",
        reference=_REFERENCE,
        function=silhouette,
    ),
    Metric(
        name="silhouette_types",
        kind="embedding",
        version=1,
        higher_is_better=True,
        bounds=(-1.0, 1.0),
        summary="Mean silhouette of the true types on the embedding",
        reference=_REFERENCE,
        function=silhouette,
        scib_metrics="silhouette_label returns (s + 1) / 2, 0 to 1, of the same s, and takes no "
        "sample.",
    ),
)
