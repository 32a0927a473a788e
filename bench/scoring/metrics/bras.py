"""Batch removal adapted silhouette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult, UndefinedMetric

from ._conditions import require_distinct_points

if TYPE_CHECKING:
    import numpy as np


def bras(embedding: np.ndarray, true: Any, batch: Any, *, seed: int) -> MetricResult:
    """Return 1 - |s|, s the silhouette of the batches, as a mean over the cells of each type.

    BRAS = 1/|T| Σ_t 1/|t| Σ_{i in t} (1 - |s_i|), s_i = (b_i - a_i) / max(a_i, b_i): within type t
    a_i is the mean cosine distance to the other cells of the batch of cell i, b_i the mean
    distance to the cells of all other batches, not of the nearest one as in the silhouette
    (Rautenstrauch and Ohler 2025, their default). 1: the batches of each type overlap.

    Notes
    -----
    Types of one batch, and types whose cells are all of different batches, are left out. A cell
    alone in its batch has s = 0. The cosine distance is taken from the origin of the embedding; a
    cell at the origin has distance 1 to all others. No sample is drawn. Fact: ``types``, the
    number of types used.

    Raises
    ------
    UndefinedMetric
        For one batch, if all points are equal, or if no type has cells in two batches.
    """
    import numpy as np

    from ._contingency import batch_codes, label_codes
    from ._silhouettes import cosine_silhouettes, unit_vectors

    types, batches = label_codes(true), batch_codes(batch)
    require_distinct_points(embedding)
    directions = unit_vectors(embedding)
    means = []
    for number in range(types.max() + 1):
        own = label_codes(batches[types == number])
        if 0 < own.max() < len(own) - 1:
            widths = cosine_silhouettes(directions[types == number], own)
            means.append(1.0 - np.abs(widths).mean())
    if not means:
        raise UndefinedMetric("no type has cells in two batches")
    return float(np.mean(means)), {"types": float(len(means))}


METRIC = Metric(
    name="bras",
    kind="batch",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="1 - silhouette of the batches within a type, mean over types",
    reference="Rautenstrauch and Ohler 2025, doi:10.1038/s41587-025-02743-4",
    function=bras,
    scib_metrics="Equal to bras with its defaults.",
)
