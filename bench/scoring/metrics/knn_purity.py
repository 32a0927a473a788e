"""Share of the nearest neighbours that have the same type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult, UndefinedMetric

from ._conditions import require_distinct_points

if TYPE_CHECKING:
    import numpy as np

N_NEIGHBORS = 15


def knn_purity(embedding: np.ndarray, true: Any, *, seed: int) -> MetricResult:
    """Return the mean over types of the share of near neighbours with the same type.

    For a type of m cells the neighbours are the min(15, m - 1) nearest other cells (Euclidean), so
    that a perfect embedding reaches 1 for small types too. The mean is taken over the cells of a
    type, then over types.

    Notes
    -----
    A type of a single cell is left out. Ties are broken at random by the seed. Fact: ``types``,
    the number of types used. Above 50,000 cells the cells are a sample of 10,000, about equally
    many of each type, drawn with the seed; the fact ``cells`` is their number.

    Raises
    ------
    UndefinedMetric
        If all points are equal, for one type, or if every type has a single cell.
    """
    import numpy as np

    from bench.scoring.clustering import sample_facts, sampled_neighbors

    from ._contingency import label_codes

    labels = label_codes(true)
    sizes = np.bincount(labels)
    if len(sizes) < 2:
        raise UndefinedMetric("all cells have the same true type")
    counted = np.flatnonzero(sizes > 1)
    if not len(counted):
        raise UndefinedMetric("every type has a single cell")
    require_distinct_points(embedding)
    k = min(N_NEIGHBORS, len(labels) - 1)
    cells, indices, _ = sampled_neighbors(embedding, k, seed=seed, labels=labels)
    own = labels[cells]
    n_counted = np.minimum(N_NEIGHBORS, sizes[own] - 1)
    same = labels[indices] == own[:, None]
    same &= np.arange(indices.shape[1]) < n_counted[:, None]
    share = same.sum(axis=1) / np.maximum(n_counted, 1)
    per_type = np.bincount(own, weights=share)[counted] / np.bincount(own)[counted]
    facts = sample_facts(cells, len(labels))
    return float(per_type.mean()), facts | {"types": float(len(counted))}


METRIC = Metric(
    name="knn_purity",
    kind="embedding",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Share of the 15 nearest neighbours with the same type, mean over types",
    reference="neighbourhood hit of Paulovich et al. 2008, doi:10.1109/TVCG.2007.70443",
    function=knn_purity,
)
