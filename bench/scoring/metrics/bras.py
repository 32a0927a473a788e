"""Batch removal adapted silhouette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import Metric, MetricResult, UndefinedMetric

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
    cell there has distance 1 to every other. All cells count. Fact: ``types``, their number.

    Raises
    ------
    UndefinedMetric
        For one batch, equal points only, or if no type has cells in two batches.
    """
    import numpy as np

    from ._contingency import label_codes

    types, batches = label_codes(true), label_codes(batch)
    if batches.max() < 1:
        raise UndefinedMetric("only one batch")
    if np.all(embedding == embedding[0]):
        raise UndefinedMetric("all points of the embedding are equal")
    directions = _unit_vectors(embedding)
    means = []
    for number in range(types.max() + 1):
        own = label_codes(batches[types == number])
        if 0 < own.max() < len(own) - 1:
            widths = _cosine_widths(directions[types == number], own)
            means.append(1.0 - np.abs(widths).mean())
    if not means:
        raise UndefinedMetric("no type has cells in two batches")
    return float(np.mean(means)), {"types": float(len(means))}


def _unit_vectors(embedding: np.ndarray) -> np.ndarray:
    """Return the cells scaled to length 1; a cell at the origin stays there."""
    import numpy as np

    points = np.asarray(embedding, dtype=np.float64)
    points = points / (np.abs(points).max(axis=1, keepdims=True) + (points == 0).all(1)[:, None])
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1.0)


def _cosine_widths(directions: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Return (b - a) / max(a, b) of each cell, shape (n_cells,), with b over all other batches.

    The mean of 1 - u·v over cells v is 1 - u·(mean of v), so no pair of cells is formed.
    """
    import numpy as np

    sizes = np.bincount(batches)
    sums = np.zeros((len(sizes), directions.shape[1]))
    np.add.at(sums, batches, directions)
    n_own, n_other = sizes[batches] - 1, len(batches) - sizes[batches]
    to_itself = 1.0 - np.einsum("ij,ij->i", directions, directions)
    total = n_own + 1 - np.einsum("ij,ij->i", directions, sums[batches]) - to_itself
    own = np.maximum(total, 0.0) / np.maximum(n_own, 1)
    to_others = np.einsum("ij,ij->i", directions, sums.sum(axis=0) - sums[batches])
    other = np.maximum(1.0 - to_others / n_other, 0.0)
    scale = np.maximum(own, other)
    # What rounding leaves between cells of one direction is no distance.
    widths = (other - own) / np.where(scale > 1e-12, scale, np.inf)
    return np.where(n_own > 0, widths, 0.0)


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
