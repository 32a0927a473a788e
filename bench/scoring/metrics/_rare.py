"""What the metrics of a rare type share: which cells are asked, and how their neighbours vote."""

from __future__ import annotations

import numpy as np

from bench.contract import RareTask, UndefinedMetric
from bench.scoring.clustering import nearest_neighbors

N_NEIGHBORS = 15


def held_out(task: RareTask) -> np.ndarray:
    """Return the training mask of a task; raises ``UndefinedMetric`` if no cell is held out."""
    if task.train is None:
        raise UndefinedMetric(task.no_held_out or "no cells are held out")
    return task.train


def votes(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which neighbours of each asked cell are rare, and whether it is rare itself.

    The first is of shape (asked cells, 15), nearest first, the second (asked cells,). Without
    ``train`` every cell is asked about its 15 nearest others. With it the held-out cells are
    asked, and their neighbours are training cells only: what a reader would do with new cells and
    an annotated reference. There are fewer than 15 if there are fewer cells. Ties are broken at
    random by ``seed``.

    Raises ``UndefinedMetric`` if the cells that are asked, or those that vote, are all rare or none is, or
    if all points are equal.
    """
    every = np.ones(len(rare), dtype=bool)
    asked, voting = (every, every) if train is None else (~train, train)
    for what, cells in (("asked", asked), ("voting", voting)):
        found = int(rare[cells].sum())
        if found in (0, int(cells.sum())):
            raise UndefinedMetric(f"{found} of the {int(cells.sum())} {what} cells are of the rare type")
    if np.all(embedding == embedding[0]):
        raise UndefinedMetric("all points of the embedding are equal")
    if train is None:
        k = min(N_NEIGHBORS, len(rare) - 1)
        return rare[nearest_neighbors(embedding, k, seed=seed)[0]], rare
    k = min(N_NEIGHBORS, int(train.sum()))
    indices = nearest_neighbors(embedding, k, seed=seed, reference=train)[0]
    return rare[indices], rare[asked]


def purity(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, *, seed: int
) -> float:
    """Return the mean share of rare cells among the nearest neighbours of the asked rare cells.

    Each is asked about as many neighbours as it could find, at most 15: with m voting cells of
    the type min(15, m), itself not counted.
    """
    neighbours, truly = votes(embedding, rare, train, seed=seed)
    there = int(rare.sum()) - 1 if train is None else int(rare[train].sum())
    if there < 1:
        raise UndefinedMetric("the rare type has a single cell")
    return float(neighbours[truly][:, :there].mean())
