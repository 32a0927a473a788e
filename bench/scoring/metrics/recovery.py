"""Detected genes of unseen cells that were hidden, ranked against genes not detected."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import MetricResult, PairedTasks, UndefinedMetric
from bench.scoring.metrics._ranking import PR, ROC, areas, mean, precisions, ranking_metrics

if TYPE_CHECKING:
    from collections.abc import Callable


def recovery(
    tasks: PairedTasks,
    *,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    baseline: bool = False,
) -> MetricResult:
    """Return the mean over cells of how well hidden genes rank above undetected ones.

    Each cell has as many hidden genes as undetected ones, so chance is 0.5 for both measures.
    ``baseline`` ranks by the detection rate in the training cells. Facts ``cells``, ``hidden``.
    """
    found = tasks.recovery
    if found is None:
        raise UndefinedMetric(tasks.missing.get("recovery", "no genes were hidden"))
    score = found.rate if baseline else found.score
    rows = [np.flatnonzero(found.cell == cell) for cell in np.unique(found.cell)]
    values = [measure(found.hidden[row][None], score[row][None])[0] for row in rows]
    value, facts = mean(np.asarray(values), "cells")
    return value, facts | {"hidden": float(found.hidden.sum())}


METRICS = ranking_metrics("recovery", {
    "auroc": (partial(recovery, measure=areas), ROC,
        "Hidden genes of an unseen cell above undetected ones: AUROC, mean over cells"),
    "ap": (partial(recovery, measure=precisions), PR,
        "Hidden genes of an unseen cell among undetected ones: average precision"),
    "auroc_baseline": (partial(recovery, measure=areas, baseline=True), ROC,
        "The same AUROC for detection rates of the training cells, same genes"),
    "ap_baseline": (partial(recovery, measure=precisions, baseline=True), PR,
        "The same precision for detection rates of the training cells, same genes"),
})  # fmt: skip
