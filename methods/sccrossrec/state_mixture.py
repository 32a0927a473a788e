"""Mixtures of states that RNA and chromatin of a cell share.

State t has profiles π_tg of genes and π_tp of peaks, each with sum one. Counts c of a cell with
depth d are Poisson with mean d π_t, so that

    log p(c | t) = Σ_g ω_g (c_g log π_tg - d π_tg) + a term without t.

ω_g is the inverse of the gene's variance over that of Poisson counts (quasi-likelihood, Wedderburn
1974, doi:10.1093/biomet/61.3.439); ω = 1 for peaks. Parts are independent given the state. Gamma
priors shrink profiles to that of all cells. EM (Dempster, Laird and Rubin 1977) fits both parts at
once, because chromatin alone has too few fragments. The log ratio of RNA r and chromatin a being
of one cell is

    log Σ_t π_t p(r|t) p(a|t) - log Σ_t π_t p(r|t) - log Σ_t π_t p(a|t).

Mixtures of several sizes are fitted, and :mod:`.evidence` weighs them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_SHAPE = 20.0
"""Shape of the gamma prior: log profiles differ by about 0.2."""
_ITERATIONS = 30
_COMPONENTS = 8
_TOLERANCE = 1e-5


@dataclass
class StateMixture:
    """Fitted mixture; ``weight`` is ω."""

    genes: np.ndarray
    """Profiles, states × genes."""
    peaks: np.ndarray
    """Profiles, states × peaks."""
    weight: np.ndarray
    log_share: np.ndarray

    def of_rna(self, counts: sp.csr_matrix) -> np.ndarray:
        """Return log p(r | t) up to a constant, (cells, states)."""
        return _log_likelihood(counts, self.genes, self.weight)

    def of_atac(self, fragments: sp.csr_matrix) -> np.ndarray:
        """Return log p(a | t) up to a constant, (cells, states)."""
        return _log_likelihood(fragments, self.peaks, np.ones(self.peaks.shape[1]))

    def posterior(self, log_likelihood: np.ndarray) -> np.ndarray:
        """Return probabilities of the states minus their shares, (cells, states)."""
        joint = log_likelihood + self.log_share
        return np.exp(joint - _log_sum(joint)[:, None]) - np.exp(self.log_share)

    def evidence(self, rna: np.ndarray, atac: np.ndarray) -> np.ndarray:
        """Return the log ratio of rows being of one cell, (pairs,)."""
        share = self.log_share
        return _log_sum(rna + atac + share) - _log_sum(rna + share) - _log_sum(atac + share)


def mixture_sizes(largest: int, n_cells: int) -> list[int]:
    """Return sizes up to ``largest`` with at least ten cells a state."""
    return [size for size in SIZES if size <= min(largest, max(2, n_cells // 10))]


def gene_precision(counts: sp.csr_matrix) -> np.ndarray:
    """Return ω of each gene: 1 over its variance relative to Poisson counts, at most 1.

    Mean squared Pearson residuals, given the depth alone.
    """
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    share = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() / max(depth.sum(), 1.0)
    inverse = sp.diags_array(1 / np.where(depth > 0, depth, 1.0)).tocsr()
    # Σ (c - d f)² / (d f) = Σ c² / (d f) - 2 Σ c + Σ d f, without a dense matrix.
    squares = np.asarray((inverse @ counts.multiply(counts)).sum(axis=0)).ravel()
    safe = np.where(share > 0, share, 1.0)
    excess = squares / safe - depth.sum() * share
    return 1 / np.maximum(1.0, excess / max(1, counts.shape[0]))


def fit_mixture(
    counts: sp.csr_matrix, fragments: sp.csr_matrix, weight: np.ndarray, size: int, seed: int
) -> StateMixture:
    """Fit a mixture to counts (cells × genes) and fragments (cells × peaks)."""
    scores = _scores(counts, seed)
    size = min(size, len(np.unique(scores, axis=0)))
    start = KMeans(size, n_init=10, random_state=seed % 2**32).fit_predict(scores)
    share = np.eye(size)[start]
    ones = np.ones(fragments.shape[1])
    previous = -np.inf
    for _ in range(_ITERATIONS):
        mixture = StateMixture(
            _profiles(counts, share, weight), _profiles(fragments, share, ones), weight,
            np.log((share.sum(axis=0) + 1) / (len(share) + size)),
        )  # fmt: skip
        joint = mixture.of_rna(counts) + mixture.of_atac(fragments) + mixture.log_share
        total = _log_sum(joint)
        share = np.exp(joint - total[:, None])
        likelihood = float(total.mean())
        if abs(likelihood - previous) < _TOLERANCE * abs(likelihood):
            break
        previous = likelihood
    return mixture


def _scores(counts: sp.csr_matrix, seed: int) -> np.ndarray:
    """Return principal component scores of log expression, clustered for initial states."""
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    middle = np.median(depth[depth > 0]) if (depth > 0).any() else 1.0
    scaled = sp.diags_array(middle / np.where(depth > 0, depth, 1.0)).tocsr() @ counts
    n = min(_COMPONENTS + 1, min(counts.shape) - 1)
    scores: np.ndarray = TruncatedSVD(max(1, n), random_state=seed % 2**32).fit_transform(
        sp.csr_matrix(scaled.log1p())
    )
    scores = scores - scores.mean(axis=0)
    # The first direction is common to all cells: their depth.
    return scores[:, 1:] if scores.shape[1] > 1 else scores


def _profiles(counts: sp.csr_matrix, share: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return posterior mean profiles, states × features."""
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    overall = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() + 0.1
    overall /= overall.sum()
    observed = (counts.T @ share).T * weight
    expected = (share * depth[:, None]).sum(axis=0)[:, None] * weight
    profiles = (observed + _SHAPE) / (expected + _SHAPE / overall)
    return profiles / profiles.sum(axis=1, keepdims=True)


def _log_likelihood(counts: sp.csr_matrix, profiles: np.ndarray, weight: np.ndarray) -> np.ndarray:
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    return counts @ (np.log(profiles) * weight).T - np.outer(depth, profiles @ weight)


def _log_sum(values: np.ndarray) -> np.ndarray:
    top = values.max(axis=1)
    total: np.ndarray = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return total
