"""Mixing of batches in the neighbourhoods of the cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.contract import Metric, MetricResult, UndefinedMetric
from bench.scoring.clustering import nearest_neighbors

from ._contingency import label_codes

PERPLEXITY = 30


def ilisi(embedding: np.ndarray, true: Any, batch: Any, *, seed: int) -> MetricResult:
    """Return the median over cells of (LISI - 1) / (number of batches - 1).

    LISI = 1 / Σ_b p_b², p_b the weight of batch b among the 89 nearest other cells under a kernel
    exp(-beta d) of perplexity 30 (Korsunsky et al. 2019 and their code); scaled to 0 … 1 as in
    scIB (Luecken et al. 2022). With fewer than 90 cells: all others, perplexity n / 3. Even
    perfect mixing stays below 1 (about 0.85 for three equal batches), as the neighbours are a
    sample. The types are not used: unequal types in the batches lower it. Fact: ``batches``.

    Raises ``UndefinedMetric`` for one batch, fewer than 10 cells or equal points only.
    """
    batches = label_codes(batch)
    n_batches = len(np.unique(batches))
    if n_batches < 2:
        raise UndefinedMetric("only one batch")
    if len(batches) < 10:
        raise UndefinedMetric("fewer than 10 cells")
    if np.all(embedding == embedding[0]):
        raise UndefinedMetric("all points of the embedding are equal")
    size = min(3 * PERPLEXITY, len(batches))
    indices, distances = nearest_neighbors(embedding, size - 1, seed=seed)
    weights = _weights(distances, np.log(size / 3))
    simpson = sum(
        (weights * (batches[indices] == number)).sum(axis=1) ** 2 for number in range(n_batches)
    )
    lisi = float(np.median(1.0 / simpson))
    return (lisi - 1.0) / (n_batches - 1.0), {"batches": float(n_batches)}


def _weights(distances: np.ndarray, entropy: float) -> np.ndarray:
    """Return exp(-beta d) / sum per row, beta by bisection so that each row has that entropy."""
    # In units of the row's mean: the scale of the embedding cannot run the search out of range.
    mean = distances.mean(axis=1, keepdims=True)
    relative = distances / np.where(mean > 0, mean, 1.0)
    relative -= relative.min(axis=1, keepdims=True)  # the same weights, without underflow
    low, high = np.zeros((len(distances), 1)), np.full((len(distances), 1), np.inf)
    beta = np.ones((len(distances), 1))
    for _ in range(50):
        kernel = np.exp(-beta * relative)
        total = kernel.sum(axis=1, keepdims=True)
        entropies = np.log(total) + beta * (relative * kernel).sum(axis=1, keepdims=True) / total
        too_wide = entropies > entropy
        low = np.where(too_wide, beta, low)
        high = np.where(too_wide, high, beta)
        beta = np.where(np.isinf(high), np.minimum(2.0 * beta, 1e12), (low + high) / 2.0)
    kernel = np.exp(-beta * relative)
    return kernel / kernel.sum(axis=1, keepdims=True)


METRIC = Metric(
    name="ilisi",
    kind="batch",
    version=1,
    higher_is_better=True,
    bounds=(0.0, 1.0),
    summary="Effective number of batches near a cell, scaled to 0 … 1",
    reference="Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0",
    function=ilisi,
)
