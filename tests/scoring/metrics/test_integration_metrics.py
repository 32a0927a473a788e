"""Metrics of scIB: cLISI, BRAS, isolated types, principal component regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import silhouette_samples

from bench.contract import IntegrationTask
from bench.scoring.metrics import UndefinedMetric, _silhouettes
from bench.scoring.metrics.bras import bras
from bench.scoring.metrics.clisi import clisi
from bench.scoring.metrics.ilisi import ilisi
from bench.scoring.metrics.isolated_silhouette import isolated_silhouette
from bench.scoring.metrics.pcr_comparison import pcr_comparison


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_clisi_is_one_for_separate_types_and_low_for_mixed_ones(rng):
    types = np.repeat([0, 1, 2], 200)
    points = rng.normal(size=(600, 4))
    apart, facts = clisi(points + 1000 * types[:, None], types, seed=0)
    assert apart == pytest.approx(1, abs=1e-6)
    assert facts == {"types": 3.0}
    assert clisi(points, types, seed=0)[0] < 0.2


def test_clisi_of_types_is_the_ilisi_of_the_same_labels_turned_round(rng):
    types = rng.integers(0, 3, 300)
    points = rng.normal(size=(300, 3)) + types[:, None]
    mixing, _ = ilisi(points, types, types, seed=0)
    assert clisi(points, types, seed=0)[0] == pytest.approx(1 - mixing)


def test_bras_by_hand():
    # On the circle at 0, 60, 90 and 180 degrees, batches a, a, b, b; one type. Cosine distances:
    # 0-60 1/2, 0-90 1, 0-180 2, 60-90 1 - sqrt(3)/2, 60-180 3/2, 90-180 1.
    angle = np.radians([0, 60, 90, 180])
    points = np.column_stack((np.cos(angle), np.sin(angle))) * np.array([[1], [5], [0.1], [2]])
    near = 1 - np.sqrt(3) / 2
    widths = [
        (1.5 - 0.5) / 1.5,                       # a 1/2, b (1 + 2) / 2
        ((near + 1.5) / 2 - 0.5) / ((near + 1.5) / 2),
        ((1 + near) / 2 - 1) / 1,
        ((2 + 1.5) / 2 - 1) / ((2 + 1.5) / 2),
    ]  # fmt: skip
    value, facts = bras(points, list("tttt"), list("aabb"), seed=0)
    assert value == pytest.approx(1 - np.abs(widths).mean())
    assert facts == {"types": 1.0}


def brute_force_bras(points, types, batch):
    """The definition, pair by pair."""
    unit = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-300)
    distance = 1 - unit @ unit.T
    means = []
    for name in np.unique(types):
        cells = np.flatnonzero(types == name)
        if not 1 < len(np.unique(batch[cells])) < len(cells):
            continue
        scores = []
        for i in cells:
            own = [j for j in cells if batch[j] == batch[i] and j != i]
            other = [j for j in cells if batch[j] != batch[i]]
            a, b = distance[i, own].mean() if own else 0.0, distance[i, other].mean()
            scores.append(1 - abs((b - a) / max(a, b)) if own else 1.0)
        means.append(np.mean(scores))
    return np.mean(means)


def test_bras_equals_its_definition(rng):
    types, batch = rng.integers(0, 4, 120), rng.integers(0, 3, 120)
    types[:3], batch[:3] = 7, [0, 1, 2]  # three cells of three batches: left out
    types[3:5], batch[3:5] = 8, 1  # a single batch: left out
    types[5:8], batch[5:8] = 9, [0, 0, 1]  # a cell alone in its batch
    points = rng.normal(size=(120, 5)) + 0.5 * batch[:, None]
    points[20] = 0.0
    value, facts = bras(points, types, batch, seed=0)
    assert value == pytest.approx(brute_force_bras(points, types, batch))
    assert facts == {"types": 5.0}
    assert bras(points * 1e200, types, batch, seed=0)[0] == pytest.approx(value)


def test_bras_sees_a_third_batch_that_lies_apart(rng):
    """Its reason: two of three batches overlap, and the nearest batch looks mixed."""
    batch = np.repeat([0, 1, 2], 100)
    types = np.zeros(300)
    mixed = rng.normal((20, 0), size=(300, 2))
    apart = mixed + np.where(batch[:, None] == 2, [-40, 0], 0)
    assert bras(mixed, types, batch, seed=0)[0] > 0.8
    assert bras(apart, types, batch, seed=0)[0] < 0.2


def test_isolated_types_are_those_in_the_fewest_batches(rng):
    types = np.repeat(["a", "b", "c", "d"], [40, 30, 20, 10])
    batch = np.arange(100) % 3
    batch[types == "c"] %= 2
    batch[types == "d"] = np.arange(10) % 2 + 1
    points = rng.normal(size=(100, 3)) + 2 * (np.unique(types, return_inverse=True)[1])[:, None]
    value, facts = isolated_silhouette(points, types, batch, seed=0)
    widths = silhouette_samples(points, types)
    expected = [widths[types == name].mean() for name in ("c", "d")]
    assert value == pytest.approx(np.mean(expected))
    assert facts == {"types": 2.0, "batches": 2.0}


def test_isolated_types_of_a_sample(rng, monkeypatch):
    monkeypatch.setattr(_silhouettes, "MAX_CELLS", 50)
    types = np.repeat(["a", "b", "c"], [150, 150, 1])
    batch = np.arange(301) % 2
    with pytest.raises(UndefinedMetric, match="sample"):
        isolated_silhouette(rng.normal(size=(301, 2)), types, batch, seed=1)


def regression(points, batch):
    """Principal component regression as published, component by component."""
    centred = points - points.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    keep = s > 1e-12 * s[0]
    one_hot = (batch[:, None] == np.unique(batch)).astype(float)
    r2 = [LinearRegression().fit(one_hot, pc).score(one_hot, pc) for pc in (u * s).T[keep]]
    return np.sum(s[keep] ** 2 * r2) / np.sum(s**2)


def test_pcr_comparison_equals_the_regression_of_each_component(rng):
    batch = rng.integers(0, 4, 200)
    before = rng.normal(size=(200, 10)) @ rng.normal(size=(10, 10)) + 3 * batch[:, None]
    after = rng.normal(size=(200, 4)) + 0.3 * batch[:, None]
    value, facts = pcr_comparison(after, IntegrationTask(batch, before), seed=0)
    assert facts["before"] == pytest.approx(regression(before, batch))
    assert facts["after"] == pytest.approx(regression(after, batch))
    assert value == pytest.approx((facts["before"] - facts["after"]) / facts["before"])
    assert 0 < value < 1


def test_pcr_comparison_by_hand():
    # Batch means -1 and 1 around 0, within -1 and 1: half of the variance is between batches.
    before = np.array([[-2.0], [0], [0], [2]])
    batch = np.array(["x", "x", "y", "y"])
    value, facts = pcr_comparison(np.array([[0.0], [1], [0], [1]]), IntegrationTask(batch, before),
                                  seed=0)  # fmt: skip
    assert (value, facts) == (1.0, {"before": 0.5, "after": 0.0})
    worse = np.array([[0.0], [0], [1], [1]])
    value, facts = pcr_comparison(worse, IntegrationTask(batch, before), seed=0)
    assert (value, facts) == (0.0, {"before": 0.5, "after": 1.0})


def test_missing_with_a_reason(rng):
    points, types = rng.normal(size=(20, 2)), np.arange(20) % 2
    two, one = np.arange(20) // 10, np.zeros(20)
    for function in (bras, isolated_silhouette):
        with pytest.raises(UndefinedMetric, match="one batch"):
            function(points, types, one, seed=0)
        with pytest.raises(UndefinedMetric, match="equal"):
            function(np.ones((20, 2)), types, two, seed=0)
    with pytest.raises(UndefinedMetric, match="two batches"):
        bras(points, two, two, seed=0)
    with pytest.raises(UndefinedMetric, match="same true type"):
        clisi(points, one, seed=0)
    for task, reason in (
        (IntegrationTask(one, points), "one batch"),
        (IntegrationTask(two), "counts before"),
        (IntegrationTask(two, np.array([[0.0], [1]] * 10)), "explain nothing"),
    ):
        with pytest.raises(UndefinedMetric, match=reason):
            pcr_comparison(points, task, seed=0)
