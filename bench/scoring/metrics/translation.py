"""Detected genes of unseen cells, predicted from their chromatin."""

from __future__ import annotations

from functools import partial
from typing import Literal

from bench.contract import MetricResult, PairedTasks, TranslationScores, UndefinedMetric

from ._ranking import (
    PR,
    ROC,
    RankingMeasure,
    average_precisions,
    mean_over_rankings,
    ranking_metrics,
    roc_areas,
)

Over = Literal["cells", "genes"]


def translation(
    tasks: PairedTasks, *, measure: RankingMeasure, over: Over, baseline: bool = False
) -> MetricResult:
    """Return the mean area under the ROC curve or average precision, over cells or over genes.

    Over cells: are the detected genes of a cell scored above its other genes? The baseline, a
    strong one, scores genes by their detection rates in the training cells. Over genes: are the
    cells in which a gene is detected scored above the others? The area by chance is then 0.5.

    Notes
    -----
    Cells (genes) with only detected or only undetected entries are left out; the fact is the
    number of the others.

    Raises
    ------
    UndefinedMetric
        If nothing was translated, or no cell or gene has both classes.
    """
    import numpy as np

    scores: TranslationScores | None = tasks.translation
    if scores is None:
        raise UndefinedMetric(tasks.missing.get("translation", "nothing was translated"))
    score = np.broadcast_to(scores.rate, scores.score.shape) if baseline else scores.score
    truth, score = (scores.detected, score) if over == "cells" else (scores.detected.T, score.T)
    return mean_over_rankings(measure(truth, score), over)


_auroc = partial(translation, measure=roc_areas)
_ap = partial(translation, measure=average_precisions)
METRICS = ranking_metrics("translation", {
    "auroc_cells": (partial(_auroc, over="cells"), ROC,
        "Detected genes from chromatin: AUROC in an unseen cell, mean over cells"),
    "auroc_genes": (partial(_auroc, over="genes"), ROC,
        "Detected genes from chromatin: AUROC of a gene among unseen cells, mean over genes "
        "(0.5 without knowledge of the cell)"),
    "ap_cells": (partial(_ap, over="cells"), PR,
        "Detected genes from chromatin: average precision in an unseen cell"),
    "ap_genes": (partial(_ap, over="genes"), PR,
        "Detected genes from chromatin: average precision of a gene among unseen cells"),
    "auroc_cells_baseline": (partial(_auroc, over="cells", baseline=True), ROC,
        "The same AUROC in a cell for detection rates of the training cells, same genes"),
    "ap_cells_baseline": (partial(_ap, over="cells", baseline=True), PR,
        "The same precision in a cell for detection rates of the training cells, same genes"),
    "ap_genes_baseline": (partial(_ap, over="genes", baseline=True), PR,
        "The same precision of a gene for one score in all cells: its detection rate"),
})  # fmt: skip
