"""Imputation by a low rank that keeps biological zeros (ALRA).

Source: Linderman et al. 2022, Nature Communications 13:192, doi 10.1038/s41467-021-27729-z.
Low-rank values of true zeros scatter around 0. So the lowest values of a gene show the range of
its zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from bench.seeds import derive_seed

_MAX_RANK = 100
"""Singular values among which the rank is sought."""
_FIRST_NOISE_GAP = 79
"""Gaps from this number on, counted from 1, are noise."""
_ENTRIES = 2**25
"""Low-rank values per block of genes."""
_ROWS = 4096
"""Cells per block."""
_MANY_CELLS = 25_000


@dataclass(frozen=True)
class Imputation:
    """Log-normalised values with technical zeros filled in."""

    observed: sp.csr_matrix
    """Log-normalised values, cells × genes."""
    left: np.ndarray
    """Scores of the cells, (cells, rank)."""
    right: np.ndarray
    """Loadings of the genes, (rank, genes)."""
    limit: np.ndarray
    """Largest low-rank value that counts as zero, (genes,)."""
    slope: np.ndarray
    """Low-rank values · slope + shift have the observed moments, (genes,)."""
    shift: np.ndarray
    by_gap: bool
    """The rank is that of a gap between singular values, not a guess."""

    @property
    def rank(self) -> int:
        return len(self.right)

    def rows(self, chosen: np.ndarray | slice) -> np.ndarray:
        """Return imputed values of some cells, dense, float32; zeros are biological."""
        observed = self.observed[chosen].toarray()
        low_rank = self.left[chosen] @ self.right
        filled = np.maximum(low_rank * self.slope + self.shift, 0.0)
        filled[low_rank <= self.limit] = 0.0
        return np.where((observed > 0) & (filled == 0), observed, filled).astype(np.float32)

    def expected(self, chosen: np.ndarray | slice) -> np.ndarray:
        """Return the low-rank values of some cells, negative values set to 0, dense, float32.

        They are nearer to the mean of repeated measurements than :meth:`rows`, whose values have
        the published moments of single observations.
        """
        low_rank: np.ndarray = self.left[chosen] @ self.right
        return np.maximum(low_rank, 0.0).astype(np.float32)

    @property
    def values(self) -> sp.csr_matrix:
        """Imputed values, cells × genes, float32."""
        slices = [slice(n, n + _ROWS) for n in range(0, self.observed.shape[0], _ROWS)]
        return sp.csr_matrix(sp.vstack([sp.csr_matrix(self.rows(rows)) for rows in slices]))


def low_rank_imputation(
    values: sp.csr_matrix, *, seed: int, quantile: float = 0.001, threshold: float = 6.0
) -> Imputation:
    """Return ALRA's imputation of log-normalised values, (cells, genes), not centred.

    Low-rank values up to the absolute ``quantile`` of their gene become 0. The other values of a
    gene get mean and standard deviation of its observations above 0. Observations that became 0
    are restored. ``threshold``: see :func:`find_rank`. Above 25,000 cells, singular values and
    loadings are computed from the products of genes, with the same result.
    """
    values = sp.csr_matrix(values)
    if values.shape[0] > _MANY_CELLS:
        core: Any = _root_of_products(values)
    else:
        values = core = values.astype(np.float64)
    rank, by_gap = find_rank(core, seed=seed, threshold=threshold)
    right = randomized_svd(core, rank, n_iter=10, random_state=derive_seed(seed, "imputation"))[2]
    left = np.asarray(values @ right.T)
    limit, slope, shift = gene_rules(values, left, right, quantile)
    return Imputation(values, left, right, limit, slope, shift, by_gap)


def _root_of_products(values: sp.csr_matrix) -> np.ndarray:
    """Return S Vᵀ of the decomposition U S Vᵀ, (genes, genes), from the products of genes."""
    products = np.zeros((values.shape[1], values.shape[1]))
    for start in range(0, values.shape[0], _ROWS):
        block = values[start : start + _ROWS].toarray().astype(np.float32)
        products += block.T @ block
    squares, vectors = np.linalg.eigh(products)
    return np.sqrt(np.maximum(squares, 0.0))[:, None] * vectors.T


def find_rank(values: sp.csr_matrix, *, seed: int, threshold: float) -> tuple[int, bool]:
    """Return the rank, and whether a gap shows it.

    It is the last of 100 singular values whose gap to the next exceeds the mean of gaps 79 to 99
    by ``threshold`` standard deviations. Small matrices have fewer; the last fifth of their gaps
    is noise. Without a gap the rank is a quarter of the singular values, at most 20.
    """
    most = min(_MAX_RANK, min(values.shape) - 1)
    if most < 2:
        return 1, False
    strengths = randomized_svd(values, most, n_iter=2, random_state=derive_seed(seed, "rank"))[1]
    gaps = -np.diff(strengths)
    first = _FIRST_NOISE_GAP - 1 if most == _MAX_RANK else int(np.floor(0.8 * len(gaps)))
    noise = gaps[first:]
    spread = noise.std(ddof=1) if len(noise) > 1 else 0.0
    above = np.flatnonzero((gaps - noise.mean() > threshold * spread) & (spread > 0))
    if len(above):
        return int(above[-1]) + 1, True
    return max(1, min(20, most // 4)), False


def gene_rules(
    values: sp.csr_matrix, left: np.ndarray, right: np.ndarray, quantile: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return limit, slope and shift of each gene, see :class:`Imputation`."""
    columns = values.tocsc()
    blocks = []
    size = max(1, _ENTRIES // max(values.shape[0], 1))
    for start in range(0, values.shape[1], size):
        observed = columns[:, start : start + size].toarray()
        low_rank = left @ right[:, start : start + size]
        limit = np.abs(np.quantile(low_rank, quantile, axis=0))
        mean, spread = _moments(low_rank, low_rank > limit)
        target_mean, target_spread = _moments(observed, observed > 0)
        defined = (spread > 0) & (target_spread > 0)
        slope = np.divide(target_spread, spread, out=np.ones_like(spread), where=defined)
        blocks.append((limit, slope, np.where(defined, target_mean - mean * slope, 0.0)))
    limits, slopes, shifts = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return limits, slopes, shifts


def _moments(values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of chosen entries by column; 0 if undefined."""
    count = chosen.sum(axis=0)
    mean = np.where(chosen, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(chosen, (values - mean) ** 2, 0.0).sum(axis=0)
    return mean, np.sqrt(squares / np.maximum(count - 1, 1)) * (count > 1)


class RestorationTargets:
    """Targets and weights of the reconstruction of log values.

    Observations have weight 1, biological zeros ``zero_weight``, imputed zeros 0. All weights are
    scaled so that predicting the best constant of each gene gives the loss 1.
    """

    def __init__(self, imputation: Imputation, zero_weight: float) -> None:
        self._imputation, self._zero_weight = imputation, zero_weight
        self._n_cells, n_genes = imputation.observed.shape
        self._scale = 1.0
        total, sums, squares = np.zeros((3, n_genes))
        for start in range(0, self._n_cells, _ROWS):
            block, weights = self._block(slice(start, start + _ROWS))
            total += weights.sum(axis=0, dtype=np.float64)
            sums += (weights * block).sum(axis=0, dtype=np.float64)
            squares += (weights * block * block).sum(axis=0, dtype=np.float64)
        self.means = (sums / np.maximum(total, 1e-12)).astype(np.float32)
        constant = float((squares - sums**2 / np.maximum(total, 1e-12)).sum())
        self._scale = 1.0 / max(constant, 1e-12)

    def rows(self, chosen: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Return values and weights of some cells; their loss estimates that of all cells."""
        values, weights = self._block(chosen)
        weights *= self._scale * self._n_cells / max(len(values), 1)
        return values, weights

    def _block(self, chosen: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        values = self._imputation.observed[chosen].toarray().astype(np.float32)
        biological = (self._imputation.rows(chosen) == 0) & (values == 0)
        return values, (values > 0) + np.float32(self._zero_weight) * biological
