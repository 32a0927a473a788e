"""Metrics on the embedding: silhouettes, neighbours, batches."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scoring.metrics import UndefinedMetric, _silhouettes, metrics
from bench.scoring.metrics.graph_connectivity import graph_connectivity
from bench.scoring.metrics.ilisi import ilisi
from bench.scoring.metrics.kbet import kbet
from bench.scoring.metrics.knn_purity import knn_purity
from bench.scoring.metrics.silhouette import silhouette


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_silhouette_by_hand():
    # Points 0, 1 | 4 on a line: (4 - 1)/4, (3 - 1)/3 and 0 for the single cell.
    points = np.array([[0.0], [1.0], [4.0]])
    value, facts = silhouette(points, ["x", "x", "y"], seed=0)
    assert value == pytest.approx((3 / 4 + 2 / 3 + 0) / 3)
    assert facts == {"cells": 3.0}
    of_types = metrics()["silhouette_types"].function(points, [0, 0, 1], seed=0)
    assert of_types == (value, facts)


@pytest.mark.parametrize("n_cells", [40, 700, 1500])
def test_silhouette_equals_scikit_learn(rng, n_cells):
    from sklearn.metrics import silhouette_score

    labels = rng.integers(0, 6, n_cells)
    points = rng.normal(size=(n_cells, 8)) + labels[:, None] * 0.3
    points[:5] = points[0]
    labels[3] = 77  # a cluster of one cell
    expected = silhouette_score(points, labels)
    assert silhouette(points, labels, seed=0)[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("scale", "shift"), [(1e-12, 0.0), (1e150, 0.0), (1.0, 1e4)])
def test_silhouette_does_not_depend_on_unit_and_origin(rng, scale, shift):
    labels = rng.integers(0, 3, 60)
    points = rng.normal(size=(60, 4)) + labels[:, None]
    expected = silhouette(points, labels, seed=0)[0]
    assert silhouette(points * scale + shift, labels, seed=0)[0] == pytest.approx(expected)


def test_silhouette_of_many_cells_uses_a_recorded_seeded_sample(rng, monkeypatch):
    monkeypatch.setattr(_silhouettes, "MAX_CELLS", 300)
    labels = rng.integers(0, 3, 1000)
    points = rng.normal(size=(1000, 4)) + labels[:, None]
    first, facts = silhouette(points, labels, seed=5)
    assert facts == {"cells": 300.0}
    assert silhouette(points, labels, seed=5)[0] == first
    assert silhouette(points, labels, seed=6)[0] != first


@pytest.mark.parametrize(
    ("points", "labels", "reason"),
    [
        (np.arange(4.0)[:, None], [0, 0, 0, 0], "only one label"),
        (np.arange(4.0)[:, None], [0, 1, 2, 3], "label of its own"),
        (np.full((4, 2), 0.1), [0, 0, 1, 1], "equal"),
    ],
)
def test_silhouette_missing(points, labels, reason):
    with pytest.raises(UndefinedMetric, match=reason):
        silhouette(points, labels, seed=0)


def test_knn_purity_by_hand(monkeypatch):
    from bench.scoring.metrics import knn_purity as module

    monkeypatch.setattr(module, "N_NEIGHBORS", 2)
    # On a line a 0, a 1, b 2.1, b 3.3, b 4.6. Two neighbours each; type a has one other cell.
    points = np.array([[0.0], [1.0], [2.1], [3.3], [4.6]])
    # a: 0 → 1 (a), 1 → 0 (a). b: 2.1 → {1, 3.3} 1/2; 3.3 → {2.1, 4.6} 1; 4.6 → {3.3, 2.1} 1.
    value, facts = knn_purity(points, list("aabbb"), seed=0)
    assert value == pytest.approx((1 + (0.5 + 1 + 1) / 3) / 2)
    assert facts == {"types": 2.0}


def test_knn_purity_is_one_for_separate_types_and_chance_for_none(rng):
    types = np.repeat([0, 1, 2, 3], [200, 100, 5, 1])
    apart = rng.normal(size=(306, 3)) + 100 * types[:, None]
    assert knn_purity(apart, types, seed=0) == (1.0, {"types": 3.0})
    balanced = rng.integers(0, 4, 2000)
    value, _ = knn_purity(rng.normal(size=(2000, 5)), balanced, seed=0)
    assert value == pytest.approx(0.25, abs=0.02)


def test_knn_purity_gains_nothing_from_the_order_of_the_file():
    # Two points only, half of each type at each, sorted by type: chance is 1/2.
    types = np.repeat([0, 1], 400)
    points = np.tile([[0.0], [1.0]], (400, 1))
    values = [knn_purity(points, types, seed=seed)[0] for seed in range(20)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("points", "types", "reason"),
    [
        (np.arange(4.0)[:, None], [0, 0, 0, 0], "same true type"),
        (np.arange(4.0)[:, None], [0, 1, 2, 3], "single cell"),
        (np.full((4, 2), 0.1), [0, 0, 1, 1], "equal"),
    ],
)
def test_knn_purity_missing(points, types, reason):
    with pytest.raises(UndefinedMetric, match=reason):
        knn_purity(points, types, seed=0)


def test_ilisi_is_zero_for_separate_and_one_for_mixed_batches(rng):
    batch = np.repeat([0, 1, 2], 300)
    points = rng.normal(size=(900, 4))
    apart, facts = ilisi(points + 1000 * batch[:, None], batch, batch, seed=0)
    assert apart == pytest.approx(0, abs=1e-6)
    assert facts == {"batches": 3.0}
    mixed, _ = ilisi(points, batch, batch, seed=0)
    assert 0.8 < mixed <= 1


def test_ilisi_equals_its_definition(rng):
    """A direct implementation for a single cell, with scipy's root finder."""
    from scipy.optimize import brentq

    points, batch = rng.normal(size=(30, 2)), rng.integers(0, 2, 30)
    lisi = []
    for i in range(30):
        distance = np.delete(np.linalg.norm(points - points[i], axis=1), i)
        near = np.argsort(distance)[:29]
        d, b = distance[near], np.delete(batch, i)[near]

        def weights(beta, d=d):
            kernel = np.exp(-beta * d)
            return kernel / kernel.sum()

        def gap(beta, weights=weights):
            p = weights(beta)
            return -(p * np.log(p)).sum() - np.log(30 / 3)

        p = weights(brentq(gap, 1e-3, 50))
        lisi.append(1 / (p[b == 0].sum() ** 2 + p[b == 1].sum() ** 2))
    assert ilisi(points, batch, batch, seed=0)[0] == pytest.approx(np.median(lisi) - 1, abs=1e-6)


def test_graph_connectivity_counts_the_largest_piece(rng):
    # Type 1 lies in two far places (60 and 40 cells), with cells of type 0 around both.
    place = np.repeat([0, 1], [120, 100])
    types = np.concatenate([np.repeat([0, 1], 60), np.repeat([0, 1], [60, 40])])
    points = rng.normal(size=(220, 2)) * 0.1 + 1000 * place[:, None] + 10 * types[:, None]
    assert graph_connectivity(points, types, place, seed=0)[0] == pytest.approx((0.5 + 0.6) / 2)


def test_kbet_by_hand():
    # Four far groups of ten cells, 9, 8, 2 and 1 of the first batch: neighbourhoods of ten cells
    # (40 / 2 / 4 = 5, at least 10) are the groups. Expected 5 and 5: chi-square 6.4 for 9 and 1,
    # chance 0.011, rejected; 3.6 for 8 and 2, chance 0.058, not rejected.
    batch = np.concatenate([np.arange(10) >= first for first in (9, 8, 2, 1)]).astype(int)
    points = np.column_stack((np.arange(40) // 10 * 1000.0, np.arange(40) % 10))
    value, facts = kbet(points, batch, batch, seed=0)
    assert value == 0.5
    assert facts == {"batches": 2.0, "neighbours": 10.0}


def test_kbet_is_zero_for_separate_and_near_one_for_mixed_batches(rng):
    batch = np.repeat(["a", "b", "c"], [500, 300, 100])
    points = rng.normal(size=(900, 4))
    apart = points + 1000 * np.unique(batch, return_inverse=True)[1][:, None]
    assert kbet(apart, batch, batch, seed=0)[0] == 0
    mixed, facts = kbet(points, batch, batch, seed=0)
    assert mixed > 0.9
    assert facts["neighbours"] == 70  # of 75


@pytest.mark.parametrize("function", [ilisi, kbet, graph_connectivity])
def test_batch_metrics_missing(function, rng):
    points, types, two = rng.normal(size=(20, 2)), np.arange(20) % 2, np.arange(20) // 10
    with pytest.raises(UndefinedMetric, match="one batch"):
        function(points, types, np.zeros(20), seed=0)
    with pytest.raises(UndefinedMetric, match="equal"):
        function(np.ones((20, 2)), types, two, seed=0)
    with pytest.raises(UndefinedMetric, match="fewer than"):
        function(points[9:11], types[9:11], two[9:11], seed=0)
