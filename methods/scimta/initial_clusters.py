"""First clusters of the cells."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import SpectralClustering

from bench.seeds import derive_seed

from ..nn.clusters import first_labels

if TYPE_CHECKING:
    from .cell_graph import Graph
    from .params import GraphParameters

_ROWS = 8192


def initial_clusters(
    codes: np.ndarray,
    graph: Graph,
    k: int | None,
    params: GraphParameters,
    *,
    seed: int,
    most: int,
) -> np.ndarray:
    """Return the first label 0 … K - 1 of each cell, (cells,); all are in use.

    ``start``: clusters of the codes, or spectral clusters of the symmetric part of Ã (Yu and Shi
    2003). Without ``k``, ``k_from`` gives the number. Of more than ``most`` cells a random part is
    clustered; further cells join the nearest mean.
    """
    if len(codes) > most:
        order = np.random.default_rng(derive_seed(seed, "start")).permutation(len(codes))
        sample = codes[order[:most]]
        sample_labels = first_labels(sample, params, k, derive_seed(seed, "centres"))
        return nearest_mean(codes, sample, sample_labels)
    labels = first_labels(codes, params, k, derive_seed(seed, "centres"))
    if params.start == "kmeans":
        return labels
    return _spectral(graph.operator, int(labels.max()) + 1, derive_seed(seed, "spectral"))


def nearest_mean(codes: np.ndarray, sample: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the nearest label mean of each code, (cells,), numbered from 0."""
    means = np.stack([sample[labels == k].mean(axis=0) for k in range(int(labels.max()) + 1)])
    norms = (means**2).sum(axis=1)
    nearest = np.empty(len(codes), dtype=np.int64)
    for start in range(0, len(codes), _ROWS):
        block = codes[start : start + _ROWS]
        nearest[start : start + _ROWS] = (norms - 2 * block @ means.T).argmin(axis=1)
    return np.unique(nearest, return_inverse=True)[1]


def _spectral(operator: sp.csr_matrix, k: int, seed: int) -> np.ndarray:
    if k < 2 or k >= operator.shape[0] - 1:
        return np.arange(operator.shape[0]) % k
    symmetric = sp.csr_matrix((operator + operator.T) / 2)
    with warnings.catch_warnings():
        # Spectral clusters exist also for an unconnected graph; the fit's notes count its parts.
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        labels = SpectralClustering(
            k, affinity="precomputed", assign_labels="discretize", random_state=seed
        ).fit_predict(symmetric)
    return np.unique(labels, return_inverse=True)[1]
