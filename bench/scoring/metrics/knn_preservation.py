"""Preservation of the nearest neighbours in the counts by the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import CountsTask, Metric, MetricResult, UndefinedMetric

from ._conditions import require_distinct_points

if TYPE_CHECKING:
    import numpy as np

N_NEIGHBORS = 15


def knn_preservation(embedding: np.ndarray, task: CountsTask, *, seed: int) -> MetricResult:
    """Return the mean share of a cell's 15 nearest in the counts among its 15 on the embedding.

    The neighbours in the counts are those on the first 50 principal components of the
    log-normalised counts. 1: the embedding keeps all neighbourhoods; chance is about 15 / number
    of cells.

    Notes
    -----
    Computed for data without labels only. PCA has an advantage, and a method that removes noise or
    batches must lose neighbours: a low value warns of a collapsed embedding, but a high value does
    not show a good one. Peaks of chromatin are binarised. Above 50,000 cells it is the mean over a
    sample of 10,000, drawn with the seed. Facts: ``neighbours``, ``cells`` (of a sample).

    Raises
    ------
    UndefinedMetric
        For paired data, which have two matrices, for fewer than 3 cells, or if all points are
        equal.
    """
    import numpy as np

    from bench.scoring.clustering import sample_facts, sampled_neighbors

    if task.components is None:
        raise UndefinedMetric(task.no_components)
    n_cells = len(embedding)
    if n_cells < 3:
        raise UndefinedMetric("fewer than 3 cells")
    require_distinct_points(embedding)
    k = min(N_NEIGHBORS, n_cells - 2)
    cells, before, _ = sampled_neighbors(task.components, k, seed=seed)
    _, after, _ = sampled_neighbors(embedding, k, seed=seed)  # of the same cells
    shared = [len(np.intersect1d(*rows)) for rows in zip(before, after, strict=True)]
    facts = sample_facts(cells, n_cells)
    return float(np.mean(shared) / k), facts | {"neighbours": float(k)}


METRIC = Metric(
    name="knn_preservation",
    kind="counts",
    version=1,
    higher_is_better=None,
    bounds=(0.0, 1.0),
    summary="Share of the neighbours in the counts that the embedding keeps",
    reference="Lee and Verleysen 2009, doi:10.1016/j.neucom.2008.12.017",
    function=knn_preservation,
)
