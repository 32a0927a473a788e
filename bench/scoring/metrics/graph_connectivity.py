"""Whether the cells of a type stay connected across batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from bench.contract import Metric, UndefinedMetric
from bench.scoring.clustering import connectivities

from ._contingency import label_codes


def graph_connectivity(embedding: np.ndarray, true: Any, batch: Any, *, seed: int) -> float:
    """Return the mean over types of the share of cells in the type's largest component.

    The components are those of the 15-neighbour graph restricted to the cells of a type (Luecken
    et al. 2022, graph connectivity). The batches decide only that it is of interest.

    Raises ``UndefinedMetric`` for one batch, fewer than 3 cells or equal points only.
    """
    if len(np.unique(label_codes(batch))) < 2:
        raise UndefinedMetric("only one batch")
    if len(embedding) < 3:
        raise UndefinedMetric("fewer than 3 cells")
    if np.all(embedding == embedding[0]):
        raise UndefinedMetric("all points of the embedding are equal")
    graph, labels = connectivities(embedding, seed=seed), label_codes(true)
    shares = []
    for number in range(labels.max() + 1):
        cells = np.flatnonzero(labels == number)
        component = connected_components(graph[cells][:, cells], directed=False)[1]
        shares.append(np.bincount(component).max() / len(cells))
    return float(np.mean(shares))


METRIC = Metric(
    name="graph_connectivity",
    kind="batch",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Share of a type's cells in one piece of the neighbour graph, mean over types",
    reference="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8",
    function=graph_connectivity,
)
