"""Sparse neighbour graphs of cells or genes.

A random surfer walks from neighbour to neighbour, and its visits are weighted by pointwise mutual
information (Cao, Lu and Xu 2016, deep neural networks for graph representations). Convolutions use
the normalised adjacency (Kipf and Welling 2017). ``parity=True`` follows the published program:
directed graphs with self-edges, surfed without normalised rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from bench.scoring.clustering import nearest_neighbors

from .approximate_neighbors import nearest

_ROWS = 8192
"""Rows per block."""
_EXACT_SEARCH = 5000
"""Largest number of points with an exact search."""


@dataclass(frozen=True)
class Graph:
    """Target of the adjacency decoder, and operator of the convolutions."""

    target: sp.csr_matrix
    """Weights in [0, 1], n × n, float32."""
    self_loops: bool
    """Convolutions add an edge of each node to itself."""

    @cached_property
    def operator(self) -> sp.csr_matrix:
        """Normalised adjacency Ã, n × n, float32."""
        matrix = sp.csr_matrix(
            normalized(self.target, self_loops=self.self_loops), dtype=np.float32
        )
        matrix.sort_indices()
        return matrix

    @property
    def n_nodes(self) -> int:
        return int(self.target.shape[0])

    def part(self, nodes: np.ndarray) -> Graph:
        """Return the graph of some nodes and the edges between them."""
        target = sp.csr_matrix(self.target[nodes][:, nodes])
        target.sort_indices()
        return Graph(target, self.self_loops)

    def propagate(self, values: np.ndarray) -> np.ndarray:
        """Return Ã values, (n, columns), without Ã in memory."""
        root = _inverse_root(_row_sums(self.target) + self.self_loops).astype(np.float32)[:, None]
        product = self.target @ (root * values)
        if self.self_loops:
            product += root * values
        product *= root
        return product


def edges(target: sp.csr_matrix) -> pd.DataFrame:
    """Return a table of edges: nodes ``first`` < ``second`` from 0, and ``weight``.

    Directed graphs keep the direction of each edge.
    """
    symmetric = abs(target - target.T).max() < 1e-6  # up to rounding
    entries = (sp.triu(target, k=1) if symmetric else target).tocoo()
    return pd.DataFrame({"first": entries.row, "second": entries.col, "weight": entries.data})


def count_components(adjacency: sp.csr_matrix) -> int:
    return int(sp.csgraph.connected_components(adjacency, directed=False)[0])


def principal_components(inputs: np.ndarray, n_components: int, seed: int) -> np.ndarray:
    """Return principal component scores, (n, components), float64.

    At most rows or columns minus one components. With 0 components, or equal rows, the inputs are
    returned.
    """
    k = min(n_components, min(inputs.shape) - 1)
    if k < 1 or np.all(inputs == inputs[0]):
        return np.asarray(inputs, dtype=np.float64)
    model = PCA(k, svd_solver="arpack", random_state=seed)
    return np.asarray(model.fit_transform(np.asarray(inputs, dtype=np.float64)))


def neighbors(
    points: np.ndarray, k: int, *, metric: str, seed: int, parity: bool = False,
    approximate: bool = False,
) -> sp.csr_matrix:  # fmt: skip
    """Return the binary graph of ``k`` nearest neighbours, a node itself included, n × n.

    ``metric`` is ``euclidean``, ``cosine`` or ``correlation``. The graph is symmetric (edges of
    either direction) without self-edges; with ``parity`` it is directed with self-edges.
    ``approximate``: see :mod:`.approximate_neighbors`; the search of small sets stays exact.
    """
    n = len(points)
    rows = _euclidean(points, metric)
    others = min(k, n) - 1
    if others < 1:
        directed = sp.csr_matrix((n, n))
    else:
        if approximate and n > _EXACT_SEARCH:
            indices = nearest(rows, rows, others + 1, seed=seed)
        else:
            indices, _ = nearest_neighbors(rows, others, seed=seed)
        directed = _edges(np.arange(n), indices, n)
    if parity:
        return sp.csr_matrix(directed + sp.identity(n))
    return sp.csr_matrix(directed.maximum(directed.T))


def balanced_neighbors(
    points: np.ndarray, k: int, batch: np.ndarray, *, metric: str, seed: int = 0,
    approximate: bool = False,
) -> sp.csr_matrix:  # fmt: skip
    """Return the symmetric graph of each node's nearest neighbours in every batch, n × n.

    About ``k`` - 1 neighbours in equal parts from all batches, at least one from each (Polański et
    al. 2020, BBKNN, doi 10.1093/bioinformatics/btz625).
    """
    n = len(points)
    rows = _euclidean(points, metric)
    names = np.unique(batch)
    each = max(1, round((k - 1) / len(names)))
    directed = sp.csr_matrix((n, n))
    for name in names:
        members, outside = np.flatnonzero(batch == name), np.flatnonzero(batch != name)
        # One more, because a node is its own nearest neighbour; _edges drops self-edges.
        most = min(each + 1, len(members))
        if approximate and len(members) > _EXACT_SEARCH:
            own = nearest(rows[members], rows[members], most, seed=seed)
            across = nearest(rows[members], rows[outside], each, seed=seed)
        else:
            search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(rows[members])
            own, across = (
                search.kneighbors(rows[part], return_distance=False) if len(part)
                else np.zeros((0, most), dtype=np.int64)
                for part in (members, outside)
            )  # fmt: skip
        directed = directed + _edges(members, np.where(own < 0, -1, members[own]), n)
        across = across[:, :each]
        directed = directed + _edges(outside, np.where(across < 0, -1, members[across]), n)
    symmetric = sp.csr_matrix(directed.maximum(directed.T))
    symmetric.data[:] = 1.0
    return symmetric


def given_graph(weights: sp.csr_matrix, *, directed: bool) -> sp.csr_matrix:
    """Return the user's graph, in place of :func:`neighbors`, scaled to a largest weight of 1.

    ``directed``: keep directions and add self-edges, as in the published graph; else both
    directions are joined.
    """
    adjacency = sp.csr_matrix(weights, dtype=np.float64)
    adjacency = adjacency - sp.diags(adjacency.diagonal())
    adjacency.eliminate_zeros()
    adjacency = adjacency / max(float(adjacency.max()), 1e-300)
    if directed:
        return sp.csr_matrix(adjacency + sp.identity(adjacency.shape[0]))
    return sp.csr_matrix(adjacency.maximum(adjacency.T))


def _edges(nodes: np.ndarray, neighbors: np.ndarray, n: int) -> sp.csr_matrix:
    """Return edges from ``nodes`` to ``neighbors``, (nodes, k), without self-edges."""
    start, end = np.repeat(nodes, neighbors.shape[1]), neighbors.ravel()
    proper = (start != end) & (end >= 0)
    ones = np.ones(np.count_nonzero(proper), dtype=np.float32)
    return sp.csr_matrix((ones, (start[proper], end[proper])), shape=(n, n))


def _euclidean(points: np.ndarray, metric: str) -> np.ndarray:
    """Return rows whose Euclidean distances have the order of ``metric``."""
    rows = np.array(points, dtype=np.float64)
    if metric == "correlation":
        rows -= rows.mean(axis=1, keepdims=True)
    if metric != "euclidean":
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def surfed(adjacency: sp.csr_matrix, *, hops: int, alpha: float) -> sp.csr_matrix:
    """Return Σ_t P_t with P_t = α P_(t-1) A + (1 - α) I and P_0 = I, for t = 1 … ``hops``."""
    return _walks(sp.identity(adjacency.shape[0], format="csr"), adjacency, hops, alpha)


def _walks(start: sp.csr_matrix, step: sp.csr_matrix, hops: int, alpha: float) -> sp.csr_matrix:
    walk, total = start, sp.csr_matrix(start.shape)
    for _ in range(hops):
        walk = alpha * (walk @ step) + (1 - alpha) * start
        total = total + walk
    return sp.csr_matrix(total)


def mutual_information(walks: sp.csr_matrix) -> sp.csr_matrix:
    """Return max(0, log(ΣM M_ij / (r_i c_j))) with row sums r and column sums c of M."""
    entries = walks.tocoo()
    rows, columns = _row_sums(walks), np.asarray(walks.sum(axis=0)).ravel()
    nonzero = entries.data > 0
    i, j, value = entries.row[nonzero], entries.col[nonzero], entries.data[nonzero]
    weight = np.log(value * rows.sum() / (rows[i] * columns[j]))
    positive = weight > 0
    return sp.csr_matrix((weight[positive], (i[positive], j[positive])), shape=walks.shape)


def row_scaled(weights: sp.csr_matrix) -> sp.csr_matrix:
    """Return each row divided by its largest weight."""
    return sp.csr_matrix(sp.diags(_inverse(_row_max(weights))) @ weights)


def symmetric_information(
    adjacency: sp.csr_matrix, *, hops: int, alpha: float, most: int | None = None,
    dtype: type = np.float32,
) -> sp.csr_matrix:  # fmt: skip
    """Return the symmetric mutual information of the surfed graph, in [0, 1], no self-edges.

    Equals V_ij / √(m_i m_j), where V is the mean of :func:`mutual_information` and its transpose
    without diagonal, and m the row maxima. ``adjacency`` A is symmetric with row sums d, and M is
    :func:`surfed` of D⁻¹ A. Rows are computed in blocks: row and column sums of M need vectors
    only, and M_ji = M_ij d_i / d_j.

    ``most`` bounds memory where nodes lie near very many others. An entry then stays if it is an
    edge of A, or among the ``most`` largest of its row and of its column.
    """
    rows = _InformationRows(adjacency, hops, alpha)
    n, blocks = adjacency.shape[0], []
    limits = None if most is None else rows.limits(most)
    for start in range(0, n, _ROWS):
        block = rows.block(start)
        if limits is not None:
            block = _prune(block, limits, start, adjacency)
        blocks.append(block.astype(dtype))
    information = blocks[0] if len(blocks) == 1 else sp.vstack(blocks, format="csr")
    root = np.sqrt(_inverse(_row_max(information)))
    for start in range(0, n, _ROWS):
        bounds = information.indptr[start : start + _ROWS + 1]
        entries = slice(bounds[0], bounds[-1])
        row_factors = np.repeat(root[start : start + _ROWS], np.diff(bounds))
        information.data[entries] *= row_factors.astype(dtype)
        information.data[entries] *= root[information.indices[entries]].astype(dtype)
    return information


class _InformationRows:
    """Rows of V of :func:`symmetric_information`."""

    def __init__(self, adjacency: sp.csr_matrix, hops: int, alpha: float) -> None:
        self._hops, self._alpha, self._n = hops, alpha, adjacency.shape[0]
        self._degree = _row_sums(adjacency)
        self._step = sp.csr_matrix(sp.diags(_inverse(self._degree)) @ adjacency)
        self._rows = _sums(self._step, hops, alpha)
        self._columns = _sums(sp.csr_matrix(self._step.T), hops, alpha)

    def block(self, start: int) -> sp.csr_matrix:
        """Return up to ``_ROWS`` rows from ``start`` on, float64."""
        size = min(_ROWS, self._n - start)
        identity = sp.eye(size, self._n, k=start, format="csr")
        walks = _walks(identity, self._step, self._hops, self._alpha).tocoo()
        nonzero = (walks.data > 0) & (walks.row + start != walks.col)
        i, j, value = walks.row[nonzero], walks.col[nonzero], walks.data[nonzero]
        value *= self._rows.sum()
        forward = np.log(value / (self._rows[i + start] * self._columns[j]))
        value *= self._degree[i + start] / self._degree[j]
        backward = np.log(value / (self._rows[j] * self._columns[i + start]))
        weight = (np.maximum(forward, 0) + np.maximum(backward, 0)) / 2
        positive = weight > 0
        places = (i[positive], j[positive].astype(np.int32))
        return sp.csr_matrix((weight[positive], places), shape=(size, self._n))

    def limits(self, most: int) -> np.ndarray:
        """Return the ``most``-th largest weight of each row; 0 if it has fewer."""
        limits = np.zeros(self._n)
        for start in range(0, self._n, _ROWS):
            block = self.block(start)
            for row in np.flatnonzero(np.diff(block.indptr) > most):
                weights = block.data[block.indptr[row] : block.indptr[row + 1]]
                limits[start + row] = np.partition(weights, -most)[-most]
        return limits


def _prune(
    block: sp.csr_matrix, limits: np.ndarray, start: int, adjacency: sp.csr_matrix
) -> sp.csr_matrix:
    """Return the entries above the limits of row and column, and those of edges."""
    size = block.shape[0]
    row_limits = np.repeat(limits[start : start + size], np.diff(block.indptr))
    # M_ij and M_ji give the same weight up to rounding.
    low = block.data < np.maximum(row_limits, limits[block.indices]) * (1 - 1e-9)
    edges_only = block.multiply(adjacency[start : start + size] != 0)
    block.data[low] = 0.0
    block.eliminate_zeros()
    return sp.csr_matrix(block.maximum(edges_only))


def _sums(step: sp.csr_matrix, hops: int, alpha: float) -> np.ndarray:
    """Return the row sums of M for steps S, and its column sums for Sᵀ."""
    walk, total = np.ones(step.shape[0]), np.zeros(step.shape[0])
    for _ in range(hops):
        walk = alpha * (step @ walk) + (1 - alpha)
        total += walk
    return total


def normalized(adjacency: sp.csr_matrix, *, self_loops: bool) -> sp.csr_matrix:
    """Return D^(-1/2) (A + I) D^(-1/2), or without I; D holds the row sums.

    Source: Kipf and Welling 2017, eq. 2.
    """
    whole = adjacency + sp.identity(adjacency.shape[0]) if self_loops else adjacency
    root = sp.diags(_inverse_root(_row_sums(whole)))
    return sp.csr_matrix(root @ whole @ root)


def surfing_graph(
    adjacency: sp.csr_matrix, *, hops: int, alpha: float, parity: bool = False,
    most: int | None = None,
) -> Graph:  # fmt: skip
    """Return the graph of scMGCA, surfed and weighted by mutual information.

    ``most``: see :func:`symmetric_information`.
    """
    if not parity:
        information = symmetric_information(adjacency, hops=hops, alpha=alpha, most=most)
        return _graph(information, self_loops=True)
    weights = mutual_information(surfed(adjacency, hops=hops, alpha=alpha))
    return _graph(row_scaled(weights), self_loops=True)


def plain_graph(adjacency: sp.csr_matrix) -> Graph:
    """Return the graph of scTAG, the neighbours themselves."""
    return _graph(adjacency, self_loops=False)


def _graph(target: sp.csr_matrix, *, self_loops: bool) -> Graph:
    target = sp.csr_matrix(target, dtype=np.float32)
    target.sort_indices()
    return Graph(target, self_loops)


def _row_sums(matrix: sp.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


def _row_max(matrix: sp.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.max(axis=1).toarray()).ravel()


def _inverse(values: np.ndarray) -> np.ndarray:
    """Return 1 / values, and 0 for 0."""
    return np.divide(1.0, values, out=np.zeros_like(values, dtype=np.float64), where=values != 0)


def _inverse_root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(_inverse(values))
