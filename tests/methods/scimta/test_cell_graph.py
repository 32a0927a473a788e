"""Graphs of scIMTA: the sparse construction against a dense one written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from bench.methods.scimta import cell_graph as graph


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Return 90 points of three groups in 12 dimensions."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(90, 12)) + 3.0 * np.eye(12)[np.arange(90) % 3]


def dense_neighbors(points: np.ndarray, k: int, *, parity: bool) -> np.ndarray:
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    nearest = np.argsort(distances, axis=1)[:, :k]
    adjacency = np.zeros(distances.shape)
    np.put_along_axis(adjacency, nearest, 1.0, axis=1)
    if parity:
        return adjacency
    np.fill_diagonal(adjacency, 0.0)
    return np.maximum(adjacency, adjacency.T)


def dense_target(a: np.ndarray, hops: int, alpha: float, *, parity: bool) -> np.ndarray:
    n = len(a)
    step = a if parity else a / a.sum(axis=1, keepdims=True)
    walk, total = np.eye(n), np.zeros((n, n))
    for _ in range(hops):
        walk = alpha * walk @ step + (1 - alpha) * np.eye(n)
        total += walk
    with np.errstate(divide="ignore"):
        ratio = total * total.sum() / np.outer(total.sum(axis=1), total.sum(axis=0))
        weights = np.log(ratio)
    weights[~np.isfinite(weights)] = 0.0
    weights = np.maximum(weights, 0.0)
    if parity:
        return weights / weights.max(axis=1, keepdims=True)
    weights = (weights + weights.T) / 2
    np.fill_diagonal(weights, 0.0)
    peak = weights.max(axis=1)
    return weights / np.sqrt(np.outer(peak, peak))


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_sparse_equals_dense(points: np.ndarray, monkeypatch, hops: int, parity: bool):
    sparse = graph.neighbors(points, 15, metric="euclidean", seed=0, parity=parity)
    dense = dense_neighbors(points, 15, parity=parity)
    np.testing.assert_array_equal(sparse.toarray(), dense)

    monkeypatch.setattr(graph, "_ROWS", 40)  # two blocks of rows and a smaller one
    if parity:
        walks = graph.surfed(sparse, hops=hops, alpha=0.98)
        found = graph.row_scaled(graph.mutual_information(walks))
    else:
        found = graph.symmetric_information(sparse, hops=hops, alpha=0.98, dtype=np.float64)
    expected = dense_target(dense, hops, 0.98, parity=parity)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-12, rtol=0)
    assert found.nnz < 90 * 90

    with_loops = expected + np.eye(90)
    root = 1 / np.sqrt(with_loops.sum(axis=1))
    operator = graph.normalized(found, self_loops=True).toarray()
    np.testing.assert_allclose(operator, root[:, None] * with_loops * root, atol=1e-12, rtol=0)


def test_two_hops_of_the_publication_in_one_formula(points: np.ndarray):
    a = graph.neighbors(points, 15, metric="euclidean", seed=0, parity=True)
    assert (a.diagonal() == 1).all()
    assert (np.asarray(a.sum(axis=1)) == 15).all()
    expected = 0.9604 * (a @ a) + 0.9996 * a + 0.04 * sp.identity(90)
    found = graph.surfed(a, hops=2, alpha=0.98)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-12)


def test_default_is_symmetric_and_within_bounds(points: np.ndarray):
    adjacency = graph.neighbors(points, 10, metric="euclidean", seed=0)
    found = graph.surfing_graph(adjacency, hops=2, alpha=0.98)
    target = found.target.toarray()
    np.testing.assert_allclose(target, target.T, atol=1e-6)
    assert target.min() >= 0
    assert target.max() <= 1 + 1e-6
    assert (target.diagonal() == 0).all()
    directed = graph.surfing_graph(
        graph.neighbors(points, 10, metric="euclidean", seed=0, parity=True),
        hops=2, alpha=0.98, parity=True,
    ).target.toarray()  # fmt: skip
    assert np.abs(directed - directed.T).max() > 0.1


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_other_metrics(points: np.ndarray, metric: str):
    from scipy.spatial.distance import cdist

    nearest = np.argsort(cdist(points, points, metric), axis=1)[:, :8]
    found = graph.neighbors(points, 8, metric=metric, seed=0, parity=True)
    assert all(
        set(row) == set(found[number].indices) for number, row in enumerate(nearest.tolist())
    )


def test_unconnected_parts_and_lonely_nodes():
    apart = sp.block_diag([np.ones((4, 4)) - np.eye(4), np.ones((5, 5)) - np.eye(5), [[0.0]]])
    found = graph.surfing_graph(sp.csr_matrix(apart), hops=2, alpha=0.98)
    assert graph.count_components(sp.csr_matrix(apart)) == 3
    assert np.isfinite(found.target.data).all()
    assert found.target[9].nnz == 0
    assert found.operator[9, 9] == 1
    assert graph.plain_graph(sp.csr_matrix(apart)).operator[9].nnz == 0


def test_fewer_nodes_than_neighbours():
    few = np.random.default_rng(0).normal(size=(4, 3))
    found = graph.neighbors(few, 15, metric="euclidean", seed=0)
    np.testing.assert_array_equal(found.toarray(), 1 - np.eye(4))
    assert graph.neighbors(few[:1], 15, metric="euclidean", seed=0).nnz == 0


def test_components_are_bounded_by_the_data():
    few = np.random.default_rng(0).normal(size=(12, 5))
    assert graph.principal_components(few, 50, 0).shape == (12, 4)
    np.testing.assert_array_equal(graph.principal_components(few, 0, 0), few)


def test_weighted_graphs_are_surfed_alike():
    rng = np.random.default_rng(0)
    weights = np.triu(rng.random((40, 40)) * (rng.random((40, 40)) < 0.2), 1)
    weights += weights.T
    found = graph.symmetric_information(
        sp.csr_matrix(weights), hops=2, alpha=0.9, dtype=np.float64
    )
    expected = dense_target(weights, 2, 0.9, parity=False)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-12, rtol=0)


def test_the_largest_weights_stay(points: np.ndarray, monkeypatch):
    monkeypatch.setattr(graph, "_ROWS", 40)
    adjacency = graph.neighbors(points, 5, metric="euclidean", seed=0)
    how = {"hops": 2, "alpha": 0.98, "dtype": np.float64}
    rows = graph._InformationRows(adjacency, 2, 0.98)
    whole = np.vstack([rows.block(start).toarray() for start in (0, 40, 80)])
    limits = np.sort(whole, axis=1)[:, -12] * (1 - 1e-9)
    stay = (whole >= np.maximum(limits[:, None], limits)) | (adjacency.toarray() > 0)
    found = graph.symmetric_information(adjacency, most=12, **how)
    np.testing.assert_array_equal(found.toarray() > 0, stay & (whole > 0))
    assert (found.nnz, (abs(found - found.T) > 1e-12).nnz) < ((whole > 0).sum(), 1)
    assert (found.toarray()[adjacency.toarray() * whole > 0] > 0).all()
    every = graph.symmetric_information(adjacency, most=90, **how)
    exact = graph.symmetric_information(adjacency, **how)
    np.testing.assert_array_equal(every.toarray(), exact.toarray())


@pytest.mark.parametrize("loops", [True, False])
def test_propagation_without_the_operator(points: np.ndarray, loops: bool):
    adjacency = graph.neighbors(points, 10, metric="euclidean", seed=0)
    whole = graph.Graph(sp.csr_matrix(adjacency, dtype=np.float32), loops)
    values = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    np.testing.assert_allclose(whole.propagate(values), whole.operator @ values, atol=1e-5)
    # Of some nodes: the edges between them, with degrees of their own.
    nodes = np.arange(5, 60)
    part = adjacency[nodes][:, nodes]
    np.testing.assert_array_equal(whole.part(nodes).target.toarray(), part.toarray())
    np.testing.assert_allclose(
        whole.part(nodes).operator.toarray(),
        graph.normalized(part, self_loops=loops).toarray(), atol=1e-6,
    )  # fmt: skip
