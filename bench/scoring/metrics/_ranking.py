"""Area under the ROC curve and average precision of many rankings at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bench.contract import Metric, UndefinedMetric

if TYPE_CHECKING:
    import numpy as np

ROC = "Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747"
PR = "Davis and Goadrich 2006, doi:10.1145/1143844.1143874"

RankingMeasure = Callable[["np.ndarray", "np.ndarray"], "np.ndarray"]
"""``measure(truth, score)``, both of shape (n_rankings, n_items); returns one value a ranking."""


def ranking_metrics(
    task: str, declared: Mapping[str, tuple[Callable[..., Any], str, str]]
) -> tuple[Metric, ...]:
    """Return the metrics of a task of paired data, by name → (function, reference, summary).

    A metric whose name ends in ``_baseline`` describes the data and has no direction.
    """
    return tuple(
        Metric(
            name=f"{task}_{name}",
            kind="paired",
            version=1,
            higher_is_better=None if name.endswith("_baseline") else True,
            bounds=(0.0, 1.0),
            summary=summary,
            reference=reference,
            function=function,
        )
        for name, (function, reference, summary) in declared.items()
    )


def roc_areas(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each row, NaN where a row has one class only.

    By the rank sum of Mann and Whitney 1947; ties count half. ``truth`` (booleans) and ``score``
    have shape (n_rankings, n_items).
    """
    import numpy as np
    from scipy.stats import rankdata

    truth = np.asarray(truth, dtype=bool)
    positives = truth.sum(axis=1).astype(np.float64)
    negatives = truth.shape[1] - positives
    ranks = rankdata(score, axis=1)
    above = (ranks * truth).sum(axis=1) - positives * (positives + 1) / 2
    pairs = positives * negatives
    return np.divide(above, pairs, out=np.full(len(truth), np.nan), where=pairs > 0)


def average_precisions(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the average precision of each row, NaN where a row has one class only.

    AP = Σ (R_n - R_n-1) P_n over the distinct scores, from the largest down; items of equal score
    count together, as in scikit-learn's ``average_precision_score``.
    """
    import numpy as np

    truth, score = np.asarray(truth, dtype=bool), np.asarray(score)
    precisions = np.full(len(truth), np.nan)
    totals = truth.sum(axis=1)
    for row in np.flatnonzero((totals > 0) & (totals < truth.shape[1])):
        order = np.argsort(-score[row], kind="stable")
        values, hits = score[row][order], np.cumsum(truth[row][order])
        ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
        recall = hits[ends] / totals[row]
        precisions[row] = np.sum(np.diff(recall, prepend=0.0) * hits[ends] / (ends + 1))
    return precisions


def mean_over_rankings(values: np.ndarray, of: str) -> tuple[float, dict[str, str | float]]:
    """Return the mean over rankings with both classes; the fact named ``of`` is their number.

    Raises ``UndefinedMetric`` if no ranking has both classes.
    """
    import numpy as np

    defined = values[~np.isnan(values)]
    if not len(defined):
        raise UndefinedMetric(f"none of the {len(values)} {of} has both classes")
    return float(defined.mean()), {of: float(len(defined))}
