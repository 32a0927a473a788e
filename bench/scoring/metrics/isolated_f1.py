"""Best F1 of the rare type with a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import MetricResult, UndefinedMetric

from ._conditions import require_distinct_points
from ._rare import rare_metrics

if TYPE_CHECKING:
    import numpy as np

RESOLUTIONS = tuple(round(0.2 * step, 1) for step in range(1, 11))
"""0.2, 0.4 … 2.0."""


def isolated_f1(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, *, seed: int
) -> MetricResult:
    """Return the best F1 of the rare type with any Leiden cluster at resolutions 0.2 … 2.0.

    The isolated-label F1 of Luecken et al. 2022, which uses the resolution with the highest F1. F1
    = 2 |T ∩ C| / (|T| + |C|). In the held-out form all cells are clustered, resolution and cluster
    are chosen on the training cells, and F1 is counted over the held-out cells.

    Notes
    -----
    The label itself selects among ten clusterings, which makes the value optimistic for all
    methods alike; ``rare_f1`` has no such selection. Fact: ``resolution``, the lowest with this
    value.

    Raises
    ------
    UndefinedMetric
        Without cells of the type, or if all points are equal.
    """
    import numpy as np

    from bench.scoring.clustering import leiden_grid

    from ._contingency import contingency, f1_table

    chooses = np.ones(len(rare), dtype=bool) if train is None else train
    reports = chooses if train is None else ~train
    if not (rare[chooses].any() and rare[reports].any()):
        raise UndefinedMetric("no cells of the rare type")
    require_distinct_points(embedding)
    best_f1, reported_f1, best_resolution = -1.0, 0.0, 0.0
    for resolution, labels in leiden_grid(embedding, seed, RESOLUTIONS):
        f1 = f1_table(contingency(rare[chooses], labels[chooses]))[-1]
        if f1.max() > best_f1:
            cluster = labels == np.unique(labels[chooses])[f1.argmax()]
            hits = 2.0 * (rare & cluster)[reports].sum()
            size = rare[reports].sum() + cluster[reports].sum()
            best_f1, reported_f1, best_resolution = float(f1.max()), float(hits / size), resolution
    return reported_f1, {"resolution": best_resolution}


METRICS = rare_metrics(
    "isolated_f1",
    isolated_f1,
    reference="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8",
    summary="Best F1 of the rare type with a Leiden cluster, resolutions 0.2 to 2",
    held_out_summary="The same over held-out cells, the cluster chosen on training cells",
)
