"""The share of the variance that batches explain."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.scoring.clustering import centered_points


def explained_share(points: Any, batches: np.ndarray) -> float:
    """Return variance between batches / total variance, summed over all dimensions."""
    points = centered_points(points)
    sums = np.zeros((batches.max() + 1, points.shape[1]))
    np.add.at(sums, batches, points)
    between = (sums**2 / np.bincount(batches)[:, None]).sum()
    return float(between / (points**2).sum())
