"""Area under the ROC curve and average precision of many rankings at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Missing

if TYPE_CHECKING:
    import numpy as np


def areas(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each row, NaN where a row has one class only.

    By the rank sum of Mann and Whitney 1947; ties count half. ``truth`` holds booleans, both are
    rankings × items.
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


def precisions(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the average precision of each row, NaN where a row has one class only.

    AP = Σ (R_n - R_n-1) P_n over the distinct scores, from the largest down; items of equal score
    count together, as in scikit-learn's ``average_precision_score``.
    """
    import numpy as np

    truth, score = np.asarray(truth, dtype=bool), np.asarray(score)
    found = np.full(len(truth), np.nan)
    totals = truth.sum(axis=1)
    for row in np.flatnonzero((totals > 0) & (totals < truth.shape[1])):
        order = np.argsort(-score[row], kind="stable")
        values, hits = score[row][order], np.cumsum(truth[row][order])
        ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
        recall = hits[ends] / totals[row]
        found[row] = np.sum(np.diff(recall, prepend=0.0) * hits[ends] / (ends + 1))
    return found


def mean(values: np.ndarray, of: str) -> tuple[float, dict[str, str | float]]:
    """Return the mean of the rankings that have both classes, with their number as fact ``of``.

    Raises ``Missing`` if none has.
    """
    import numpy as np

    there = values[~np.isnan(values)]
    if not len(there):
        raise Missing(f"none of the {len(values)} {of} has both classes")
    return float(there.mean()), {of: float(len(there))}
