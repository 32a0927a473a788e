"""Neighbour graphs and what networks are trained on: sparse throughout.

A graph of n nodes passes three steps: neighbours, random surfing with positive pointwise mutual
information (Cao, Lu and Xu 2016, deep neural networks for graph representations), and the
operator of a graph convolution (Kipf and Welling 2017). ``parity=True`` follows the published
program; its graphs are directed, keep self-edges and surf without normalising rows.
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
"""Rows of a surfed graph that are made at a time."""
_FEW = 5000
"""Among up to so many points neighbours are always sought exactly."""


@dataclass(frozen=True)
class Graph:
    """What the adjacency decoder explains, and what a convolution multiplies by."""

    target: sp.csr_matrix
    """Weights in [0, 1], n × n, float32."""
    self_loops: bool
    """Whether the convolution adds an edge of each node to itself."""

    @cached_property
    def operator(self) -> sp.csr_matrix:
        """Normalised adjacency Ã, n × n, float32."""
        found = sp.csr_matrix(
            normalized(self.target, self_loops=self.self_loops), dtype=np.float32
        )
        found.sort_indices()
        return found

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.target.shape[0])

    def part(self, nodes: np.ndarray) -> Graph:
        """Return the graph of some nodes: the edges between them, its Ã normalised anew."""
        target = sp.csr_matrix(self.target[nodes][:, nodes])
        target.sort_indices()
        return Graph(target, self.self_loops)

    def propagate(self, values: np.ndarray) -> np.ndarray:
        """Return Ã values, (n, columns), without holding Ã."""
        root = _inverse_root(_row_sums(self.target) + self.self_loops).astype(np.float32)[:, None]
        product = self.target @ (root * values)
        if self.self_loops:
            product += root * values
        product *= root
        return product


def edges(target: sp.csr_matrix) -> pd.DataFrame:
    """Return one row an edge: the numbers (0 …) of both nodes, ``first`` < ``second``, ``weight``.

    Of a directed graph every edge, in its direction.
    """
    symmetric = abs(target - target.T).max() < 1e-6  # but for rounding
    found = (sp.triu(target, k=1) if symmetric else target).tocoo()
    return pd.DataFrame({"first": found.row, "second": found.col, "weight": found.data})


def count_parts(adjacency: sp.csr_matrix) -> int:
    """Return the number of parts that no edge connects."""
    return int(sp.csgraph.connected_components(adjacency, directed=False)[0])


def principal_components(inputs: np.ndarray, n_components: int, seed: int) -> np.ndarray:
    """Return principal component scores, (n, components), float64; 0 components: the inputs.

    At most as many components as rows or columns, minus one. Equal rows are returned as they are.
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
    """Return the binary neighbour graph, n × n, each node counted among its ``k`` neighbours.

    ``metric``: ``euclidean``, ``cosine`` or ``correlation``; the latter two are Euclidean between
    rows of unit length, centred before for ``correlation``. The default joins both directions
    and has no self-edges; ``parity`` is directed with self-edges, k entries a row. Fewer nodes
    than ``k``: all are neighbours. ``approximate``: see :mod:`.search`; small
    sets are searched exactly all the same.
    """
    n = len(points)
    rows = _euclidean(points, metric)
    others = min(k, n) - 1
    if others < 1:
        directed = sp.csr_matrix((n, n))
    else:
        if approximate and n > _FEW:
            found = nearest(rows, rows, others + 1, seed=seed)
        else:
            found, _ = nearest_neighbors(rows, others, seed=seed)
        directed = _edges(np.arange(n), found, n)
    if parity:
        return sp.csr_matrix(directed + sp.identity(n))
    return sp.csr_matrix(directed.maximum(directed.T))


def balanced_neighbors(
    points: np.ndarray, k: int, batch: np.ndarray, *, metric: str, seed: int = 0,
    approximate: bool = False,
) -> sp.csr_matrix:  # fmt: skip
    """Return the symmetric binary graph of each node's nearest neighbours in every batch, n × n.

    About ``k`` - 1 neighbours in all, as many in each batch, at least one (Polański et al. 2020,
    BBKNN, doi 10.1093/bioinformatics/btz625). ``batch``: (n,).
    """
    n = len(points)
    rows = _euclidean(points, metric)
    names = np.unique(batch)
    each = max(1, round((k - 1) / len(names)))
    directed = sp.csr_matrix((n, n))
    for name in names:
        members, outside = np.flatnonzero(batch == name), np.flatnonzero(batch != name)
        # One more, because a node is its own nearest neighbour; self-edges go below.
        most = min(each + 1, len(members))
        if approximate and len(members) > _FEW:
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
    both = sp.csr_matrix(directed.maximum(directed.T))
    both.data[:] = 1.0
    return both


def _edges(nodes: np.ndarray, found: np.ndarray, n: int) -> sp.csr_matrix:
    """Return edges from ``nodes`` to what was ``found`` for each, (nodes, k); no self-edges."""
    start, end = np.repeat(nodes, found.shape[1]), found.ravel()
    proper = (start != end) & (end >= 0)
    ones = np.ones(np.count_nonzero(proper), dtype=np.float32)
    return sp.csr_matrix((ones, (start[proper], end[proper])), shape=(n, n))


def _euclidean(points: np.ndarray, metric: str) -> np.ndarray:
    """Return rows whose Euclidean distances order pairs as ``metric`` does."""
    rows = np.array(points, dtype=np.float64)
    if metric == "correlation":
        rows -= rows.mean(axis=1, keepdims=True)
    if metric != "euclidean":
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def surfed(adjacency: sp.csr_matrix, *, hops: int, alpha: float) -> sp.csr_matrix:
    """Return Σ_t P_t with P_t = α P_(t-1) A + (1 - α) I and P_0 = I, for t = 1 … ``hops``."""
    one = sp.identity(adjacency.shape[0], format="csr")
    return _walks(one, adjacency, hops, alpha)


def _walks(start: sp.csr_matrix, step: sp.csr_matrix, hops: int, alpha: float) -> sp.csr_matrix:
    walk, total = start, sp.csr_matrix(start.shape)
    for _ in range(hops):
        walk = alpha * (walk @ step) + (1 - alpha) * start
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


def row_scaled(weights: sp.csr_matrix) -> sp.csr_matrix:
    """Return each row divided by its largest weight; rows without weight stay empty."""
    return sp.csr_matrix(sp.diags(_inverse(_row_max(weights))) @ weights)


def symmetric_information(
    adjacency: sp.csr_matrix, *, hops: int, alpha: float, most: int | None = None,
    dtype: type = np.float32,
) -> sp.csr_matrix:  # fmt: skip
    """Return the surfed graph's mutual information, symmetric, within [0, 1], no self-edges.

    ``adjacency`` A is symmetric and becomes a probability of steps S = D⁻¹ A. With M of
    :func:`surfed` and W of :func:`mutual_information` this is V_ij / √(m_i m_j), V = (W + Wᵀ) / 2
    without its diagonal, m the largest weight of a row. Without a second matrix of its size: the
    sums of M need vectors only, because M is a polynomial in S, and M_ji = M_ij d_i / d_j, because
    A is symmetric, so that rows are made block by block.

    Exact if ``most`` is ``None``. Else an entry stays if it is among the ``most`` largest of both
    its row and its column (equals of the last included), or an edge of A: nodes that are near to
    very many others would fill the matrix. Rows are then made twice.
    """
    rows = _InformationRows(adjacency, hops, alpha)
    n, parts = adjacency.shape[0], []
    limits = None if most is None else rows.limits(most)
    for start in range(0, n, _ROWS):
        part = rows.block(start)
        if limits is not None:
            part = _pruned(part, limits, start, adjacency)
        parts.append(part.astype(dtype))
    found = parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")
    root = np.sqrt(_inverse(_row_max(found)))
    for start in range(0, n, _ROWS):
        ends = found.indptr[start : start + _ROWS + 1]
        here = slice(ends[0], ends[-1])
        found.data[here] *= np.repeat(root[start : start + _ROWS], np.diff(ends)).astype(dtype)
        found.data[here] *= root[found.indices[here]].astype(dtype)
    return found


class _InformationRows:
    """Makes the rows of V of :func:`symmetric_information`."""

    def __init__(self, adjacency: sp.csr_matrix, hops: int, alpha: float) -> None:
        self._hops, self._alpha, self._n = hops, alpha, adjacency.shape[0]
        self._degree = _row_sums(adjacency)
        self._step = sp.csr_matrix(sp.diags(_inverse(self._degree)) @ adjacency)
        self._rows = _sums(self._step, hops, alpha)
        self._columns = _sums(sp.csr_matrix(self._step.T), hops, alpha)

    def block(self, start: int) -> sp.csr_matrix:
        """Return up to ``_ROWS`` rows from ``start`` on, float64."""
        size = min(_ROWS, self._n - start)
        chosen = sp.eye(size, self._n, k=start, format="csr")
        found = _walks(chosen, self._step, self._hops, self._alpha).tocoo()
        proper = (found.data > 0) & (found.row + start != found.col)
        i, j, value = found.row[proper], found.col[proper], found.data[proper]
        value *= self._rows.sum()
        ahead = np.log(value / (self._rows[i + start] * self._columns[j]))
        value *= self._degree[i + start] / self._degree[j]
        back = np.log(value / (self._rows[j] * self._columns[i + start]))
        weight = (np.maximum(ahead, 0) + np.maximum(back, 0)) / 2
        kept = weight > 0
        places = (i[kept], j[kept].astype(np.int32))
        return sp.csr_matrix((weight[kept], places), shape=(size, self._n))

    def limits(self, most: int) -> np.ndarray:
        """Return the ``most``-th largest weight of each row, 0 if it has fewer, (n,)."""
        found = np.zeros(self._n)
        for start in range(0, self._n, _ROWS):
            part = self.block(start)
            for row in np.flatnonzero(np.diff(part.indptr) > most):
                weights = part.data[part.indptr[row] : part.indptr[row + 1]]
                found[start + row] = np.partition(weights, -most)[-most]
        return found


def _pruned(
    part: sp.csr_matrix, limits: np.ndarray, start: int, adjacency: sp.csr_matrix
) -> sp.csr_matrix:
    """Return the entries that reach both limits, and those of edges."""
    size = part.shape[0]
    own = np.repeat(limits[start : start + size], np.diff(part.indptr))
    # Both ends find the same weight but for rounding.
    low = part.data < np.maximum(own, limits[part.indices]) * (1 - 1e-9)
    edges_only = part.multiply(adjacency[start : start + size] != 0)
    part.data[low] = 0.0
    part.eliminate_zeros()
    return sp.csr_matrix(part.maximum(edges_only))


def _sums(step: sp.csr_matrix, hops: int, alpha: float) -> np.ndarray:
    """Return the row sums of M for steps S, its column sums for Sᵀ."""
    walk, total = np.ones(step.shape[0]), np.zeros(step.shape[0])
    for _ in range(hops):
        walk = alpha * (step @ walk) + (1 - alpha)
        total += walk
    return total


def normalized(adjacency: sp.csr_matrix, *, self_loops: bool) -> sp.csr_matrix:
    """Return D^(-1/2) (A + I) D^(-1/2), or without I; D holds the row sums.

    Source: Kipf and Welling 2017, eq. 2. A node without edges keeps an empty row.
    """
    whole = adjacency + sp.identity(adjacency.shape[0]) if self_loops else adjacency
    root = sp.diags(_inverse_root(_row_sums(whole)))
    return sp.csr_matrix(root @ whole @ root)


def surfing_graph(
    adjacency: sp.csr_matrix, *, hops: int, alpha: float, parity: bool = False,
    most: int | None = None,
) -> Graph:  # fmt: skip
    """Return the graph of scMGCA: surfed, weighed by mutual information, with self-loops in Ã.

    ``most``: see :func:`symmetric_information`.
    """
    if not parity:
        found = symmetric_information(adjacency, hops=hops, alpha=alpha, most=most)
        return _graph(found, self_loops=True)
    weights = mutual_information(surfed(adjacency, hops=hops, alpha=alpha))
    return _graph(row_scaled(weights), self_loops=True)


def plain_graph(adjacency: sp.csr_matrix) -> Graph:
    """Return the graph of scTAG: the neighbours themselves, no loops added to Ã."""
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
    """Return 1 / values, and 0 where a value is 0."""
    return np.divide(1.0, values, out=np.zeros_like(values, dtype=np.float64), where=values != 0)


def _inverse_root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(_inverse(values))
