"""Nested random splits in tenths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.seeds import derive

if TYPE_CHECKING:
    import numpy as np

N_BINS = 10


def decile_bins(n_cells: int, seed: int, base: np.ndarray | None = None) -> np.ndarray:
    """Return a number 1 … 10 of each cell, balanced and shuffled; 0 outside the mask ``base``."""
    import numpy as np

    inside = np.ones(n_cells, dtype=bool) if base is None else np.asarray(base, dtype=bool)
    numbers = np.arange(np.count_nonzero(inside)) % N_BINS + 1
    bins = np.zeros(n_cells, dtype=np.int64)
    bins[inside] = np.random.default_rng(derive(seed, "deciles")).permutation(numbers)
    return bins


def decile_split(
    n_cells: int, train_deciles: int, seed: int, base: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (training, test) of the cells in ``base``.

    With more deciles the training cells of fewer stay training cells.
    """
    bins = decile_bins(n_cells, seed, base)
    return (bins > 0) & (bins <= train_deciles), bins > train_deciles
