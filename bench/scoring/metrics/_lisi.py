"""Local inverse Simpson index of Korsunsky et al. 2019."""

from __future__ import annotations

import numpy as np

from bench.contract import UndefinedMetric
from bench.scoring.clustering import sample_facts, sampled_neighbors

from ._conditions import require_distinct_points

PERPLEXITY = 30


def median_lisi(
    embedding: np.ndarray, codes: np.ndarray, *, seed: int
) -> tuple[float, dict[str, str | float]]:
    """Return the median over cells of LISI, 1 to the number of labels, and facts.

    LISI = 1 / Σ_l p_l², p_l the weight of label l among the 89 nearest other cells under a kernel
    exp(-beta d) of perplexity 30. ``codes`` are 0 … n_labels - 1, shape (n_cells,).

    The fact ``cells`` is the size of a sample of the cells, see :func:`sampled_neighbors`.

    Raises ``UndefinedMetric`` for fewer than 10 cells, or if all points are equal.
    """
    if len(codes) < 10:
        raise UndefinedMetric("fewer than 10 cells")
    require_distinct_points(embedding)
    size = min(3 * PERPLEXITY, len(codes))
    cells, indices, distances = sampled_neighbors(embedding, size - 1, seed=seed)
    weights = _weights(distances, np.log(size / 3))
    simpson = sum(
        (weights * (codes[indices] == number)).sum(axis=1) ** 2
        for number in range(codes.max() + 1)
    )
    facts = sample_facts(cells, len(codes))
    return float(np.median(1.0 / simpson)), facts


def _weights(distances: np.ndarray, entropy: float) -> np.ndarray:
    """Return exp(-beta d) / sum of each row, with beta (bisection) for a given entropy."""
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
