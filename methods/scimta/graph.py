"""Neighbour graphs and what networks are trained on: exact, and sparse throughout.

A graph of n nodes passes three steps: neighbours, random surfing with positive pointwise mutual
information (Cao, Lu and Xu 2016, deep neural networks for graph representations), and the
operator of a graph convolution (Kipf and Welling 2017). ``parity=True`` follows the published
program; its graphs are directed, keep self-edges and surf without normalising rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from bench.cluster import nearest_neighbors


@dataclass(frozen=True)
class Graph:
    """What the adjacency decoder explains, and what a convolution multiplies by."""

    target: sp.csr_matrix
    """Weights in [0, 1], n × n, float32."""
    operator: sp.csr_matrix
    """Normalised adjacency Ã, n × n, float32."""

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.target.shape[0])

    def n_components(self) -> int:
        """Return the number of parts that no edge connects."""
        return int(sp.csgraph.connected_components(self.operator, directed=False)[0])


def principal_components(inputs: np.ndarray, n_components: int, seed: int) -> np.ndarray:
    """Return principal component scores, (n, components), float64; 0 components: the inputs.

    At most as many components as rows or columns, minus one. Equal rows are returned as they are.
    """
    from sklearn.decomposition import PCA

    k = min(n_components, min(inputs.shape) - 1)
    if k < 1 or np.all(inputs == inputs[0]):
        return np.asarray(inputs, dtype=np.float64)
    model = PCA(k, svd_solver="arpack", random_state=seed)
    return np.asarray(model.fit_transform(np.asarray(inputs, dtype=np.float64)))


def neighbors(
    points: np.ndarray, k: int, *, metric: str, seed: int, parity: bool = False
) -> sp.csr_matrix:
    """Return the binary neighbour graph, n × n, each node counted among its ``k`` neighbours.

    ``metric``: ``euclidean``, ``cosine`` or ``correlation``; the latter two are Euclidean between
    rows of unit length, centred before for ``correlation``. The default joins both directions
    and has no self-edges; ``parity`` is directed with self-edges, k entries a row. Fewer nodes
    than ``k``: all are neighbours.
    """
    n = len(points)
    rows = _euclidean(points, metric)
    others = min(k, n) - 1
    if others < 1:
        directed = sp.csr_matrix((n, n))
    else:
        found, _ = nearest_neighbors(rows, others, seed=seed)
        places = (np.repeat(np.arange(n), others), found.ravel())
        directed = sp.csr_matrix((np.ones(found.size), places), shape=(n, n))
    if parity:
        return sp.csr_matrix(directed + sp.identity(n))
    return sp.csr_matrix(directed.maximum(directed.T))


def balanced_neighbors(
    points: np.ndarray, k: int, batch: np.ndarray, *, metric: str
) -> sp.csr_matrix:
    """Return the symmetric binary graph of each node's nearest neighbours in every batch, n × n.

    About ``k`` - 1 neighbours in all, as many in each batch, at least one (Polański et al. 2020,
    BBKNN, doi 10.1093/bioinformatics/btz625). ``batch``: (n,).
    """
    from sklearn.neighbors import NearestNeighbors

    n = len(points)
    rows = _euclidean(points, metric)
    names = np.unique(batch)
    each = max(1, round((k - 1) / len(names)))
    places = []
    for name in names:
        members = np.flatnonzero(batch == name)
        # One more, because a node is its own nearest neighbour; self-edges go below.
        search = NearestNeighbors(n_neighbors=min(each + 1, len(members)), algorithm="brute")
        found = members[search.fit(rows[members]).kneighbors(rows, return_distance=False)]
        own = batch == name
        places += [(node, other) for node in np.flatnonzero(own) for other in found[node]]
        outside = np.flatnonzero(~own)
        places += [(node, other) for node in outside for other in found[node, :each]]
    i, j = np.array(places).T
    directed = sp.csr_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
    both = sp.csr_matrix(directed.maximum(directed.T))
    both.setdiag(0)
    both.eliminate_zeros()
    return both


def _euclidean(points: np.ndarray, metric: str) -> np.ndarray:
    """Return rows whose Euclidean distances order pairs as ``metric`` does."""
    rows = np.array(points, dtype=np.float64)
    if metric == "correlation":
        rows -= rows.mean(axis=1, keepdims=True)
    if metric != "euclidean":
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def surfed(adjacency: sp.csr_matrix, *, hops: int, alpha: float, parity: bool) -> sp.csr_matrix:
    """Return Σ_t P_t with P_t = α P_(t-1) A + (1 - α) I and P_0 = I, for t = 1 … ``hops``.

    A is row-normalised (a probability of steps) unless ``parity``.
    """
    n = adjacency.shape[0]
    one = sp.identity(n, format="csr")
    step = adjacency if parity else sp.diags(_inverse(_row_sums(adjacency))) @ adjacency
    walk, total = one, sp.csr_matrix((n, n))
    for _ in range(hops):
        walk = alpha * (walk @ step) + (1 - alpha) * one
        total = total + walk
    return sp.csr_matrix(total)


def mutual_information(walks: sp.csr_matrix) -> sp.csr_matrix:
    """Return W_ij = max(0, log(ΣM M_ij / (r_i c_j))), r and c the row and column sums of M.

    Zero where M is zero; only the entries of M are touched.
    """
    found = walks.tocoo()
    rows, columns = _row_sums(walks), np.asarray(walks.sum(axis=0)).ravel()
    present = found.data > 0
    i, j, value = found.row[present], found.col[present], found.data[present]
    weight = np.log(value * rows.sum() / (rows[i] * columns[j]))
    kept = weight > 0
    return sp.csr_matrix((weight[kept], (i[kept], j[kept])), shape=walks.shape)


def scaled(weights: sp.csr_matrix, *, parity: bool) -> sp.csr_matrix:
    """Return the weights scaled into [0, 1]; rows without weight stay empty.

    Default: made symmetric, no self-edges, W_ij / √(m_i m_j) with m the largest weight of a row,
    which keeps the symmetry. ``parity``: each row by its largest weight.
    """
    if parity:
        return sp.csr_matrix(sp.diags(_inverse(_row_max(weights))) @ weights)
    both = sp.csr_matrix((weights + weights.T) / 2)
    both.setdiag(0)
    both.eliminate_zeros()
    root = sp.diags(np.sqrt(_inverse(_row_max(both))))
    return sp.csr_matrix(root @ both @ root)


def normalized(adjacency: sp.csr_matrix, *, self_loops: bool) -> sp.csr_matrix:
    """Return D^(-1/2) (A + I) D^(-1/2), or without I; D holds the row sums.

    Source: Kipf and Welling 2017, eq. 2. A node without edges keeps an empty row.
    """
    whole = adjacency + sp.identity(adjacency.shape[0]) if self_loops else adjacency
    root = sp.diags(np.sqrt(_inverse(_row_sums(whole))))
    return sp.csr_matrix(root @ whole @ root)


def surfing_graph(
    adjacency: sp.csr_matrix, *, hops: int, alpha: float, parity: bool = False
) -> Graph:
    """Return the graph of scMGCA: surfed, weighed by mutual information, with self-loops in Ã."""
    weights = mutual_information(surfed(adjacency, hops=hops, alpha=alpha, parity=parity))
    target = scaled(weights, parity=parity)
    return _graph(target, normalized(target, self_loops=True))


def plain_graph(adjacency: sp.csr_matrix) -> Graph:
    """Return the graph of scTAG: the neighbours themselves, no loops added to Ã."""
    return _graph(adjacency, normalized(adjacency, self_loops=False))


def _graph(target: sp.csr_matrix, operator: sp.csr_matrix) -> Graph:
    parts = [sp.csr_matrix(part, dtype=np.float32) for part in (target, operator)]
    for part in parts:
        part.sort_indices()
    return Graph(*parts)


def _row_sums(matrix: sp.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _row_max(matrix: sp.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.max(axis=1).toarray()).ravel()


def _inverse(values: np.ndarray) -> np.ndarray:
    """Return 1 / values, and 0 where a value is 0."""
    return np.divide(1.0, values, out=np.zeros_like(values, dtype=np.float64), where=values != 0)
