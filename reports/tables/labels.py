"""Labels, units and directions of metrics, and numbers as text."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from bench.scoring.aggregates import AGGREGATES, CORRECTION, PREFIX
from bench.scoring.metrics import built_in_metrics, metrics, stamp_direction
from bench.scoring.score_names import MAIN_SCORE

if TYPE_CHECKING:
    import pandas as pd

    from bench.scoring.metrics import Metric

MAIN_METRIC = MAIN_SCORE
STAMPS = "stamps"
"""Column with the versions of a job's metrics, as JSON."""
HARNESS_PARTS = ("kmeans", "leiden", "embedding", "paired", "predicted", PREFIX)
"""First parts of metric keys; any other is a clustering of the method itself."""
MEASURES = ("seconds", "cpu_seconds", "peak_memory_mb", "n_parameters", "coverage")
DEFAULT_COLUMNS = (
    "kmeans/ari", "kmeans/nmi", "kmeans/ami", "leiden/ari", "leiden/n_clusters",
    "embedding/silhouette_types", "embedding/knn_purity", "embedding/ilisi",
    f"{PREFIX}/bio_conservation", f"{PREFIX}/batch_correction", f"{PREFIX}/total",
    "paired/match_auroc", "paired/match_auroc_hard", "paired/foscttm", "paired/retrieval_top5",
    "paired/translation_auroc_genes", "paired/recovery_auroc",
)  # fmt: skip
"""Metrics that a page always shows, in this order; the others are shown on demand."""
_SHORT = {
    "ari": "ARI",
    "nmi": "NMI",
    "ami": "AMI",
    "ilisi": "iLISI",
    "clisi": "cLISI",
    "bras": "BRAS",
    "pcr_comparison": "PCR comparison",
    "isolated_silhouette": "silhouette of isolated types",
    "bio_conservation": "scIB bio conservation",
    "batch_correction": "scIB batch correction",
    "total": "scIB total",
    "kbet": "kBET",
    "knn_purity": "kNN purity",
    "macro_f1": "macro F1",
    "rare_f1": "rare-type F1",
    "rare_ap": "rare-type AP",
    "rare_ap_held_out": "rare-type AP, held out",
    "rare_auroc": "rare-type AUROC",
    "rare_auroc_held_out": "rare-type AUROC, held out",
    "rare_purity": "rare-type kNN purity",
    "rare_purity_held_out": "rare-type kNN purity, held out",
    "isolated_f1": "isolated-label F1",
    "isolated_f1_held_out": "isolated-label F1, held out",
    "match_auroc": "matching AUROC",
    "match_auroc_easy": "matching AUROC, other type",
    "match_auroc_hard": "matching AUROC, same type",
    "match_ap": "matching AUPRC",
    "match_ap_easy": "matching AUPRC, other type",
    "match_ap_hard": "matching AUPRC, same type",
    "match_accuracy": "matching accuracy",
    "foscttm": "FOSCTTM",
    "retrieval_top1": "top-1 retrieval",
    "retrieval_top5": "top-5 retrieval",
    "retrieval_top10": "top-10 retrieval",
    "translation_auroc_cells": "translation AUROC per cell",
    "translation_auroc_cells_baseline": "translation AUROC per cell, detection rate",
    "translation_auroc_genes": "translation AUROC per gene",
    "translation_ap_cells": "translation AUPRC per cell",
    "translation_ap_cells_baseline": "translation AUPRC per cell, detection rate",
    "translation_ap_genes": "translation AUPRC per gene",
    "translation_ap_genes_baseline": "translation AUPRC per gene, detection rate",
    "recovery_auroc": "hidden genes AUROC",
    "recovery_auroc_baseline": "hidden genes AUROC, detection rate",
    "recovery_ap": "hidden genes AUPRC",
    "recovery_ap_baseline": "hidden genes AUPRC, detection rate",
    "v_measure": "V-measure",
    "n_clusters": "clusters",
    "silhouette": "silhouette of clusters",
    "knn_preservation": "kNN preservation",
    "silhouette_types": "silhouette of types",
}
_MEASURE_LABELS = {
    "seconds": "time (s)",
    "cpu_seconds": "CPU time (s)",
    "peak_memory_mb": "peak memory (MiB)",
    "n_parameters": "parameters",
    "coverage": "cells scored (share)",
    "held_out_loss": "held-out loss",
}
_LEAST_SECONDS = 0.01
_CLUSTERINGS = {"kmeans": "k-means", "leiden": "Leiden"}


@cache
def registered_metrics() -> dict[str, Metric]:
    """Return metrics and aggregates by name; the built-in ones if a plugin cannot be loaded."""
    try:
        registered = metrics()
    except Exception:  # a report of stored numbers must work with a broken plugin
        registered = built_in_metrics()
    return registered | {metric.name: metric for metric in AGGREGATES}


def label(key: str) -> str:
    """Return the name of a metric with its clustering or unit, for example ``ARI (k-means)``."""
    if key in _MEASURE_LABELS:
        return _MEASURE_LABELS[key]
    clustering, _, name = key.partition("/")
    short = _SHORT.get(name, name.replace("_", " "))
    if clustering in ("embedding", "paired", "predicted", PREFIX):
        return short
    return f"{short} ({clustering_label(clustering)})"


def clustering_label(name: str) -> str:
    """Return the name of a clustering, for example ``k-means`` or ``own: phenotype``."""
    return _CLUSTERINGS.get(name, f"own: {name}")


def higher_is_better(key: str, results: pd.DataFrame | None = None) -> bool | None:
    """Return whether more is better; ``None`` if the metric has no direction.

    ``results`` hold the direction of metrics that are not registered, such as those of a plugin.
    """
    if key in MEASURES:
        return True if key == "coverage" else None if key == "n_parameters" else False
    name = key.partition("/")[2]
    metric = registered_metrics().get(name)
    return _stored_direction(name, results) if metric is None else metric.higher_is_better


def has_control_scale(key: str) -> bool:
    """Return whether a score is worst for ``random`` and best for ``truth``.

    Batches are mixed best where nothing is known of the cells.
    """
    return key not in (*CORRECTION, f"{PREFIX}/batch_correction")


def _stored_direction(name: str, results: pd.DataFrame | None) -> bool | None:
    """Return the direction in the stamps of the first job with this metric."""
    if results is None or STAMPS not in results:
        return None
    for text in results[STAMPS].dropna().unique():
        stamp = json_texts(text).get(name, "")
        if ":" in stamp:
            return stamp_direction(stamp)
    return None


def metric_columns(results: pd.DataFrame) -> list[str]:
    """Return the metric columns with a value, the default columns first."""
    valued = {
        str(column)
        for column in results.columns
        if "/" in str(column) and results[column].notna().any()
    }
    others = sorted(valued - set(DEFAULT_COLUMNS), key=lambda key: (is_own_clustering(key), key))
    return [key for key in DEFAULT_COLUMNS if key in valued] + others


def is_own_clustering(key: str) -> bool:
    """Return whether a metric key belongs to a method's own clustering."""
    return "/" in key and key.partition("/")[0] not in HARNESS_PARTS


def json_texts(text: Any) -> dict[str, str]:
    """Return the values of a stored JSON object as texts; empty if there is none."""
    if not isinstance(text, str):
        return {}
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {}


def number_text(value: float, digits: int) -> str:
    """Return a number with thousands separators.

    With one digit (seconds) a number below one has two significant figures.
    """
    if digits == 1 and 0 < abs(value) < 1:
        return "< 0.01" if abs(value) < _LEAST_SECONDS else f"{value:.2g}"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not float(text.replace(",", "")) else text


def interval_text(mean: float, half_width: float, digits: int) -> str:
    """Return ``0.712 ± 0.034``; the mean alone for one seed, and ``–`` for NaN."""
    if mean != mean:
        return "–"
    text = number_text(mean, digits)
    if half_width != half_width or text.startswith("<"):
        return text
    return f"{text} ± {number_text(half_width, digits)}".replace("± < 0.01", "± 0.00")
