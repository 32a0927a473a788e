"""The harness clusterings: reproducible, indifferent to unit and origin, never crashing."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, homogeneity_score
from sklearn.neighbors import NearestNeighbors

from bench.scoring import clustering
from bench.scoring.clustering import (
    connectivities,
    kmeans,
    leiden,
    nearest_neighbors,
    sampled_neighbors,
)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    types = rng.permutation(np.repeat([0, 1, 2, 3], [200, 100, 60, 20]))
    return rng.normal(size=(380, 6)) + 12 * np.eye(6)[types], types


def both(points, k=4, seed=0):
    return {"kmeans": kmeans(points, k, seed), "leiden": leiden(points, seed)}


def test_separate_types_are_found(blobs):
    points, types = blobs
    for labels in both(points).values():
        assert labels.shape == (380,)
        assert labels.dtype == np.int64
        # Modularity may split a large Gaussian cloud; it must not mix two.
        assert homogeneity_score(types, labels) == pytest.approx(1)
    assert adjusted_rand_score(types, kmeans(points, 4, 0)) == pytest.approx(1)


def test_leiden_numbers_communities_by_size(blobs):
    assert np.all(np.diff(np.bincount(leiden(blobs[0], 0))) <= 0)


def test_same_seed_same_labels_other_seed_other_labels():
    noise = np.random.default_rng(0).normal(size=(400, 10))
    for name in ("kmeans", "leiden"):
        np.testing.assert_array_equal(both(noise, 8)[name], both(noise, 8)[name])
        assert np.any(both(noise, 8, seed=0)[name] != both(noise, 8, seed=1)[name])


def test_global_random_states_are_left_alone():
    import igraph

    points = np.random.default_rng(0).normal(size=(60, 3))
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002 the legacy state is what is tested
    both(points)
    assert random.random() == random.Random(3).random()
    expected = np.random.RandomState(3).random()
    assert np.random.random() == expected  # noqa: NPY002
    random.seed(3)
    first = igraph.Graph.Erdos_Renyi(30, 0.2).get_edgelist()
    random.seed(3)
    assert igraph.Graph.Erdos_Renyi(30, 0.2).get_edgelist() == first


@pytest.mark.parametrize(("scale", "shift"), [(1e-12, 0.0), (1e300, 0.0), (1.0, 1e4), (8.0, 0.0)])
def test_unit_and_origin_do_not_matter(blobs, scale, shift):
    moved = both(blobs[0] * scale + shift)
    for name, labels in both(blobs[0]).items():
        assert adjusted_rand_score(moved[name], labels) == pytest.approx(1)


def test_columns_are_not_rescaled():
    """A column of large spread outweighs one of small spread, in both clusterings."""
    rng = np.random.default_rng(0)
    large, small = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    points = np.column_stack([1000 * large, small]) + rng.normal(scale=0.01, size=(300, 2))
    assert adjusted_rand_score(large, kmeans(points, 2, 0)) == pytest.approx(1)


@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_constant_embedding_is_one_cluster(k):
    for labels in both(np.full((20, 3), 0.1), k).values():
        assert set(labels) == {0}


def test_fewer_distinct_points_than_k(recwarn):
    points = np.repeat([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]], 20, axis=0)
    assert len(set(kmeans(points, 6, 0))) == 3
    assert adjusted_rand_score(np.repeat([0, 1, 2], 20), leiden(points, 0)) == 1
    assert not recwarn.list


@pytest.mark.parametrize("n_cells", [1, 2, 3, 5, 14, 15, 16])
def test_few_cells(n_cells):
    points = np.random.default_rng(0).normal(size=(n_cells, 3))
    for labels in both(points, k=4).values():
        assert labels.shape == (n_cells,)


@pytest.mark.parametrize("sizes", [[500] * 5, [3, 20, 200, 1000], [2000, 1000]])
def test_the_truth_as_embedding_is_found(sizes):
    """One point a type: neighbourhoods of ties only."""
    types = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = np.eye(len(sizes))[types]
    for labels in both(points, len(sizes)).values():
        assert adjusted_rand_score(types, labels) == pytest.approx(1)


def test_neighbors_are_the_nearest_other_cells():
    points = np.random.default_rng(0).normal(size=(90, 4))
    indices, distances = nearest_neighbors(points, 7, seed=1)
    exact = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(exact, np.inf)
    np.testing.assert_array_equal(indices, np.argsort(exact, axis=1)[:, :7])
    ratio = np.sort(exact, axis=1)[:, :7] / distances
    np.testing.assert_allclose(ratio, ratio[0, 0])


def test_connectivities_follow_their_definition():
    """Weights of 14 neighbours sum to log2 15 before the two directions are joined."""
    from scipy.optimize import brentq

    points = np.random.default_rng(0).normal(size=(80, 3))
    graph = connectivities(points).toarray()
    np.testing.assert_allclose(graph, graph.T)
    assert graph.max() <= 1
    assert graph.diagonal().max() == 0
    one_way = np.zeros((80, 80))
    for i in range(80):
        distance = np.linalg.norm(points - points[i], axis=1)
        near = np.argsort(distance)[1:15]
        beyond = distance[near] - distance[near[0]]

        def gap(sigma, beyond=beyond):
            return np.exp(-beyond / sigma).sum() - np.log2(15)

        one_way[i, near] = np.exp(-beyond / brentq(gap, 1e-3, 1e3))
    np.testing.assert_allclose(graph, one_way + one_way.T - one_way * one_way.T, atol=1e-6)


@pytest.mark.slow
def test_connectivities_equal_scanpy(blobs):
    import scanpy as sc
    from anndata import AnnData

    adata = AnnData(blobs[0].astype(np.float32))
    sc.pp.neighbors(adata, n_neighbors=15, use_rep="X")
    assert abs(connectivities(adata.X) - adata.obsp["connectivities"]).max() < 1e-4


@pytest.fixture
def many(monkeypatch):
    """Points of three types that count as too many for an exact search of all neighbours."""
    monkeypatch.setattr(clustering, "EXACT_CELLS", 500)
    rng = np.random.default_rng(2)
    types = rng.integers(0, 3, 1500)
    return rng.normal(size=(1500, 6)) + 3 * np.eye(3, 6)[types], types


@pytest.mark.slow  # the search compiles for half a minute, like that of the next tests
def test_neighbors_of_many_cells_are_nearly_the_exact_ones(many, monkeypatch):
    points, _ = many
    indices, distances = nearest_neighbors(points, 14, seed=1)
    again, _ = nearest_neighbors(points, 14, seed=1)
    np.testing.assert_array_equal(indices, again)
    assert not (indices == np.arange(1500)[:, None]).any()
    monkeypatch.setattr(clustering, "EXACT_CELLS", 5000)
    exact, exact_distances = nearest_neighbors(points, 14, seed=1)
    assert np.mean([np.isin(*rows).mean() for rows in zip(indices, exact, strict=True)]) > 0.99
    np.testing.assert_allclose(distances.mean(), exact_distances.mean(), rtol=1e-3)
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.slow
def test_neighbors_of_many_cells_in_a_reference(many, monkeypatch):
    points, _ = many
    reference = np.random.default_rng(0).random(1500) < 0.8
    indices, _ = nearest_neighbors(points, 5, seed=1, reference=reference)
    assert reference[indices].all()
    monkeypatch.setattr(clustering, "EXACT_CELLS", 5000)
    exact, _ = nearest_neighbors(points, 5, seed=1, reference=reference)
    assert np.mean([np.isin(*rows).mean() for rows in zip(indices, exact, strict=True)]) > 0.98


@pytest.mark.slow
def test_many_equal_points_have_neighbours_at_distance_zero(many):
    points = np.eye(2)[np.random.default_rng(0).integers(0, 2, 900)]
    indices, distances = nearest_neighbors(points, 14, seed=1)
    assert (indices >= 0).all()
    assert (distances == 0).all()
    assert not (indices == np.arange(900)[:, None]).any()


@pytest.mark.slow
def test_leiden_finds_the_same_in_approximate_neighbours(many, monkeypatch):
    points, _ = many
    found = leiden(points, 0)
    monkeypatch.setattr(clustering, "EXACT_CELLS", 5000)
    assert adjusted_rand_score(found, leiden(points, 0)) > 0.9


def test_scores_of_many_cells_share_one_graph(many, monkeypatch):
    searches = []

    def exact(points, k, seed, queries):
        searches.append(seed)
        distances, indices = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
        return indices, distances

    monkeypatch.setattr(clustering, "_approximate_neighbors", exact)
    monkeypatch.setattr(clustering, "_last_graph", {})
    points, _ = many
    graph = connectivities(points, seed=1)
    assert connectivities(points.copy(), seed=2) is graph
    assert len(searches) == 1
    assert connectivities(points, 10) is not graph
    assert abs(connectivities(points[::-1]) - graph[::-1, ::-1]).max() < 1e-9
    assert len(searches) == 3


def test_sampled_cells_have_their_exact_neighbours_among_all(many, monkeypatch):
    points, types = many
    monkeypatch.setattr(clustering, "SAMPLED_CELLS", 90)
    cells, indices, distances = sampled_neighbors(points, 7, seed=3)
    assert len(np.unique(cells)) == 90
    of_types, _, _ = sampled_neighbors(points, 7, seed=3, labels=types)
    assert np.bincount(types[of_types]).tolist() == [30, 30, 30]
    monkeypatch.setattr(clustering, "EXACT_CELLS", 5000)
    every, exact, exact_distances = sampled_neighbors(points, 7, seed=3)
    np.testing.assert_array_equal(every, np.arange(1500))
    np.testing.assert_array_equal(indices, exact[cells])
    np.testing.assert_allclose(distances, exact_distances[cells], atol=1e-7)
