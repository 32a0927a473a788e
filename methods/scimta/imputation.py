"""Imputation by a low rank that keeps biological zeros: ALRA.

Source: Linderman et al. 2022, Nature Communications 13:192, doi 10.1038/s41467-021-27729-z. The
values of a true zero scatter around 0 in the low-rank matrix, so that the lowest values of a gene
tell how far its zeros reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from bench.seeds import derive_seed

_MOST = 100
"""Singular values that the rank is sought among."""
_NOISE_FROM = 79
"""The gaps from this one on, counted from 1, are those of noise."""
_ENTRIES = 2**25
"""Low-rank values of whole genes that are held at a time."""
_ROWS = 4096
"""Cells that are dense at a time."""
_MANY_CELLS = 25_000


@dataclass(frozen=True)
class Imputation:
    """Log-normalised values with technical zeros filled in, made block by block when asked for."""

    observed: sp.csr_matrix
    """Log-normalised values, cells × genes."""
    left: np.ndarray
    """Low-rank scores of the cells, (cells, rank)."""
    right: np.ndarray
    """Loadings of the genes, (rank, genes)."""
    limit: np.ndarray
    """Low-rank values up to this count as zero, (genes,)."""
    slope: np.ndarray
    """With ``shift`` turns low-rank values into those with the observed moments, (genes,)."""
    shift: np.ndarray
    by_gap: bool
    """Whether a gap between singular values showed the rank; else it is a guess."""

    @property
    def rank(self) -> int:
        """Components of the low rank."""
        return len(self.right)

    def rows(self, chosen: np.ndarray | slice) -> np.ndarray:
        """Return the imputed values of some cells, dense, float32; zeros count as biological."""
        observed = self.observed[chosen].toarray()
        low_rank = self.left[chosen] @ self.right
        filled = np.maximum(low_rank * self.slope + self.shift, 0.0)
        filled[low_rank <= self.limit] = 0.0
        return np.where((observed > 0) & (filled == 0), observed, filled).astype(np.float32)

    def expected(self, chosen: np.ndarray | slice) -> np.ndarray:
        """Return expected log-normalised values of some cells, dense, float32.

        The low-rank values, negative ones 0. Imputed entries of :meth:`rows` have the moments of
        what was observed above zero, as published: what a gene is where it is seen. These are
        nearer to the mean of repeated measurements.
        """
        found: np.ndarray = np.maximum(self.left[chosen] @ self.right, 0.0)
        return found.astype(np.float32)

    @property
    def values(self) -> sp.csr_matrix:
        """Imputed values, cells × genes, float32; a zero that is left counts as biological."""
        starts = range(0, self.observed.shape[0], _ROWS)
        return sp.csr_matrix(
            sp.vstack([sp.csr_matrix(self.rows(slice(one, one + _ROWS))) for one in starts])
        )

    def kept_zeros(self) -> np.ndarray:
        """Return where a zero counts as biological, (cells, genes), booleans."""
        return self.rows(slice(None)) == 0


def low_rank_imputation(
    values: sp.csr_matrix, *, seed: int, quantile: float = 0.001, threshold: float = 6.0
) -> Imputation:
    """Return ALRA's imputation of log-normalised values, (cells, genes), not centred.

    A gene's entries of the low-rank matrix up to |its ``quantile``| become 0, the others get mean
    and standard deviation of what was observed above zero, and observations that became 0 are put
    back. ``threshold``: standard deviations that the last gap between singular values lies above
    those of noise. Above 25,000 cells the products of genes stand for the values: they have the
    same singular values and loadings.
    """
    values = sp.csr_matrix(values)
    if values.shape[0] > _MANY_CELLS:
        core: Any = _root_of_products(values)
    else:
        values = core = values.astype(np.float64)
    rank, by_gap = find_rank(core, seed=seed, threshold=threshold)
    right = randomized_svd(core, rank, n_iter=10, random_state=derive_seed(seed, "imputation"))[2]
    left = np.asarray(values @ right.T)
    limit, slope, shift = rules(values, left, right, quantile)
    return Imputation(values, left, right, limit, slope, shift, by_gap)


def _root_of_products(values: sp.csr_matrix) -> np.ndarray:
    """Return S Vᵀ of the decomposition U S Vᵀ, (genes, genes), from its products V S² Vᵀ."""
    products = np.zeros((values.shape[1], values.shape[1]))
    for start in range(0, values.shape[0], _ROWS):
        block = values[start : start + _ROWS].toarray().astype(np.float32)
        products += block.T @ block
    squares, vectors = np.linalg.eigh(products)
    return np.sqrt(np.maximum(squares, 0.0))[:, None] * vectors.T


def find_rank(values: sp.csr_matrix, *, seed: int, threshold: float) -> tuple[int, bool]:
    """Return the rank, and whether a gap showed it.

    The last of the first 100 singular values whose gap to the next lies more than ``threshold``
    standard deviations above the mean of gaps 79 to 99. Matrices with up to 100 rows or columns
    have fewer: the last fifth of the gaps is noise. Without such a gap a quarter of the singular
    values, at most 20.
    """
    most = min(_MOST, min(values.shape) - 1)
    if most < 2:
        return 1, False
    strengths = randomized_svd(values, most, n_iter=2, random_state=derive_seed(seed, "rank"))[1]
    gaps = -np.diff(strengths)
    first = _NOISE_FROM - 1 if most == _MOST else int(np.floor(0.8 * len(gaps)))
    noise = gaps[first:]
    spread = noise.std(ddof=1) if len(noise) > 1 else 0.0
    above = np.flatnonzero((gaps - noise.mean() > threshold * spread) & (spread > 0))
    if len(above):
        return int(above[-1]) + 1, True
    return max(1, min(20, most // 4)), False


def rules(
    values: sp.csr_matrix, left: np.ndarray, right: np.ndarray, quantile: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return limit, slope and shift of each gene, see :class:`Imputation`."""
    columns = values.tocsc()
    found = []
    size = max(1, _ENTRIES // max(values.shape[0], 1))
    for start in range(0, values.shape[1], size):
        observed = columns[:, start : start + size].toarray()
        low_rank = left @ right[:, start : start + size]
        limit = np.abs(np.quantile(low_rank, quantile, axis=0))
        mean, spread = _moments(low_rank, low_rank > limit)
        wanted, wanted_spread = _moments(observed, observed > 0)
        known = (spread > 0) & (wanted_spread > 0)
        slope = np.divide(wanted_spread, spread, out=np.ones_like(spread), where=known)
        found.append((limit, slope, np.where(known, wanted - mean * slope, 0.0)))
    limits, slopes, shifts = (np.concatenate(part) for part in zip(*found, strict=True))
    return limits, slopes, shifts


def _moments(values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the chosen entries of each column; 0 if undefined."""
    count = chosen.sum(axis=0)
    mean = np.where(chosen, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(chosen, (values - mean) ** 2, 0.0).sum(axis=0)
    return mean, np.sqrt(squares / np.maximum(count - 1, 1)) * (count > 1)
