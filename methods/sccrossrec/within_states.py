"""Directions in which cells of one state differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, svds

if TYPE_CHECKING:
    from .evidence import Profiles
    from .state_mixture import StateMixture


@dataclass
class WithinAxes:
    """Principal components of the residuals of genes and peaks, given the states.

    Residuals are those of Pearson: (count - expected) √(ω / (depth · share of the feature)).
    """

    loadings: np.ndarray
    """Features × axes; residuals times loadings are coordinates of unit variance."""
    mean: np.ndarray
    """Mean coordinates of the training cells, subtracted from all cells, (axes,)."""
    scale: np.ndarray
    """√(ω / share) of each feature."""

    @classmethod
    def fit(
        cls, profiles: Profiles, mixtures: list[StateMixture], weights: np.ndarray, n: int
    ) -> WithinAxes:
        """Return ``n`` axes, fewer if there are few cells or features."""
        first = mixtures[0]
        share = np.exp(first.log_share)
        overall = np.concatenate([share @ first.genes, share @ first.peaks])
        precision = np.concatenate([first.weight, np.ones(first.peaks.shape[1])])
        scale = np.sqrt(precision / overall)
        residuals = _Residuals(profiles, mixtures, weights, scale)
        n = min(n, min(residuals.shape) - 1)
        if n < 1:
            return cls(np.zeros((len(scale), 0)), np.zeros(0), scale)
        start = np.random.default_rng(0).random(min(residuals.shape))
        _, size, axes = svds(residuals, k=n, v0=start)
        order = np.argsort(size)[::-1]
        order = order[size[order] > 1e-6 * max(float(size.max()), 1e-6)]
        size, axes = size[order], axes[order]
        # An axis has no sign of its own: its largest entry is positive.
        peak = np.abs(axes).argmax(axis=1)
        axes = axes * np.where(axes[np.arange(len(axes)), peak] < 0, -1.0, 1.0)[:, None]
        loadings = axes.T * (np.sqrt(len(profiles)) / size)
        return cls(loadings, (residuals @ loadings).mean(axis=0), scale)

    def coordinates(
        self, profiles: Profiles, mixtures: list[StateMixture], weights: np.ndarray
    ) -> np.ndarray:
        """Return the coordinates of each cell, (cells, axes), of about unit variance."""
        residuals = _Residuals(profiles, mixtures, weights, self.scale)
        places: np.ndarray = residuals @ self.loadings - self.mean
        return places


class _Residuals(LinearOperator):
    """Residuals of cells × features, a sparse matrix minus one of low rank."""

    def __init__(
        self, profiles: Profiles, mixtures: list[StateMixture], weights: np.ndarray,
        scale: np.ndarray,
    ) -> None:  # fmt: skip
        parts = (profiles.counts, profiles.fragments)
        n_genes = parts[0].shape[1]
        rows, low_rank = [], []
        posteriors = []
        for one in mixtures:
            centred = one.posterior(one.of_rna(parts[0]) + one.of_atac(parts[1]))
            posteriors.append(centred + np.exp(one.log_share))
        for part, (matrix, at) in enumerate(
            zip(parts, (slice(None, n_genes), slice(n_genes, None)), strict=True)
        ):
            root = np.sqrt(np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel())
            inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
            states = np.concatenate([
                weight * (one.genes if part == 0 else one.peaks)
                for weight, one in zip(weights, mixtures, strict=True)
            ])  # fmt: skip
            rows.append(sp.csr_matrix(sp.diags(inverse) @ matrix @ sp.diags(scale[at])))
            low_rank.append((root[:, None] * np.column_stack(posteriors), states * scale[at]))
        self._matrix = sp.csr_matrix(sp.hstack(rows))
        self._low_rank, self._n_genes = low_rank, n_genes
        super().__init__(np.float64, self._matrix.shape)

    def _matmat(self, values: np.ndarray) -> np.ndarray:
        product = self._matrix @ values
        parts = values[: self._n_genes], values[self._n_genes :]
        for (of_cells, of_states), part in zip(self._low_rank, parts, strict=True):
            product -= of_cells @ (of_states @ part)
        return product

    def _rmatmat(self, values: np.ndarray) -> np.ndarray:
        expected = [of_states.T @ (of_cells.T @ values) for of_cells, of_states in self._low_rank]
        return self._matrix.T @ values - np.concatenate(expected)

    def _adjoint(self) -> LinearOperator:
        return LinearOperator(
            self.shape[::-1],
            matvec=lambda v: self._rmatmat(v.reshape(-1, 1)).ravel(),
            rmatvec=lambda v: self._matmat(v.reshape(-1, 1)).ravel(),
            matmat=self._rmatmat,
            rmatmat=self._matmat,
            dtype=np.float64,
        )
