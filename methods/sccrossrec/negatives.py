"""Wrong pairs: the RNA of each cell with the chromatin of another cell."""

from __future__ import annotations

import numpy as np

_FAR_QUANTILE = 0.5
"""``lsi_far``: distances above this quantile of those to all others."""


def wrong_pairs(
    cells: np.ndarray,
    mode: str,
    ratio: int,
    rng: np.random.Generator,
    *,
    components: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Return (pairs, 2): RNA cell and another ATAC cell, ``ratio`` for each cell.

    Both are of ``cells``, so that no pair crosses a split. ``components``: LSI of all cells, for
    ``lsi_far``; ``labels`` of all cells for ``label_easy`` (another type) and ``label_hard`` (the
    same type; a cell alone in its type gets any other). A single cell has no wrong pair.
    """
    if len(cells) < 2:
        return np.empty((0, 2), dtype=np.int64)
    if mode == "random_cell":
        n = len(cells)
        first = np.tile(np.arange(n), ratio)
        second = (first + rng.integers(1, n, len(first))) % n
        return np.column_stack([cells[first], cells[second]])
    pairs = []
    for _ in range(ratio):
        for number, cell in enumerate(cells):
            others = _eligible_cells(cells, number, mode, components, labels)
            pairs.append((cell, others[rng.integers(len(others))]))
    return np.array(pairs, dtype=np.int64)


def _eligible_cells(
    cells: np.ndarray, number: int, mode: str, components: np.ndarray | None,
    labels: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """Return the cells that may stand in a wrong pair with ``cells[number]``."""
    others = np.delete(cells, number)
    if mode == "lsi_far" and components is not None and components.shape[1]:
        distance = ((components[others] - components[cells[number]]) ** 2).sum(axis=1)
        return others[distance >= np.quantile(distance, _FAR_QUANTILE)]
    if mode.startswith("label") and labels is not None:
        same = labels[others] == labels[cells[number]]
        eligible = others[same] if mode == "label_hard" else others[~same]
        return eligible if len(eligible) else others
    return others
