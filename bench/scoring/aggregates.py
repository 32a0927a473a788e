"""Means of scores as in scIB: bio conservation, batch correction, and both.

They are computed from the scores of a run for each table of results and are not stored, so they
always fit the newest scores, also after ``bench score``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from bench.contract import Metric, UndefinedMetric

PREFIX = "scib"
"""First part of the keys of aggregates, such as ``scib/total``."""
CONSERVATION = ("kmeans/nmi", "kmeans/ari", "embedding/silhouette_types", "embedding/clisi")
ISOLATED = "embedding/isolated_silhouette"
CORRECTION = (
    "embedding/bras", "embedding/ilisi", "embedding/kbet", "embedding/graph_connectivity",
    "embedding/pcr_comparison",
)  # fmt: skip
_FROM_MINUS_ONE = ("embedding/silhouette_types", ISOLATED)
"""Scores from -1 to 1, which enter as (s + 1) / 2."""


def bio_conservation(scores: Mapping[str, float]) -> float:
    """Return the mean of NMI and ARI of k-means, silhouette of types, cLISI and isolated types.

    Silhouettes enter as (s + 1) / 2, from 0 to 1.

    Notes
    -----
    Without batches there are no isolated types, and it is the mean of the other four. Use it to
    compare methods on one dataset, not datasets.

    Raises
    ------
    UndefinedMetric
        If one of the scores is missing; ``bench score`` adds missing scores of older fits.
    """
    has_batches = any(key in scores for key in (ISOLATED, *CORRECTION))
    return _mean(scores, (*CONSERVATION, ISOLATED) if has_batches else CONSERVATION)


def batch_correction(scores: Mapping[str, float]) -> float:
    """Return the mean of BRAS, iLISI, kBET, graph connectivity and PCR comparison.

    Raises
    ------
    UndefinedMetric
        Without batches, or if one of the scores is missing.
    """
    return _mean(scores, CORRECTION)


def total(scores: Mapping[str, float]) -> float:
    """Return 0.6 bio conservation + 0.4 batch correction.

    The weights of Luecken et al. 2022.

    Notes
    -----
    The paper scales each metric between the worst and the best method first; here a score depends
    on its method alone.

    Raises
    ------
    UndefinedMetric
        Without batches, or if one of the scores is missing.
    """
    return 0.6 * bio_conservation(scores) + 0.4 * batch_correction(scores)


def _mean(scores: Mapping[str, float], keys: tuple[str, ...]) -> float:
    for key in keys:
        if key not in scores:
            raise UndefinedMetric(key)
    values = [(scores[key] + 1) / 2 if key in _FROM_MINUS_ONE else scores[key] for key in keys]
    return sum(values) / len(values)


_PARTS = (
    "The parts differ from those of its Benchmarker as their own entries say: kBET over all "
    "cells, graph connectivity of the undirected graph, the best of 10 starts of k-means."
)
_REFERENCE = "Luecken et al. 2022, doi:10.1038/s41592-021-01336-8"
AGGREGATES = (
    Metric(
        name="bio_conservation",
        kind="aggregate",
        version=1,
        higher_is_better=True,
        bounds=(-0.1, 1.0),
        summary="Mean of the scores of the separation of types",
        reference=_REFERENCE,
        function=bio_conservation,
        scib_metrics=_PARTS,
    ),
    Metric(
        name="batch_correction",
        kind="aggregate",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Mean of the scores of the mixing of batches",
        reference=_REFERENCE,
        function=batch_correction,
        scib_metrics=_PARTS,
    ),
    Metric(
        name="total",
        kind="aggregate",
        version=1,
        higher_is_better=True,
        bounds=(-0.06, 1.0),
        summary="0.6 bio conservation + 0.4 batch correction",
        reference=_REFERENCE,
        function=total,
        scib_metrics=f"The same weights. {_PARTS}",
    ),
)


def aggregate_scores(
    scores: Mapping[str, float], missing: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the aggregates of a fit, and the reasons for missing aggregates, both by key.

    ``scores`` are the values of the fit, ``missing`` the reasons for missing scores, both by key.
    """
    values, reasons = {}, {}
    for metric in AGGREGATES:
        key = f"{PREFIX}/{metric.name}"
        try:
            values[key] = cast("float", metric.function(scores))
        except UndefinedMetric as lacking:
            why = missing.get(str(lacking), "not computed; 'bench score' adds it")
            reasons[key] = f"without {lacking}: {why}"
    return values, reasons
