"""Share of the nearest neighbours of rare cells that are rare too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import UndefinedMetric

from ._rare import rare_metrics, rare_neighbours

if TYPE_CHECKING:
    import numpy as np


def rare_purity(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, *, seed: int
) -> float:
    """Return the mean share of rare cells among the nearest neighbours of rare cells.

    ``knn_purity`` of one type: with m other rare cells among the possible neighbours, the
    neighbours are the min(15, m) nearest cells. The held-out form takes held-out rare cells and
    their neighbours among the training cells.

    Raises
    ------
    UndefinedMetric
        If all cells or none are rare, if the type has a single cell, or if all points are equal.
    """
    neighbours, is_rare = rare_neighbours(embedding, rare, train, seed=seed)
    n_others = int(rare.sum()) - 1 if train is None else int(rare[train].sum())
    if n_others < 1:
        raise UndefinedMetric("the rare type has a single cell")
    return float(neighbours[is_rare][:, :n_others].mean())


METRICS = rare_metrics(
    "rare_purity",
    rare_purity,
    reference="neighbourhood hit of Paulovich et al. 2008, doi:10.1109/TVCG.2007.70443",
    summary="Share of the 15 nearest neighbours of rare cells that are rare",
    held_out_summary="The same for held-out rare cells among training cells",
)
