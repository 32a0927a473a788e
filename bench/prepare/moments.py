"""Statistics of features, accumulated over blocks of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp


class FeatureSums:
    """Sum and sum of squares of each feature in each group of cells, shape (groups, features).

    Squares have the precision of the values and are summed in double precision, as in scanpy.
    """

    def __init__(self, n_groups: int, n_features: int) -> None:
        self.cells = np.zeros(n_groups, dtype=np.int64)
        self.sum = np.zeros((n_groups, n_features))
        self.squares = np.zeros((n_groups, n_features))

    def add(self, block: sp.csr_matrix, values: np.ndarray, groups: np.ndarray) -> None:
        """Add the cells of a block, with ``values`` in place of its stored values.

        ``groups`` holds the group number of each cell.
        """
        n_groups, n_features = self.sum.shape
        where = block.indices.astype(np.int64)
        if n_groups > 1:
            where += np.repeat(groups.astype(np.int64) * n_features, np.diff(block.indptr))
        self.cells += np.bincount(groups, minlength=n_groups)
        for total, weights in ((self.sum, values), (self.squares, values * values)):
            total += np.bincount(where, weights, minlength=total.size).reshape(total.shape)

    def mean_and_variance(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance (n - 1; zero for a single cell), each (groups, features)."""
        n = self.cells[:, None]
        mean = self.sum / n
        variance = (self.squares / n - mean**2) * np.where(n > 1, n / np.maximum(n - 1, 1), 1.0)
        return mean, variance


class FeatureMoments:
    """Mean and sum of squared deviations of each feature, merged block by block.

    Source: Chan, Golub & LeVeque 1979, equation 2.1; exact for features that do not vary.
    """

    def __init__(self, n_features: int) -> None:
        self.cells = 0
        self.mean = np.zeros(n_features)
        self._deviations = np.zeros(n_features)

    def add(self, block: sp.csr_matrix) -> None:
        """Add the cells of a block."""
        n, size = block.shape[0], len(self.mean)
        values = block.data.astype(np.float64)
        stored = np.bincount(block.indices, minlength=size)
        mean = np.bincount(block.indices, values, minlength=size) / n
        off = values - mean[block.indices]
        # Without any value bincount returns whole numbers, which cannot take fractions.
        deviations = np.bincount(block.indices, off * off, minlength=size).astype(np.float64)
        deviations += (n - stored) * mean**2
        total, change = self.cells + n, mean - self.mean
        self._deviations += deviations + change**2 * (self.cells * n / total)
        self.mean += change * (n / total)
        self.cells = total

    def standard_deviations(self) -> np.ndarray:
        """Return the standard deviation (n - 1); one for a single cell."""
        if self.cells < 2:
            return np.ones_like(self.mean)
        return np.sqrt(self._deviations / (self.cells - 1))
