"""Wrong pairs: for each cell's RNA the chromatin of another cell, by a rule and a seed."""

from __future__ import annotations

import numpy as np

_FAR = 0.5
"""``lsi_far``: cells farther than this share of all others."""


def wrong_pairs(
    cells: np.ndarray,
    mode: str,
    ratio: int,
    rng: np.random.Generator,
    *,
    components: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Return (pairs, 2): cell of the RNA and another of the ATAC, ``ratio`` for each cell.

    Both are of ``cells``, so that no pair crosses a split. ``components``: LSI of all cells, for
    ``lsi_far``; ``labels`` of all cells for ``label_easy`` (other type) and ``label_hard`` (same
    type; cells alone in their type get any other). A single cell has no wrong pair.
    """
    if len(cells) < 2:
        return np.empty((0, 2), dtype=np.int64)
    if mode == "random_cell":
        n = len(cells)
        here = np.tile(np.arange(n), ratio)
        other = (here + rng.integers(1, n, len(here))) % n
        return np.column_stack([cells[here], cells[other]])
    pairs = []
    for _ in range(ratio):
        for number, cell in enumerate(cells):
            others = _allowed(cells, number, mode, components, labels)
            pairs.append((cell, others[rng.integers(len(others))]))
    return np.array(pairs, dtype=np.int64)


def _allowed(
    cells: np.ndarray, number: int, mode: str, components: np.ndarray | None,
    labels: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    rest = np.delete(cells, number)
    if mode == "lsi_far" and components is not None and components.shape[1]:
        apart = ((components[rest] - components[cells[number]]) ** 2).sum(axis=1)
        return rest[apart >= np.quantile(apart, _FAR)]
    if mode.startswith("label") and labels is not None:
        same = labels[rest] == labels[cells[number]]
        found = rest[same] if mode == "label_hard" else rest[~same]
        return found if len(found) else rest
    return rest
