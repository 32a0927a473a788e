"""Which genes are detected, told from the chromatin of unseen cells."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np

from bench.contract import MetricResult, PairedTasks, TranslationScores, UndefinedMetric

from ._ranking import PR, ROC, areas, mean, precisions, ranking_metrics

Over = Literal["cells", "genes"]


def auroc(tasks: PairedTasks, *, over: Over, baseline: bool = False) -> MetricResult:
    """Return the mean area under the ROC curve, over cells or over genes.

    Over cells: are a cell's detected genes scored above its others? Knowing how often each gene is
    detected in the training cells goes a long way, which is what ``baseline`` scores, on the same
    genes. Over genes: are the cells in which a gene is detected scored above the others? Here
    that baseline is 0.5. Cells or genes with one class only are left out; the rest is the fact.
    """
    truth, score = _rankings(tasks, over, baseline)
    return mean(areas(truth, score), over)


def precision(tasks: PairedTasks, *, over: Over, baseline: bool = False) -> MetricResult:
    """Return the mean average precision, over cells or over genes (see :func:`auroc`)."""
    truth, score = _rankings(tasks, over, baseline)
    return mean(precisions(truth, score), over)


def _rankings(tasks: PairedTasks, over: Over, baseline: bool) -> tuple[np.ndarray, np.ndarray]:
    found: TranslationScores | None = tasks.translation
    if found is None:
        raise UndefinedMetric(tasks.missing.get("translation", "nothing was translated"))
    score = np.broadcast_to(found.rate, found.score.shape) if baseline else found.score
    return (found.detected, score) if over == "cells" else (found.detected.T, score.T)


METRICS = ranking_metrics("translation", {
    "auroc_cells": (partial(auroc, over="cells"), ROC,
        "Detected genes from chromatin: AUROC in an unseen cell, mean over cells"),
    "auroc_genes": (partial(auroc, over="genes"), ROC,
        "Detected genes from chromatin: AUROC of a gene among unseen cells, mean over genes "
        "(0.5 without knowledge of the cell)"),
    "ap_cells": (partial(precision, over="cells"), PR,
        "Detected genes from chromatin: average precision in an unseen cell"),
    "ap_genes": (partial(precision, over="genes"), PR,
        "Detected genes from chromatin: average precision of a gene among unseen cells"),
    "auroc_cells_baseline": (partial(auroc, over="cells", baseline=True), ROC,
        "The same AUROC in a cell for detection rates of the training cells, same genes"),
    "ap_cells_baseline": (partial(precision, over="cells", baseline=True), PR,
        "The same precision in a cell for detection rates of the training cells, same genes"),
    "ap_genes_baseline": (partial(precision, over="genes", baseline=True), PR,
        "The same precision of a gene for one score in all cells: its detection rate"),
})  # fmt: skip
