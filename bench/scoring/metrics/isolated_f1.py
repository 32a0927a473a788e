"""Whether some clustering isolates the rare type."""

from __future__ import annotations

import numpy as np

from bench.contract import Metric, MetricResult, RareTask, UndefinedMetric
from bench.scoring.clustering import leiden_grid

from ._contingency import contingency, f1_table
from ._rare import held_out

RESOLUTIONS = tuple(round(0.2 * step, 1) for step in range(1, 11))
"""0.2, 0.4 … 2.0."""


def isolated_f1(embedding: np.ndarray, task: RareTask, *, seed: int) -> MetricResult:
    """Return the best F1 of the rare type with any Leiden cluster at resolutions 0.2 … 2.0.

    The isolated-label F1 of Luecken et al. 2022, which takes the resolution that serves the label
    best. F1 = 2 |T ∩ C| / (|T| + |C|). The choice among ten clusterings by the label itself makes
    it optimistic for all methods alike; ``rare_f1`` has no such choice. Fact ``resolution`` is
    the lowest that reaches it.

    Raises ``UndefinedMetric`` without cells of the type, and for equal points only.
    """
    return _best(embedding, task.rare, np.ones(len(task.rare), dtype=bool), seed)


def isolated_f1_held_out(embedding: np.ndarray, task: RareTask, *, seed: int) -> MetricResult:
    """Return the same with F1 counted over held-out cells; all cells are clustered.

    Resolution and cluster are chosen on the training cells.
    """
    return _best(embedding, task.rare, held_out(task), seed, ~held_out(task))


def _best(
    embedding: np.ndarray,
    rare: np.ndarray,
    chooses: np.ndarray,
    seed: int,
    reports: np.ndarray | None = None,
) -> MetricResult:
    """Choose clustering and cluster by F1 over some cells and return F1 over others."""
    reports = chooses if reports is None else reports
    if not (rare[chooses].any() and rare[reports].any()):
        raise UndefinedMetric("no cells of the rare type")
    if np.all(embedding == embedding[0]):
        raise UndefinedMetric("all points of the embedding are equal")
    found = (-1.0, 0.0, 0.0)
    for resolution, labels in leiden_grid(embedding, seed, RESOLUTIONS):
        f1 = f1_table(contingency(rare[chooses], labels[chooses]))[-1]
        if f1.max() > found[0]:
            best = labels == np.unique(labels[chooses])[f1.argmax()]
            hits = 2.0 * (rare & best)[reports].sum()
            there = rare[reports].sum() + best[reports].sum()
            found = (float(f1.max()), float(hits / there), resolution)
    return found[1], {"resolution": found[2]}


_REFERENCE = "Luecken et al. 2022, doi:10.1038/s41592-021-01336-8"
METRICS = (
    Metric(
        name="isolated_f1",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Best F1 of the rare type with a Leiden cluster, resolutions 0.2 to 2",
        reference=_REFERENCE,
        function=isolated_f1,
    ),
    Metric(
        name="isolated_f1_held_out",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="The same over held-out cells, the cluster chosen on training cells",
        reference=_REFERENCE,
        function=isolated_f1_held_out,
    ),
)
