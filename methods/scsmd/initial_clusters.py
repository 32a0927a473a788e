"""The first clusters of phase 2, and how many there are."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from bench.scoring.clustering import connectivities, kmeans, leiden

_MOST = 50
"""Clusters that the spectrum is searched for, at most."""


def start_labels(codes: np.ndarray, k_from: str, k: int | None, seed: int) -> np.ndarray:
    """Return a label 0 … K - 1 of each code, every one of them in use, shape (cells,).

    K-means with ``k`` if it is given, or with what the spectrum says, else Leiden communities.
    """
    if k is None and k_from == "leiden":
        found = leiden(codes, seed)
    else:
        found = kmeans(codes, k or eigengap(codes, seed), seed)
    return np.unique(found, return_inverse=True)[1]


def eigengap(codes: np.ndarray, seed: int) -> int:
    """Return the number of clusters by the largest gap between eigenvalues.

    Of the normalised Laplacian of the neighbour graph, among the first 50. Source: von Luxburg
    2007, a tutorial on spectral clustering, section 8.3.
    """
    n_cells = len(codes)
    if n_cells < 5 or np.all(codes == codes[0]):
        return 1
    graph = connectivities(codes, seed=seed)
    scale = sp.diags(1.0 / np.sqrt(np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)))
    n_values = min(_MOST + 1, n_cells - 1)
    # The largest eigenvalues of the similarity are the smallest of the Laplacian.
    start = np.random.default_rng(seed).random(n_cells)
    values = eigsh(scale @ graph @ scale, k=n_values, which="LA", v0=start)[0]
    gaps = -np.diff(np.sort(values)[::-1])
    return int(np.argmax(gaps)) + 1
