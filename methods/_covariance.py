"""Principal components of many cells from the covariance of the features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from bench.prepare.blocks import release_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklearn.decomposition import PCA

_ROWS = 4096
"""Cells per block."""


def fit_by_covariance(model: PCA, matrix: np.ndarray) -> np.ndarray:
    """Fit an unfitted PCA to ``matrix``, cells × features, and return the scores, float32.

    The matrix may be in a file; it is read twice, in blocks of cells. Features should be few and
    their means not far above their deviations, because squares are summed.
    """
    n_cells, n_features = matrix.shape
    total, products = np.zeros(n_features), np.zeros((n_features, n_features))
    for block in _blocks(matrix):
        total += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block
    mean = total / n_cells
    products -= n_cells * np.outer(mean, mean)
    products /= n_cells - 1
    variance = float(np.trace(products))
    most = (n_features - model.n_components, n_features - 1)
    variances, vectors = eigh(products, subset_by_index=most, overwrite_a=True)
    axes = vectors[:, ::-1].T
    # The sign of an eigenvector is arbitrary; scikit-learn chooses it in the same way.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    explained = np.maximum(variances[::-1], 0.0)
    model.components_, model.mean_ = axes.astype(np.float32), mean.astype(np.float32)
    model.explained_variance_ = explained
    model.explained_variance_ratio_ = explained / max(variance, 1e-300)
    model.singular_values_ = np.sqrt(explained * (n_cells - 1))
    model.noise_variance_ = 0.0
    model.n_components_, model.n_features_in_ = len(axes), n_features
    model.n_samples_ = n_cells
    scores = np.empty((n_cells, len(axes)), dtype=np.float32)
    shift, end = mean @ axes.T, 0
    for block in _blocks(matrix):
        scores[end : end + len(block)] = block @ model.components_.T - shift
        end += len(block)
    return scores


def _blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(matrix), _ROWS):
        yield np.asarray(matrix[start : start + _ROWS], dtype=np.float32)
        release_pages(matrix)
