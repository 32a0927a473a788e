"""Corrections of batches by other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._global_generators import seed_global_generators

if TYPE_CHECKING:
    from .pca_harmony import Harmony
    from .scanorama import Scanorama


def harmony(
    scores: np.ndarray, batch: np.ndarray, params: Harmony.Params, seed: int, threads: int
) -> np.ndarray:
    """Return components corrected by harmonypy, (cells, components)."""
    import harmonypy

    # The program's start follows the order of the cells.
    order = np.random.default_rng(seed).permutation(len(scores))
    result = harmonypy.run_harmony(
        scores[order], {"batch": batch[order]}, "batch",
        theta=params.theta, sigma=params.sigma, max_iter_harmony=params.max_iter, verbose=False,
        lamb=params.ridge or None, epsilon_harmony=params.tol,
        nclust=min(max(2, round(len(scores) / 30)), 100), ncores=threads, random_state=seed,
    )  # fmt: skip
    corrected = scores.copy()
    corrected[order] = result.Z_corr
    return corrected


def stitch(
    values: np.ndarray, batch: np.ndarray, params: Scanorama.Params, seed: int
) -> np.ndarray:
    """Return cells reduced and corrected by scanorama, (cells, components)."""
    import scanorama

    names, sizes = np.unique(batch, return_counts=True)
    genes = np.array([f"{number:09}" for number in range(values.shape[1])])  # it sorts them
    with seed_global_generators(seed):
        parts, _ = scanorama.integrate(
            [values[batch == name] for name in names], [genes for _ in names], verbose=0,
            dimred=min(params.n_components, min(values.shape) - 1), sigma=params.sigma,
            alpha=params.alpha, knn=min(params.n_neighbors, int(sizes.min())), seed=seed,
        )  # fmt: skip
    embedding = np.empty((len(batch), parts[0].shape[1]), np.float32)
    for name, part in zip(names, parts, strict=True):
        embedding[batch == name] = part
    return embedding
