"""Hidden detected genes of unseen cells, ranked against undetected genes."""

from __future__ import annotations

from functools import partial

from bench.contract import MetricResult, PairedTasks, UndefinedMetric

from ._ranking import (
    PR,
    ROC,
    RankingMeasure,
    average_precisions,
    mean_over_rankings,
    ranking_metrics,
    roc_areas,
)


def recovery(
    tasks: PairedTasks,
    *,
    measure: RankingMeasure,
    baseline: bool = False,
) -> MetricResult:
    """Return the mean over cells of the ranking of hidden genes above undetected ones.

    The ranking of a cell is scored by the area under the ROC curve or by average precision. The
    baseline ranks by the detection rate in the training cells.

    Notes
    -----
    Each cell has as many hidden genes as undetected ones, so chance is 0.5 for both measures.
    Facts ``cells``, ``hidden``.

    Raises
    ------
    UndefinedMetric
        If no genes were hidden, or the method predicts none.
    """
    import numpy as np

    scores = tasks.recovery
    if scores is None:
        raise UndefinedMetric(tasks.missing.get("recovery", "no genes were hidden"))
    score = scores.rate if baseline else scores.score
    rows = [np.flatnonzero(scores.cell == cell) for cell in np.unique(scores.cell)]
    values = [measure(scores.hidden[row][None], score[row][None])[0] for row in rows]
    value, facts = mean_over_rankings(np.asarray(values), "cells")
    return value, facts | {"hidden": float(scores.hidden.sum())}


METRICS = ranking_metrics("recovery", {
    "auroc": (partial(recovery, measure=roc_areas), ROC,
        "Hidden genes of an unseen cell above undetected ones: AUROC, mean over cells"),
    "ap": (partial(recovery, measure=average_precisions), PR,
        "Hidden genes of an unseen cell among undetected ones: average precision"),
    "auroc_baseline": (partial(recovery, measure=roc_areas, baseline=True), ROC,
        "The same AUROC for detection rates of the training cells, same genes"),
    "ap_baseline": (partial(recovery, measure=average_precisions, baseline=True), PR,
        "The same precision for detection rates of the training cells, same genes"),
})  # fmt: skip
