"""Metrics of a rare type, by hand and beside plain counting."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scoring.clustering import leiden, leiden_grid, nearest_neighbors
from bench.scoring.holdout import VisibleLabels
from bench.scoring.metrics import RareTask, UndefinedMetric, metrics
from bench.scoring.metrics import _rare as shared
from bench.scoring.metrics.isolated_f1 import RESOLUTIONS
from bench.scoring.scorer import score

RARE = {name: metric.function for name, metric in metrics().items() if metric.kind == "rare"}
LINE = np.array([0.0, 1.0, 2.1, 3.3, 10.0, 11.0, 12.1, 13.3])[:, None]
"""Two groups of four points with distinct distances."""


def by_counting(embedding, rare, k, train=None):
    """Return the shares of rare neighbours of the query cells, cell by cell."""
    query = np.arange(len(rare)) if train is None else np.flatnonzero(~train)
    shares = []
    for cell in query:
        others = [c for c in range(len(rare)) if c != cell and (train is None or train[c])]
        near = sorted(others, key=lambda c: np.linalg.norm(embedding[c] - embedding[cell]))[:k]
        shares.append(np.mean(rare[near]))
    return np.array(shares), rare[query]


def precision_by_hand(shares, truly):
    """Return Σ (R_n - R_n-1) P_n over the distinct shares."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(shares), reverse=True):
        called = shares >= threshold
        recall = np.sum(called & truly) / truly.sum()
        total += (recall - before) * np.mean(truly[called])
        before = recall
    return total


def test_average_precision_by_hand(monkeypatch):
    monkeypatch.setattr(shared, "N_NEIGHBORS", 2)
    rare = np.array([True, True, True, False, False, False, False, True])
    # The two nearest others of each point: 12, 02, 13, 21 | 56, 46, 57, 65.
    shares = np.array([1.0, 1.0, 0.5, 1.0, 0.0, 0.0, 0.5, 0.0])
    np.testing.assert_allclose(by_counting(LINE, rare, 2)[0], shares)
    # Called at 1: 0, 1 and 3, two of them rare; at 0.5 also 2 and 6; at 0 all, four rare.
    expected = 2 / 4 * 2 / 3 + 1 / 4 * 3 / 5 + 1 / 4 * 4 / 8
    value, facts = RARE["rare_ap"](LINE, RareTask(rare), seed=0)
    assert value == pytest.approx(expected) == precision_by_hand(shares, rare)
    assert facts == {"cells": 4.0, "prevalence": 0.5}
    # Pairs rare × other: shares 1, 1, .5, 0 against 1, 0, 0, .5.
    wins = (0.5 + 3) * 2 + (0 + 1 + 1 + 0.5) + (0 + 0.5 + 0.5 + 0)
    assert RARE["rare_auroc"](LINE, RareTask(rare), seed=0) == pytest.approx(wins / 16)
    assert RARE["rare_purity"](LINE, RareTask(rare), seed=0) == pytest.approx(
        (1 + 1 + 0.5 + 0) / 4
    )


def test_neighbours_of_held_out_cells_are_training_cells():
    rng = np.random.default_rng(0)
    rare = np.arange(300) < 30
    points = rng.normal(size=(300, 3)) + 2.0 * rare[:, None]
    train = rng.random(300) < 0.7
    shares, truly = by_counting(points, rare, 15, train)
    value, facts = RARE["rare_ap_held_out"](points, RareTask(rare, train), seed=0)
    assert value == pytest.approx(precision_by_hand(shares, truly))
    assert facts["cells"] == truly.sum() < 30
    assert rare[train].sum() > 15
    purity = RARE["rare_purity_held_out"](points, RareTask(rare, train), seed=0)
    assert purity == pytest.approx(shares[truly].mean())
    # Moving held-out cells of other types onto each other must not change the neighbours.
    indices, _ = nearest_neighbors(points, 15, seed=0, reference=train)
    assert indices.shape == ((~train).sum(), 15)
    assert train[indices].all()


def test_perfect_and_useless_embeddings():
    rng = np.random.default_rng(1)
    rare = np.arange(1000) < 10
    noise, train = rng.normal(size=(1000, 4)), rng.random(1000) < 0.7
    apart = noise + 100.0 * rare[:, None]
    for name, metric in metrics().items():
        if metric.kind != "rare":
            continue
        task = RareTask(rare, train if name.endswith("held_out") else None)
        result = metric.function(apart, task, seed=0)
        best = result[0] if isinstance(result, tuple) else result
        assert best == pytest.approx(1.0), name
        result = metric.function(noise, task, seed=0)
        worst = result[0] if isinstance(result, tuple) else result
        assert worst < (0.75 if "auroc" in name else 0.15), name


def test_isolated_f1_takes_the_best_cluster_of_the_grid():
    rng = np.random.default_rng(2)
    rare = np.arange(400) < 20
    points = rng.normal(size=(400, 2)) + 3.0 * rare[:, None]
    grid = {one: leiden(points, 5, resolution=one) for one in RESOLUTIONS}
    for resolution, labels in leiden_grid(points, 5, RESOLUTIONS):
        np.testing.assert_array_equal(labels, grid[resolution])
    best = max(
        2 * np.sum(rare & (labels == name)) / (20 + np.sum(labels == name))
        for labels in grid.values()
        for name in np.unique(labels)
    )
    value, facts = RARE["isolated_f1"](points, RareTask(rare), seed=5)
    assert value == pytest.approx(best)
    assert facts["resolution"] in RESOLUTIONS
    train = rng.random(400) < 0.7
    held, facts = RARE["isolated_f1_held_out"](points, RareTask(rare, train), seed=5)
    labels = grid[facts["resolution"]]
    assert held in [
        pytest.approx(
            2 * np.sum((rare & (labels == name))[~train])
            / (rare[~train].sum() + np.sum(labels[~train] == name))
        )
        for name in np.unique(labels)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rare", "train", "reason"),
    [
        (np.zeros(8, bool), None, "0 of the 8 query cells are of the rare type"),
        (np.arange(8) < 2, np.arange(8) < 2, "0 of the 6 query cells"),
        (np.arange(8) > 5, np.arange(8) < 5, "0 of the 5 neighbour cells"),
    ],
)
def test_reasons_without_a_value(rare, train, reason):
    function = RARE["rare_ap"] if train is None else RARE["rare_ap_held_out"]
    with pytest.raises(UndefinedMetric, match=reason):
        function(LINE, RareTask(rare, train), seed=0)
    with pytest.raises(UndefinedMetric, match="all points of the embedding are equal"):
        RARE["rare_ap"](np.ones((8, 2)), RareTask(np.arange(8) < 2), seed=0)
    with pytest.raises(UndefinedMetric, match="a single cell"):
        RARE["rare_purity"](LINE, RareTask(np.arange(8) < 1), seed=0)


def test_scores_of_a_rare_type_or_their_reasons():
    rng = np.random.default_rng(3)
    points, types = rng.normal(size=(60, 3)), np.repeat(["a", "b", "c"], [5, 25, 30])
    chosen = {name: one for name, one in metrics().items() if one.kind == "rare"}
    none = score(points, VisibleLabels(types), seed=0, chosen=chosen)
    assert none.values == {}
    assert set(none.missing) == {f"embedding/{name}" for name in chosen}
    assert "no rare type is named" in none.missing["embedding/rare_ap"]
    task = RareTask(types == "a", no_held_out="nmf has no transform")
    some = score(points, VisibleLabels(types), seed=0, chosen=chosen, task=task)
    assert set(some.values) == {
        "embedding/rare_ap", "embedding/rare_auroc", "embedding/rare_purity",
        "embedding/isolated_f1",
    }  # fmt: skip
    assert some.missing["embedding/rare_ap_held_out"] == "nmf has no transform"
    assert some.facts["embedding/rare_ap/cells"] == 5.0
    # Only reported cells count, as for every other metric.
    reported = np.arange(60) != 0
    fewer = score(points, VisibleLabels(types, reported), seed=0, chosen=chosen, task=task)
    assert fewer.facts["embedding/rare_ap/cells"] == 4.0
