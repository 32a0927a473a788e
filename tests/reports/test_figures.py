from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from bench.reports.figures.drawing import Axis
from bench.reports.figures.figure_data import cost_points, pareto_front
from bench.reports.figures.static_figures import heatmap_figure
from bench.reports.page.overview_table import overview_tables
from bench.reports.tables.leaderboard import tidy


@pytest.fixture
def results(make_realistic, tmp_path):
    return make_realistic(tmp_path, artifacts=False)


def test_the_front_has_no_point_that_is_beaten():
    found = pd.DataFrame(
        {"method": list("abcde"), "cost": [1.0, 2, 2, 3, 4], "mean": [0.5, 0.4, 0.7, 0.7, 0.9]}
    )
    assert pareto_front(found)["method"].tolist() == ["a", "c", "e"]
    assert pareto_front(found, higher=False)["method"].tolist() == ["a", "b"]


def test_the_front_against_every_pair():
    rng = np.random.default_rng(0)
    found = pd.DataFrame({"cost": rng.random(60), "mean": rng.random(60)})
    beaten = [
        any((other.cost < p.cost) and (other.mean >= p.mean) for other in found.itertuples())
        for p in found.itertuples()
    ]
    assert set(pareto_front(found).index) == {i for i, one in enumerate(beaten) if not one}


@pytest.mark.parametrize("cost", ["seconds", "peak_memory_mb"])
def test_points_of_quality_against_cost(results, cost):
    rows = tidy(results[results["dataset"] == "pbmc68k"])
    found = cost_points(rows.assign(family="f"), "kmeans/ari", cost).set_index("method")
    own = rows[rows["method"] == "nmf"]
    assert found.at["nmf", "cost"] == own[cost].median()
    assert found.at["nmf", "mean"] == pytest.approx(own["kmeans/ari"].mean())


def test_ticks_are_round_and_inside():
    axis = Axis.around([0.613, 0.72])
    assert axis.ticks() == [0.62, 0.64, 0.66, 0.68, 0.7, 0.72]
    log = Axis.around([0.3, 200], log=True)
    assert log.ticks() == pytest.approx([0.3, 1, 3, 10, 30, 100])
    assert [log.place(log.low), log.place(log.high)] == [0, 100]
    assert Axis.around([2.0, 2.0]).place(2.0) == 50


def overview(rows) -> dict[str, dict]:
    """The rows of the first view by method: heading → cell."""
    table = overview_tables(tidy(pd.DataFrame(rows))).tables["0"]
    heads = [column.text for column in table.columns]
    return {row[1].text: dict(zip(heads, row, strict=True)) for row in table.all_rows}


def test_bars_run_from_random_to_truth_where_these_are_the_ends(make_job):
    rows = overview([
        make_job("random", ari=0.1, family="control") | {"embedding/ilisi": 0.95},
        make_job("truth", ari=0.9, family="control") | {"embedding/ilisi": 0.97},
        make_job("x", ari=0.3) | {"embedding/ilisi": 0.4},
    ])  # fmt: skip
    assert [rows[m]["ARI (k-means)"].bar for m in ("random", "x", "truth")] == [0, 25, 100]
    assert rows["x"]["iLISI"].bar == 40  # the controls are not the ends of mixing


def test_a_metric_without_direction_has_no_bar(results):
    rows = overview(results)
    assert {row["clusters (Leiden)"].bar for row in rows.values()} == {None}


def test_blocks_are_those_of_the_claims(make_job):
    scores = {"best": 0.9, "equal": 0.899, "worse": 0.5, "truth": 1.0, "told": 0.95, "also": 0.94}
    rows = [
        make_job(
            name, seed=seed, ari=mean + 0.002 * (seed - 1),
            family="control" if name == "truth" else "x",
            uses="n_clusters" if name in ("told", "also") else "",
        )
        for name, mean in scores.items() for seed in range(3)
    ]  # fmt: skip
    table = overview_tables(tidy(pd.DataFrame(rows))).tables["0"]
    blocks = {
        heading.split(":")[0]: [row[1].text for row in own]
        for heading, own in table.blocks.items()
    }
    assert blocks == {
        "Tied for first": ["best", "equal"],
        "Not tied": ["worse"],
        "Told the number of types": ["told (k given)", "also (k given)"],
        "Controls": ["truth"],
    }


def test_guided_methods_have_means_over_the_datasets_that_they_can_use(make_job):
    rows = [make_job("pca", name, seed, ari=0.5) for name in "ab" for seed in (0, 1)]
    for method in ("sakura", "scale"):
        rows += [make_job(method, "a", seed, ari=0.7, uses="markers") for seed in (0, 1)]
    rows += [make_job("nmf", "a", seed, ari=0.6) for seed in (0, 1)]
    shown = {name: row["ARI (k-means)"].text for name, row in overview(rows).items()}
    assert shown == {
        "pca": "0.500", "nmf": "–", "sakura (guided)": "0.700", "scale (guided)": "0.700"
    }  # fmt: skip


def test_a_precomputed_embedding_takes_no_mean_from_others(make_job):
    rows = [make_job("pca", "a", seed, ari=0.5) for seed in (0, 1)]
    rows += [make_job("obsm", name, ari=0.9, family="precomputed") for name in "ab"]
    shown = {name: row["ARI (k-means)"].text for name, row in overview(rows).items()}
    assert shown == {"pca": "0.500", "obsm": "0.900"}


def test_long_names_leave_room_for_the_cells_of_the_heatmap(make_job):
    names = ["pca", "scmgca[batches=corrected,n_latent=32] (k given)"]
    rows = [make_job(name, seed=seed, ari=0.5) for name in names for seed in range(2)]
    with warnings.catch_warnings(action="error"):
        figure = heatmap_figure(tidy(pd.DataFrame(rows)), names)
        figure.canvas.draw()
    width, height = figure.axes[0].get_window_extent().size / figure.dpi
    assert width > 0.5
    assert height > 0.5
