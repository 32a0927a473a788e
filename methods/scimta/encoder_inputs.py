"""Z-scores of genes as inputs of the encoders, dense or sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from bench.errors import DataError

SCORE_BOUND = 10.0
"""Largest z-score, in absolute value."""
_ROWS = 4096
"""Cells per block."""


@dataclass(frozen=True)
class DenseInputs:
    """Dense inputs, cells × genes."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    def rows(self, chosen: np.ndarray | slice) -> np.ndarray:
        return np.asarray(self.values[chosen], dtype=np.float32)

    def times(self, weight: np.ndarray) -> np.ndarray:
        product: np.ndarray = self.values @ weight.astype(np.float32)
        return product


@dataclass(frozen=True)
class SparseInputs:
    """Z-scores as a sparse matrix plus the scores of zeros."""

    rest: sp.csr_matrix
    """Scores minus those of a zero, cells × genes, float32."""
    of_zero: np.ndarray
    """Scores of a zero, (batches, genes), float32."""
    group: np.ndarray
    """Batch number of each cell."""

    @classmethod
    def of(
        cls, values: sp.csr_matrix, batch: np.ndarray | None, *, owner: str,
        bound: float = SCORE_BOUND,
    ) -> SparseInputs:  # fmt: skip
        """Return the scores of :func:`z_scores` without a dense matrix."""
        means, spreads, group = _moments(values, batch, owner)
        of_zero = np.clip(-means / spreads, -bound, bound)
        data = np.empty(values.nnz, dtype=np.float32)
        for start in range(0, values.shape[0], 10 * _ROWS):
            bounds = values.indptr[start : start + 10 * _ROWS + 1]
            entries = slice(bounds[0], bounds[-1])
            g = np.repeat(group[start : start + 10 * _ROWS], np.diff(bounds))
            j = values.indices[entries]
            scores = (values.data[entries] - means[g, j]) / spreads[g, j]
            data[entries] = np.clip(scores, -bound, bound) - of_zero[g, j]
        rest = sp.csr_matrix((data, values.indices, values.indptr), shape=values.shape)
        return cls(rest, of_zero.astype(np.float32), group)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rest.shape

    def rows(self, chosen: np.ndarray | slice) -> np.ndarray:
        """Return some cells, dense, float32."""
        scores: np.ndarray = self.rest[chosen].toarray()
        scores += self.of_zero[self.group[chosen]]
        return scores

    def times(self, weight: np.ndarray) -> np.ndarray:
        """Return the product with ``weight``, (genes, m), float32."""
        weight = weight.astype(np.float32)
        product: np.ndarray = self.rest @ weight
        product += (self.of_zero @ weight)[self.group]
        return product


Inputs = DenseInputs | SparseInputs


def z_scores(
    values: np.ndarray, batch: np.ndarray | None, *, owner: str, bound: float = SCORE_BOUND
) -> np.ndarray:
    """Return z-scores of the genes, clipped at ± ``bound``, (cells, genes), float32.

    With ``batch`` they are computed within each batch. Raises ``DataError`` for a batch of one
    cell.
    """
    means, spreads, group = _moments(values, batch, owner)
    scores = np.empty(values.shape, dtype=np.float32)
    for number in range(len(means)):
        rows = group == number
        scores[rows] = np.clip((values[rows] - means[number]) / spreads[number], -bound, bound)
    return scores


def principal_components(inputs: Inputs, n_components: int) -> np.ndarray:
    """Return principal component scores of many cells, (cells, components), float32.

    Computed from the covariance of the genes, which is summed over blocks of cells. At most cells
    or genes minus one components.
    """
    n, genes = inputs.shape
    total, products = np.zeros(genes), np.zeros((genes, genes))
    for start in range(0, n, _ROWS):
        block = inputs.rows(slice(start, start + _ROWS))
        total += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block
    mean = total / n
    vectors = np.linalg.eigh(products / n - np.outer(mean, mean))[1]
    axes = vectors[:, : -1 - min(n_components, n - 1, genes - 1) : -1]
    # The sign of an eigenvector is arbitrary.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    components = inputs.times(axes)
    components -= (mean @ axes).astype(np.float32)
    return components


def _moments(
    values: Any, batch: np.ndarray | None, owner: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and deviations, (batches, genes), and the batch number of each cell."""
    n = values.shape[0]
    names, group = np.zeros(1), np.zeros(n, dtype=np.int64)
    if batch is not None:
        names, group = np.unique(batch, return_inverse=True)
    sizes = np.bincount(group, minlength=len(names))
    if batch is not None and sizes.min() == 1:
        raise DataError(
            f"{owner}: batch '{names[sizes.argmin()]}' has 1 cell, at least 2 are needed to scale "
            "its genes; leave this cell out or set batches=ignored.",
            code="batch_of_one_cell",
        )
    members = sp.csr_matrix((np.ones(n), (group, np.arange(n))), shape=(len(names), n))
    means = _dense(members @ values) / sizes[:, None]
    if sp.issparse(values):
        squares = sp.csr_matrix(
            (np.square(values.data, dtype=np.float64), values.indices, values.indptr),
            shape=values.shape,
        )
        variance = np.maximum(_dense(members @ squares) / sizes[:, None] - means**2, 0.0)
    else:
        parts = [values[group == number] for number in range(len(names))]
        variance = np.stack([part.var(axis=0, dtype=np.float64) for part in parts])
    # The variance of equal values is rounding error.
    spreads = np.sqrt(np.where(variance <= 1e-12 * means**2, 0.0, variance))
    return means, np.where(spreads > 0, spreads, 1.0), group


def _dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix, dtype=np.float64)
