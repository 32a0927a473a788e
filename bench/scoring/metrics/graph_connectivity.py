"""Whether the cells of a type stay connected across batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult, UndefinedMetric

from ._conditions import require_distinct_points

if TYPE_CHECKING:
    import numpy as np


def graph_connectivity(embedding: np.ndarray, true: Any, batch: Any, *, seed: int) -> MetricResult:
    """Return the mean over types of the share of cells in the type's largest component.

    GC = 1/|T| Σ_t |LCC(G_t)| / |t|: G_t is the neighbour graph restricted to the cells of type t,
    LCC its largest connected component (Luecken et al. 2022, graph connectivity).

    Notes
    -----
    The graph is that of Leiden: the 15 nearest neighbours, the cell itself among them, joined in
    both directions by the weights of UMAP (scanpy's ``connectivities``). The value does not depend
    on the batches, but is computed only for data with several. Above 50,000 cells the neighbours
    are approximate, which the fact ``neighbours`` says.

    Raises
    ------
    UndefinedMetric
        For one batch, for fewer than 3 cells, or if all points are equal.
    """
    import numpy as np
    from scipy.sparse.csgraph import connected_components

    from bench.scoring.clustering import connectivities, neighbor_facts

    from ._contingency import batch_codes, label_codes

    batch_codes(batch)
    if len(embedding) < 3:
        raise UndefinedMetric("fewer than 3 cells")
    require_distinct_points(embedding)
    graph, labels = connectivities(embedding, seed=seed), label_codes(true)
    shares = []
    for number in range(labels.max() + 1):
        cells = np.flatnonzero(labels == number)
        component = connected_components(graph[cells][:, cells], directed=False)[1]
        shares.append(np.bincount(component).max() / len(cells))
    return float(np.mean(shares)), neighbor_facts(len(embedding))


METRIC = Metric(
    name="graph_connectivity",
    kind="batch",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Share of a type's cells in its largest connected component, mean over types",
    reference="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8",
    function=graph_connectivity,
    scib_metrics="Higher here. scib-metrics takes the strongly connected components of the "
    "directed graph of neighbours, so a cell that no other cell has as a neighbour is a component "
    "of its own. The harness takes the undirected graph, as the package scib of the paper does; "
    "equal on the same graph.",
)
