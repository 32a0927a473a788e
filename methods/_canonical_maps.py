"""Canonical correlation of two blocks of scores, and regression of detection on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from sklearn.preprocessing import normalize

from ._paired_baseline import unit_variance_factor

if TYPE_CHECKING:
    import scipy.sparse as sp

    from .cca import CCA


class CanonicalPairs(NamedTuple):
    """Pairs of directions whose scores correlate most, the strongest first."""

    first: np.ndarray
    """Weights, columns of the first block × pairs; variates have variance 1 if the ridge is 0."""
    second: np.ndarray
    correlation: np.ndarray
    """Descending, 0 to 1."""


def canonical_pairs(
    first: np.ndarray, second: np.ndarray, n: int, *, ridge: float
) -> CanonicalPairs:
    """Return at most ``n`` canonical pairs of two centred blocks, cells × columns.

    Singular vectors of Cxx^-1/2 Cxy Cyy^-1/2 (Hotelling 1936). ``ridge`` times the mean variance
    of a block is added to its variances (Vinod 1976, doi:10.1016/0304-4076(76)90010-5).
    """
    whiten = [_inverse_root(block.T @ block / len(block), ridge) for block in (first, second)]
    cross = whiten[0] @ (first.T @ second / len(first)) @ whiten[1]
    left, values, right = np.linalg.svd(cross, full_matrices=False)
    # A singular vector has no sign of its own: the largest entry of the first one is positive.
    peak = np.abs(left).argmax(axis=0)
    sign = np.where(left[peak, np.arange(len(values))] < 0, -1.0, 1.0)
    return CanonicalPairs(
        (whiten[0] @ left * sign)[:, :n],
        (whiten[1] @ right.T * sign)[:, :n],
        np.clip(values[:n], 0.0, 1.0),
    )


def _inverse_root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    """Return (C + ridge · mean variance · I)^-1/2; directions without variance are left out."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0.0) + ridge * float(np.trace(covariance)) / len(covariance)
    varies = values > 1e-10 * max(values.max(), 1e-300)
    return (vectors[:, varies] / np.sqrt(values[varies])) @ vectors[:, varies].T


def ridge_regression(
    scores: np.ndarray, detected: np.ndarray | sp.csr_matrix, ridge: float
) -> np.ndarray:
    """Return the coefficients of a ridge regression of ``detected`` on scores, columns × genes.

    ``scores``: centred, cells × columns. ``detected``: cells × genes. ``ridge`` is in units of the
    mean variance of a column of ``scores``.
    """
    gram = scores.T @ scores
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram) + 1e-12
    return np.linalg.solve(gram, np.asarray((detected.T @ scores).T))


class CanonicalMaps:
    """Maps from scores of genes and peaks to canonical variates and to detection."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    @classmethod
    def fit(
        cls, rna: np.ndarray, atac: np.ndarray, counts: sp.csr_matrix, params: CCA.Params
    ) -> CanonicalMaps:
        """Learn the maps from scores (cells × components) and counts (cells × genes)."""
        maps = cls({
            "rna_mean": rna.mean(axis=0, dtype=np.float64),
            "atac_mean": atac.mean(axis=0, dtype=np.float64),
            "rna_scale": np.asarray(unit_variance_factor(rna)),
            "atac_scale": np.asarray(unit_variance_factor(atac)),
        })  # fmt: skip
        blocks = maps._scale("rna", rna), maps._scale("atac", atac)
        pairs = canonical_pairs(*blocks, params.n_canonical, ridge=params.ridge)
        weights = np.sqrt(pairs.correlation) if params.weighted else 1.0
        detected = (counts > 0).astype(np.float64)
        maps.arrays |= {
            "rna_map": pairs.first * weights,
            "atac_map": pairs.second * weights,
            "rate": np.asarray(detected.mean(axis=0)).ravel(),
            "from_atac": ridge_regression(blocks[1], detected, params.translation_ridge),
            "from_both": ridge_regression(np.hstack(blocks), detected, params.translation_ridge),
            "correlation": pairs.correlation,
        }
        return maps

    @property
    def n_parameters(self) -> int:
        """Number of fitted numbers."""
        return sum(one.size for name, one in self.arrays.items() if name != "correlation")

    def correlation_table(self) -> pd.DataFrame:
        """Return the correlation of each pair of variates."""
        correlation = self.arrays["correlation"]
        names = [f"CC{number}" for number in range(1, len(correlation) + 1)]
        return pd.DataFrame({"correlation": correlation}, names)

    def embed(self, rna: np.ndarray, atac: np.ndarray) -> np.ndarray:
        """Return the mean of both variates, (cells, n_canonical), float32."""
        both = self._variates("rna", rna) + self._variates("atac", atac)
        return (both / 2).astype(np.float32)

    def match(
        self, rna: np.ndarray, atac: np.ndarray, rna_cells: np.ndarray, atac_cells: np.ndarray
    ) -> np.ndarray:
        """Return the cosine of the variates of each pair of cells, (pairs,)."""
        first = normalize(self._variates("rna", rna))
        second = normalize(self._variates("atac", atac))
        cosine: np.ndarray = (first[rna_cells] * second[atac_cells]).sum(axis=1)
        return cosine

    def translate(self, atac: np.ndarray, rna: np.ndarray | None = None) -> np.ndarray:
        """Return the expected detection of each gene, (cells, genes), not cut to 0 … 1."""
        scores = self._scale("atac", atac)
        if rna is None:
            return np.asarray(self.arrays["rate"] + scores @ self.arrays["from_atac"])
        both = np.hstack([self._scale("rna", rna), scores])
        return np.asarray(self.arrays["rate"] + both @ self.arrays["from_both"])

    def _scale(self, part: str, scores: np.ndarray) -> np.ndarray:
        """Return scores, scaled so that the training cells have mean 0 and total variance 1."""
        centred = np.asarray(scores, dtype=np.float64) - self.arrays[f"{part}_mean"]
        return centred * self.arrays[f"{part}_scale"]

    def _variates(self, part: str, scores: np.ndarray) -> np.ndarray:
        return self._scale(part, scores) @ self.arrays[f"{part}_map"]
