"""Initial clusters of codes, and tables of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh
from torch.nn import functional

from bench.scoring.clustering import connectivities, graph_communities, kmeans, leiden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from .params import ClusterParameters

_MAX_CLUSTERS = 50
"""Eigenvalues among which the gap is sought."""
_MOST_TRIALS = 20
"""Resolutions that a search for a number of communities tries."""


def first_labels(
    codes: np.ndarray, params: ClusterParameters, k: int | None, seed: int
) -> np.ndarray:
    """Return the label 0 … K - 1 of each code, (cells,); all are in use.

    ``k_from=leiden``: Leiden communities, about ``k`` of them if ``k`` is given. Otherwise k-means
    with ``k`` clusters; without ``k`` their number is that of :func:`eigengap`.
    """
    if params.k_from != "leiden":
        labels = kmeans(codes, k or eigengap(codes, seed), seed)
    elif k is None:
        labels = leiden(codes, seed, resolution=params.resolution)
    else:
        labels = leiden_of_size(codes, k, seed)
    return np.unique(labels, return_inverse=True)[1]


def leiden_of_size(codes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Return Leiden labels, (cells,), of ``k`` communities or the nearest number found.

    The resolution is bisected on a logarithmic scale from 0.01 to 100, at most 20 times. Of two
    numbers equally near to ``k`` the first found is taken.
    """
    if len(codes) < 3 or np.all(codes == codes[0]):
        return np.zeros(len(codes), dtype=np.int64)
    best, nearest = np.zeros(len(codes), dtype=np.int64), len(codes) + k
    graph = connectivities(codes, seed=seed)
    low, high = np.log(0.01), np.log(100.0)
    for _ in range(_MOST_TRIALS):
        middle = (low + high) / 2
        labels = graph_communities(graph, float(np.exp(middle)), seed)
        found = int(labels.max()) + 1
        if abs(found - k) < nearest:
            best, nearest = labels, abs(found - k)
        if found == k:
            break
        low, high = (middle, high) if found < k else (low, middle)
    return best


def eigengap(codes: np.ndarray, seed: int) -> int:
    """Return the number of clusters by the largest gap between eigenvalues.

    The eigenvalues are those of the normalised Laplacian of the neighbour graph. Source: von
    Luxburg 2007, a tutorial on spectral clustering, section 8.3.
    """
    n_cells = len(codes)
    if n_cells < 5 or np.all(codes == codes[0]):
        return 1
    graph = connectivities(codes, seed=seed)
    scale = sp.diags(1.0 / np.sqrt(np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)))
    n_values = min(_MAX_CLUSTERS + 1, n_cells - 1)
    # The largest eigenvalues of the similarity are the smallest of the Laplacian.
    start = np.random.default_rng(seed).random(n_cells)
    values = eigsh(scale @ graph @ scale, k=n_values, which="LA", v0=start)[0]
    gaps = -np.diff(np.sort(values)[::-1])
    return int(np.argmax(gaps)) + 1


def label_means(codes: Tensor, labels: Tensor) -> Tensor:
    """Return the mean code of each label 0 … K - 1, (K, n_latent)."""
    members = functional.one_hot(labels).to(codes.dtype)
    return (members.T @ codes) / members.sum(dim=0)[:, None]


def numbered(word: str, count: int) -> list[str]:
    """Return ``word1``, ``word2``, … up to ``count``."""
    return [f"{word}{number}" for number in range(1, count + 1)]


def cluster_names(soft: Tensor) -> np.ndarray:
    """Return the name of the most likely cluster of each cell; ``soft``: (cells, K)."""
    names = np.array(numbered("cluster", soft.shape[1]))
    return names[soft.cpu().numpy().argmax(axis=1)]


def cluster_tables(
    soft: Mapping[str, Tensor], centres: Tensor, cells: pd.Index
) -> dict[str, pd.DataFrame]:
    """Return the tables ``soft`` (cells × clusters) and ``centres`` (clusters × n_latent)."""
    clusters = numbered("cluster", len(centres))
    rows = pd.Index(cells, name="cell")
    tables = {
        name: pd.DataFrame(values.cpu().numpy(), rows, clusters) for name, values in soft.items()
    }
    units = numbered("latent", centres.shape[1])
    index = pd.Index(clusters, name="cluster")
    return tables | {"centres": pd.DataFrame(centres.detach().cpu().numpy(), index, units)}
