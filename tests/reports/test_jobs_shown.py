"""What the page shows of single jobs: curves, and clusters against types."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from bench.reports.figures import confusion, umaps
from bench.reports.figures import training_curves as curves
from bench.reports.figures.figure_data import type_by_cluster
from bench.reports.tables.leaderboard import tidy


def test_counts_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    types = pd.Series(rng.choice(list("abc"), 200))
    clusters = pd.Series(rng.integers(0, 5, 200))
    found = type_by_cluster(types, clusters)
    codes = types.map({"a": 10, "b": 11, "c": 12})
    labels = [0, 1, 2, 3, 4, 10, 11, 12]
    expected = confusion_matrix(codes, clusters, labels=labels)[5:, :5]
    for i, name in enumerate("abc"):
        for j in range(5):
            assert found.at[name, str(j)] == expected[i, j]


def test_the_diagonal_holds_the_best_match():
    types = pd.Series(list("aaabbc"))
    clusters = pd.Series([2, 2, 2, 0, 0, 1])
    assert type_by_cluster(types, clusters).to_numpy().tolist() == [
        [3, 0, 0],
        [0, 2, 0],
        [0, 0, 1],
    ]


def test_confusion_of_each_competing_method(make_realistic, tmp_path):
    table = tidy(make_realistic(tmp_path))
    found = confusion.confusion_matrices(table, umaps.choose_panels(table))
    datasets, methods, clusterings = (options for _, options in found.selectors)
    assert datasets == ["pbmc68k", "sim_rna"]
    assert not {"random", "truth"} & set(methods)
    assert clusterings == ["k-means"]
    matrix = json.loads(found.content)["0,0,0"]
    # One cluster takes all.
    assert matrix["clusters"] == ["0"]
    assert sum(map(sum, matrix["counts"])) == 240


def test_without_artifacts_there_is_no_confusion(make_realistic, tmp_path):
    table = tidy(make_realistic(tmp_path, artifacts=False))
    assert confusion.confusion_matrices(table, umaps.choose_panels(table)) is None


def curve(run_id: str, name: str, n: int) -> list[dict]:
    return [{"run_id": run_id, "name": name, "step": i, "value": 1 / (i + 1)} for i in range(n)]


def test_curves_of_the_median_seed(make_job):
    results = pd.DataFrame(
        [make_job("vae", seed=s, ari=0.5 + s / 10, run_id=f"r{s}") for s in range(3)]
    )
    assert curves.median_run_ids(results) == ["r1"]
    stored = pd.DataFrame(curve("r1", "loss", 20) + curve("r1", "kl_loss", 20))
    (drawing,) = curves.curve_drawings(results, stored)
    assert list(drawing.figures) == ["0,0,0", "0,0,1"]  # losses, and parts of the loss
    assert drawing.figures["0,0,0"].count('class="curve') == 1
    assert "kl loss" in drawing.figures["0,0,1"]


def test_a_long_curve_is_thinned_not_averaged():
    rows = pd.DataFrame(curve("r", "loss", 5000))
    found = curves.thin_curve(rows)
    assert len(found) == curves.MAX_POINTS
    assert found["step"].iloc[[0, -1]].tolist() == [0, 4999]
    assert set(found["value"]) <= set(rows["value"])


@pytest.mark.parametrize("stored", [None, pd.DataFrame()])
def test_no_curves_no_figure(make_job, stored):
    assert curves.curve_drawings(pd.DataFrame([make_job("x", ari=0.5, run_id="r")]), stored) == []
