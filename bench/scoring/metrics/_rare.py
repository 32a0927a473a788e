"""Functions shared by the metrics of a rare type."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

from bench.contract import Metric, MetricResult, RareTask, UndefinedMetric

from ._conditions import require_distinct_points

if TYPE_CHECKING:
    import numpy as np

N_NEIGHBORS = 15

RareFunction = Callable[..., MetricResult]
"""``function(embedding, rare, train, *, seed)``; without ``train`` on all cells."""


def rare_metrics(
    name: str, function: RareFunction, *, reference: str, summary: str, held_out_summary: str
) -> tuple[Metric, Metric]:
    """Return a metric on all cells and its form on held-out cells, ``<name>_held_out``."""

    def metric(suffix: str, compute: RareFunction, text: str) -> Metric:
        return Metric(
            name=name + suffix,
            kind="rare",
            version=1,
            higher_is_better=True,
            bounds=(0.0, 1.0),
            summary=text,
            reference=reference,
            function=wraps(function)(compute),
        )

    def on_all_cells(embedding: np.ndarray, task: RareTask, *, seed: int) -> MetricResult:
        return function(embedding, task.rare, None, seed=seed)

    def on_held_out_cells(embedding: np.ndarray, task: RareTask, *, seed: int) -> MetricResult:
        if task.train is None:
            raise UndefinedMetric(task.no_held_out or "no cells are held out")
        return function(embedding, task.rare, task.train, seed=seed)

    return (
        metric("", on_all_cells, summary),
        metric("_held_out", on_held_out_cells, held_out_summary),
    )


def rare_neighbours(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the 15 nearest neighbours of each query cell are rare, and whether it is.

    Shapes (n_query_cells, 15), nearest first, and (n_query_cells,); fewer than 15 neighbours if
    there are fewer cells. Without ``train`` every cell is a query cell, with neighbours among all
    other cells. With ``train`` the held-out cells are the query cells, with neighbours among the
    training cells, as in annotation by a reference. Ties are broken at random by ``seed``.

    Raises ``UndefinedMetric`` if all or none of the query cells or of the possible neighbours are
    rare, or if all points are equal.
    """
    import numpy as np

    from bench.scoring.clustering import nearest_neighbors

    every = np.ones(len(rare), dtype=bool)
    query, reference = (every, every) if train is None else (~train, train)
    for role, cells in (("query", query), ("neighbour", reference)):
        n_rare, n_cells = int(rare[cells].sum()), int(cells.sum())
        if n_rare in (0, n_cells):
            raise UndefinedMetric(f"{n_rare} of the {n_cells} {role} cells are of the rare type")
    require_distinct_points(embedding)
    k = min(N_NEIGHBORS, len(rare) - 1 if train is None else int(train.sum()))
    indices = nearest_neighbors(embedding, k, seed=seed, reference=train)[0]
    return rare[indices], rare[query]
