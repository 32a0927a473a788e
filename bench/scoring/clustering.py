"""Clusterings and neighbours of embeddings, computed in the same way for all methods.

No dimension of an embedding is scaled or dropped, because its scale is part of the result of a
method. All points are shifted and multiplied by one number to keep sums finite, which changes no
clustering. ``kmeans`` gets the number of true types ("k from truth").
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Iterator, Sequence

import igraph
import numpy as np
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors

N_NEIGHBORS = 15
RESOLUTION = 1.0
EXACT_CELLS = 50_000
"""Most cells whose neighbours are sought exactly, a search that takes n² steps."""
SAMPLED_CELLS = 10_000
"""Cells of a larger dataset whose neighbourhoods a metric sees."""
_last_graph: dict[tuple[int, str], sp.csr_matrix] = {}
"""The last neighbour graph of many cells, by number of neighbours and digest of the points."""
_CANDIDATES = 2
"""Neighbours that an approximate search keeps for each that is asked for."""


def kmeans(embedding: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Return k-means labels 0 … k - 1, shape (n_cells,): the best of 10 k-means++ starts.

    Arthur and Vassilvitskii 2007; Lloyd's iterations in float32. There are fewer than ``k``
    clusters if the embedding has fewer distinct points.
    """
    points = centered_points(embedding).astype(np.float32)
    k = max(1, min(k, len(points)))
    if k == 1 or np.all(points == points[0]):
        return np.zeros(len(points), dtype=np.int64)
    with warnings.catch_warnings():
        # "Number of distinct clusters smaller than n_clusters": documented above.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = KMeans(n_clusters=k, n_init=10, random_state=seed).fit_predict(points)
    return labels.astype(np.int64)


def leiden(
    embedding: np.ndarray,
    seed: int,
    n_neighbors: int = N_NEIGHBORS,
    resolution: float = RESOLUTION,
) -> np.ndarray:
    """Return Leiden labels, shape (n_cells,), numbered from the largest community down.

    Traag et al. 2019 (doi:10.1038/s41598-019-41695-z): modularity at ``resolution``, 2 iterations,
    on the graph of :func:`connectivities`, as in scanpy. The implementation is igraph's with a
    seed; it takes a tenth of leidenalg's time for the same scores.
    """
    return next(leiden_grid(embedding, seed, (resolution,), n_neighbors))[1]


def leiden_grid(
    embedding: np.ndarray,
    seed: int,
    resolutions: Sequence[float],
    n_neighbors: int = N_NEIGHBORS,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield each resolution with its Leiden labels (see :func:`leiden`), all on one graph."""
    n_cells = len(embedding)
    if n_cells < 3 or np.all(embedding == embedding[0]):
        # Equal points have no neighbourhoods: any split would be random.
        yield from ((resolution, np.zeros(n_cells, dtype=np.int64)) for resolution in resolutions)
        return
    upper = sp.triu(connectivities(embedding, n_neighbors, seed=seed), k=1).tocoo()
    graph = igraph.Graph(n=n_cells, edges=np.column_stack((upper.row, upper.col)))
    for resolution in resolutions:
        yield resolution, _leiden_communities(graph, upper.data, resolution, seed)


def graph_communities(
    graph: sp.csr_matrix, resolution: float, seed: int, *, n_iterations: int = 2
) -> np.ndarray:
    """Return the Leiden communities of a symmetric graph, numbered from the largest down."""
    upper = sp.triu(graph, k=1).tocoo()
    edges = np.column_stack((upper.row, upper.col))
    whole = igraph.Graph(n=graph.shape[0], edges=edges)
    return _leiden_communities(whole, upper.data, resolution, seed, n_iterations)


def _leiden_communities(
    graph: igraph.Graph,
    weights: np.ndarray,
    resolution: float,
    seed: int,
    n_iterations: int = 2,
) -> np.ndarray:
    """Return the communities of a graph, numbered from the largest down, shape (n_cells,)."""
    igraph.set_random_number_generator(random.Random(seed))
    try:
        communities = graph.community_leiden(
            objective_function="modularity", weights=weights, resolution=resolution,
            n_iterations=n_iterations,
        )  # fmt: skip
    finally:
        igraph.set_random_number_generator(random)  # igraph's default; it has no getter
    labels = np.asarray(communities.membership, dtype=np.int64)
    rank = np.argsort(np.argsort(-np.bincount(labels), kind="stable"), kind="stable")
    return rank[labels]


def connectivities(
    embedding: np.ndarray, n_neighbors: int = N_NEIGHBORS, *, seed: int = 0
) -> sp.csr_matrix:
    """Return UMAP's fuzzy neighbour graph, cells × cells, symmetric, weights in (0, 1].

    McInnes et al. 2018 (arXiv:1802.03426), algorithms 2 and 3: the weight of neighbour j of cell i
    is exp(-max(0, d_ij - rho_i) / sigma_i), rho_i the smallest distance above zero and sigma_i
    such that the weights sum to log2(n_neighbors); the two directions are joined as a + b - ab.
    As in umap-learn and scanpy ``n_neighbors`` counts the cell itself. Equal to
    ``scanpy.pp.neighbors`` to 2e-6, without its 15 s of compilation. Unweighted and Jaccard edges
    give other clusterings on some datasets (ARI .94 instead of .71 on five cell lines, .46 instead
    of .51 on forebrain); none is better throughout, and these weights are the usual ones.

    Above ``EXACT_CELLS`` cells the seed is 0 and the last graph is kept: the search takes minutes,
    and several scores ask for the same graph.
    """
    n_cells = len(embedding)
    if n_cells <= EXACT_CELLS:
        return _fuzzy_graph(embedding, n_neighbors, seed)
    digest = hashlib.blake2b(np.ascontiguousarray(embedding).data).hexdigest()
    key = (n_neighbors, f"{embedding.shape} {embedding.dtype} {digest}")
    if key not in _last_graph:
        _last_graph.clear()
        _last_graph[key] = _fuzzy_graph(embedding, n_neighbors, 0)
    return _last_graph[key]


def _fuzzy_graph(embedding: np.ndarray, n_neighbors: int, seed: int) -> sp.csr_matrix:
    """Return the graph of :func:`connectivities`."""
    n_cells = len(embedding)
    k = min(n_neighbors, n_cells) - 1
    indices, distances = nearest_neighbors(embedding, k, seed=seed)
    weights = _fuzzy_weights(distances, np.log2(k + 1))
    rows = np.repeat(np.arange(n_cells), k)
    one_way = sp.csr_matrix((weights.ravel(), (rows, indices.ravel())), shape=(n_cells, n_cells))
    graph = sp.csr_matrix(one_way + one_way.T - one_way.multiply(one_way.T))
    graph.eliminate_zeros()
    return graph


def _fuzzy_weights(distances: np.ndarray, target: float) -> np.ndarray:
    """Return the weights of the neighbours, same shape as ``distances`` (cells × k)."""
    nearest = np.where(distances > 0, distances, np.inf).min(axis=1)
    beyond = np.maximum(distances - np.where(np.isfinite(nearest), nearest, 0.0)[:, None], 0.0)
    low, high = np.zeros(len(distances)), np.full(len(distances), np.inf)
    sigma = np.ones(len(distances))
    for _ in range(64):  # bisection, all cells at once, as in umap-learn
        too_wide = np.exp(-beyond / sigma[:, None]).sum(axis=1) > target
        high = np.where(too_wide, sigma, high)
        low = np.where(too_wide, low, sigma)
        sigma = np.where(
            np.isinf(high), np.minimum(2.0 * sigma, 1e30), (low + np.minimum(high, 1e30)) / 2.0
        )
    # umap-learn's floor (MIN_K_DIST_SCALE); the second keeps 0 / 0 away for equal points.
    sigma = np.maximum(np.maximum(sigma, 1e-3 * distances.mean(axis=1)), 1e-30)
    return np.exp(-beyond / sigma[:, None])


def nearest_neighbors(
    embedding: np.ndarray,
    k: int,
    *,
    seed: int,
    reference: np.ndarray | None = None,
    cells: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and Euclidean distances of the ``k`` nearest other cells, cells × k.

    With a mask ``reference``, rows are the cells outside of it and neighbours the cells in it.
    With ``cells``, indices of some cells, rows are these and neighbours are sought among all.
    Nearest first. Distances are in units of the largest coordinate after centring. Ties are broken
    at random by ``seed``: the order of a file is often that of its types, which would favour
    neighbours of the same type.

    Exact (brute force) up to ``EXACT_CELLS`` cells, and for ``cells``. Above, all neighbours are
    sought by nearest neighbour descent (Dong et al. 2011, doi:10.1145/1963405.1963487), which
    misses about 1 % of them.
    """
    points = centered_points(embedding)
    order = np.random.default_rng(seed).permutation(len(points))
    if reference is not None:
        order = order[reference[order]]
    if cells is None and len(points) > EXACT_CELLS:
        queries = None if reference is None else points[~reference]
        indices, distances = _approximate_neighbors(points[order], k, seed, queries)
    else:
        model = NearestNeighbors(n_neighbors=k + (cells is not None), algorithm="brute")
        model.fit(points[order])
        if cells is not None:
            queries = points[cells]
        else:
            queries = None if reference is None else points[~reference]
        distances, indices = model.kneighbors(queries)
    # |x|² + |y|² - 2 x·y leaves up to this much between equal points.
    distances[distances < 1e-7] = 0.0
    if cells is not None:
        return _without_self(order[indices], distances, cells)
    if reference is not None:
        return order[indices], distances
    inverse = np.argsort(order)
    return order[indices[inverse]], distances[inverse]


def sampled_neighbors(
    embedding: np.ndarray, k: int, *, seed: int, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cells, and indices and distances of their exact ``k`` nearest others, cells × k.

    All cells up to ``EXACT_CELLS``, else ``SAMPLED_CELLS`` of them, drawn by ``seed``; with
    ``labels`` (0, 1, …) about equally many of each, all of a small one. Neighbours are sought
    among all cells.
    """
    n_cells = len(embedding)
    if n_cells <= EXACT_CELLS:
        return np.arange(n_cells), *nearest_neighbors(embedding, k, seed=seed)
    rng = np.random.default_rng(seed)
    if labels is None:
        cells = rng.permutation(n_cells)[:SAMPLED_CELLS]
    else:
        most = -(-SAMPLED_CELLS // (int(labels.max()) + 1))
        groups = (np.flatnonzero(labels == number) for number in range(int(labels.max()) + 1))
        cells = np.concatenate([rng.permutation(group)[:most] for group in groups])
    cells = np.sort(cells)
    return cells, *nearest_neighbors(embedding, k, seed=seed, cells=cells)


def sample_facts(cells: np.ndarray, n_cells: int) -> dict[str, str | float]:
    """Return the fact ``cells``, the size of the sample, if these are not all cells."""
    return {"cells": float(len(cells))} if len(cells) < n_cells else {}


def neighbor_facts(n_cells: int) -> dict[str, str | float]:
    """Return the fact ``neighbours`` if all neighbours of so many cells are approximate."""
    return {"neighbours": "approximate"} if n_cells > EXACT_CELLS else {}


def _approximate_neighbors(
    points: np.ndarray, k: int, seed: int, queries: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and distances of about the ``k`` nearest points of each query.

    Without queries, of each point among the others.
    """
    from pynndescent import NNDescent  # compiles for seconds

    index = NNDescent(
        points.astype(np.float32), n_neighbors=_CANDIDATES * (k + 1), random_state=seed % 2**32
    )
    if queries is None:
        own = np.arange(len(points))
        near, far = index.neighbor_graph
        indices, distances = _without_self(near, far, own)
    else:
        own = np.full(len(queries), -1)
        indices, distances = index.query(queries.astype(np.float32), _CANDIDATES * (k + 1))
    indices, distances = indices[:, :k].astype(np.int64), distances[:, :k].astype(np.float64)
    short = np.flatnonzero((indices < 0).any(axis=1) | ~np.isfinite(distances).all(axis=1))
    if len(short):  # the search can end in a part of the graph that is too small
        rows = (points if queries is None else queries)[short]
        model = NearestNeighbors(n_neighbors=k + (queries is None), algorithm="brute").fit(points)
        far, near = model.kneighbors(rows)
        indices[short], distances[short] = (
            (near, far) if queries is not None else _without_self(near, far, own[short])
        )
    return indices, distances


def _without_self(
    indices: np.ndarray, distances: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return neighbours without the cell itself: one column less, in the same order.

    The last neighbour of a row goes if the cell is not among its neighbours.
    """
    order = np.argsort(indices == cells[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)


def centered_points(embedding: np.ndarray) -> np.ndarray:
    """Shift points to mean 0 and scale the largest absolute coordinate to 1 (float64)."""
    points = np.array(embedding, dtype=np.float64)
    points /= np.abs(points).max() or 1.0  # first, so that the mean cannot overflow
    points -= points.mean(axis=0)
    points /= np.abs(points).max() or 1.0
    return points
