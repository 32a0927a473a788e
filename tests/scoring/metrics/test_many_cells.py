"""Metrics of neighbourhoods above the size at which they take a sample of the cells."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contract import CountsTask
from bench.scoring import clustering
from bench.scoring.holdout import VisibleLabels
from bench.scoring.metrics import metrics
from bench.scoring.scorer import score

N_CELLS, SAMPLED = 4000, 1200
TYPES = np.random.default_rng(0).choice(4, N_CELLS, p=[0.5, 0.3, 0.19, 0.01])
BATCH = np.random.default_rng(1).integers(0, 2, N_CELLS)
POINTS = (
    np.random.default_rng(2).normal(size=(N_CELLS, 5))
    + 1.5 * np.eye(4, 5)[TYPES]
    + 0.3 * BATCH[:, None]
)


def compute(name: str, seed: int = 0) -> tuple[float, dict[str, object]]:
    if name == "knn_preservation":
        arguments: tuple[object, ...] = (POINTS[:, :4], CountsTask(POINTS))
    else:
        batch = (BATCH,) if metrics()[name].kind == "batch" else ()
        arguments = (POINTS, TYPES, *batch)
    value, facts = metrics()[name].function(*arguments, seed=seed)
    return value, facts


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("clisi", 0.03), ("ilisi", 0.03), ("kbet", 0.04), ("knn_purity", 0.04),
     ("knn_preservation", 0.02)],
)  # fmt: skip
def test_a_sample_gives_nearly_the_value_of_all_cells(monkeypatch, name: str, tolerance: float):
    exact, facts = compute(name)
    assert "cells" not in facts
    monkeypatch.setattr(clustering, "EXACT_CELLS", 3999)
    monkeypatch.setattr(clustering, "SAMPLED_CELLS", SAMPLED)
    value, sampled_facts = compute(name)
    # Of knn_purity all cells of the rare type and equally many of the others.
    expected = 900 + (TYPES == 3).sum() if name == "knn_purity" else SAMPLED
    assert sampled_facts == facts | {"cells": expected}
    assert value == pytest.approx(exact, abs=tolerance)
    assert value == compute(name)[0]
    assert value != compute(name, seed=1)[0]


@pytest.mark.slow  # the search compiles for half a minute
def test_scores_say_which_neighbours_are_approximate(monkeypatch):
    monkeypatch.setattr(clustering, "EXACT_CELLS", 3999)
    chosen = {name: metrics()[name] for name in ("ari", "graph_connectivity")}
    arguments = {"seed": 0, "batch": BATCH, "chosen": chosen}
    facts = score(POINTS, VisibleLabels(TYPES), **arguments).facts
    assert facts["leiden/neighbours"] == "approximate"
    assert facts["embedding/graph_connectivity/neighbours"] == "approximate"
    monkeypatch.setattr(clustering, "EXACT_CELLS", N_CELLS)
    assert "leiden/neighbours" not in score(POINTS, VisibleLabels(TYPES), **arguments).facts
