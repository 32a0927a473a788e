"""Imputation by a low rank that keeps biological zeros: ALRA.

Source: Linderman et al. 2022, Nature Communications 13:192, doi 10.1038/s41467-021-27729-z. The
values of a true zero scatter around 0 in the low-rank matrix, so that the lowest values of a gene
tell how far its zeros reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from bench.seeds import derive

_MOST = 100
"""Singular values that the rank is sought among."""
_NOISE_FROM = 79
"""The gaps from this one on, counted from 1, are those of noise."""
_BLOCK = 256
"""Genes whose low-rank values are held at a time."""


@dataclass(frozen=True)
class Imputation:
    """Log-normalised values with technical zeros filled in."""

    values: sp.csr_matrix
    """Cells × genes, float32; a zero that is left counts as biological."""
    rank: int
    by_gap: bool
    """Whether a gap between singular values showed the rank; else it is a guess."""

    def kept_zeros(self) -> np.ndarray:
        """Return where a zero counts as biological, (cells, genes), booleans."""
        zeros = np.ones(self.values.shape, dtype=bool)
        zeros[self.values.nonzero()] = False
        return zeros


def low_rank_imputation(
    values: sp.csr_matrix, *, seed: int, quantile: float = 0.001, threshold: float = 6.0
) -> Imputation:
    """Return ALRA's imputation of log-normalised values, (cells, genes), not centred.

    A gene's entries of the low-rank matrix up to |its ``quantile``| become 0, the others get mean
    and standard deviation of what was observed above zero, and observations that became 0 are put
    back. ``threshold``: standard deviations that the last gap between singular values lies above
    those of noise.
    """
    from sklearn.utils.extmath import randomized_svd

    values = sp.csr_matrix(values, dtype=np.float64)
    rank, by_gap = find_rank(values, seed=seed, threshold=threshold)
    left, strengths, right = randomized_svd(
        values, rank, n_iter=10, random_state=derive(seed, "imputation")
    )
    scaled = left * strengths
    columns = values.tocsc()
    blocks = []
    for start in range(0, values.shape[1], _BLOCK):
        observed = columns[:, start : start + _BLOCK].toarray()
        low_rank = scaled @ right[:, start : start + _BLOCK]
        blocks.append(sp.csc_matrix(_filled(low_rank, observed, quantile), dtype=np.float32))
    return Imputation(sp.csr_matrix(sp.hstack(blocks)), rank, by_gap)


def find_rank(values: sp.csr_matrix, *, seed: int, threshold: float) -> tuple[int, bool]:
    """Return the rank, and whether a gap showed it.

    The last of the first 100 singular values whose gap to the next lies more than ``threshold``
    standard deviations above the mean of gaps 79 to 99. Matrices with up to 100 rows or columns
    have fewer: the last fifth of the gaps is noise. Without such a gap a quarter of the singular
    values, at most 20.
    """
    from sklearn.utils.extmath import randomized_svd

    most = min(_MOST, min(values.shape) - 1)
    if most < 2:
        return 1, False
    strengths = randomized_svd(values, most, n_iter=2, random_state=derive(seed, "rank"))[1]
    gaps = -np.diff(strengths)
    first = _NOISE_FROM - 1 if most == _MOST else int(np.floor(0.8 * len(gaps)))
    noise = gaps[first:]
    spread = noise.std(ddof=1) if len(noise) > 1 else 0.0
    above = np.flatnonzero((gaps - noise.mean() > threshold * spread) & (spread > 0))
    if len(above):
        return int(above[-1]) + 1, True
    return max(1, min(20, most // 4)), False


def _filled(low_rank: np.ndarray, observed: np.ndarray, quantile: float) -> np.ndarray:
    """Return imputed values of some genes, (cells, genes)."""
    limit = np.abs(np.quantile(low_rank, quantile, axis=0))
    alive = low_rank > limit
    seen = observed > 0
    mean, spread = _moments(low_rank, alive)
    wanted, wanted_spread = _moments(observed, seen)
    known = (spread > 0) & (wanted_spread > 0)
    slope = np.divide(wanted_spread, spread, out=np.ones_like(spread), where=known)
    shift = np.where(known, wanted - mean * slope, 0.0)
    filled = np.where(alive, np.maximum(low_rank * slope + shift, 0.0), 0.0)
    return np.where(seen & (filled == 0), observed, filled)


def _moments(values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the chosen entries of each column; 0 if undefined."""
    count = chosen.sum(axis=0)
    mean = np.where(chosen, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(chosen, (values - mean) ** 2, 0.0).sum(axis=0)
    return mean, np.sqrt(squares / np.maximum(count - 1, 1)) * (count > 1)
