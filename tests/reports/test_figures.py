from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bench.reports.figures.figure_data import cost_points, pareto_front
from bench.reports.figures.interactive import score_drawings
from bench.reports.tables.control_scale import scale_between_controls
from bench.reports.tables.leaderboard import tidy


def content(drawing) -> dict:
    return json.loads(drawing.content)


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


def test_scale_between_controls(make_job):
    rows = [
        make_job("random", ari=0.1, family="control"),
        make_job("truth", ari=0.9, family="control"),
        make_job("x", ari=0.5),
        make_job("x", "alone", ari=0.5),
    ]
    scaled = scale_between_controls(pd.DataFrame(rows)).set_index(["method", "dataset"])[
        "kmeans/ari"
    ]
    assert scaled["random", "a"] == 0
    assert scaled["truth", "a"] == 1
    assert scaled["x", "a"] == pytest.approx(0.5)
    assert np.isnan(scaled["x", "alone"])


def test_mixing_of_batches_has_no_scale_between_controls(make_job):
    rows = [
        make_job("random", ari=0.1, family="control") | {"embedding/ilisi": 0.95},
        make_job("truth", ari=0.9, family="control") | {"embedding/ilisi": 0.97},
        make_job("x", ari=0.5) | {"embedding/ilisi": 0.4},
    ]
    scaled = scale_between_controls(pd.DataFrame(rows))
    assert scaled["embedding/ilisi"].isna().all()
    assert scaled["kmeans/ari"].notna().all()


def test_heat_map_holds_the_means(results):
    (heat,) = score_drawings(results)["heat"]
    figures = content(heat)
    metrics = heat.selectors[0][1]
    trace = figures[f"{metrics.index('ARI (k-means)')},0"]["data"][0]
    row = trace["y"].index("vae")
    mean = results[(results["method"] == "vae") & (results["dataset"] == "pbmc68k")]
    column = trace["x"].index("pbmc68k")
    assert trace["z"][row][column] == pytest.approx(mean["kmeans/ari"].mean())


def test_metric_without_scale_has_no_scaled_heat_map(results):
    (heat,) = score_drawings(results)["heat"]
    number = heat.selectors[0][1].index("clusters (Leiden)")
    assert f"{number},0" in heat.figures
    assert f"{number},1" not in heat.figures


@pytest.mark.parametrize("cost", ["seconds", "peak_memory_mb"])
def test_points_of_quality_against_cost(results, cost):
    rows = tidy(results[results["dataset"] == "pbmc68k"])
    found = cost_points(rows.assign(family="f"), "kmeans/ari", cost).set_index("method")
    own = rows[rows["method"] == "nmf"]
    assert found.at["nmf", "cost"] == own[cost].median()
    assert found.at["nmf", "mean"] == pytest.approx(own["kmeans/ari"].mean())


def test_leaderboards_by_metric_dataset_and_scale(results):
    from bench.reports.page.score_tables import leaderboard_tables
    from bench.reports.tables.leaderboard import leaderboard

    found = leaderboard_tables(tidy(results))
    metrics, places, scales = (options for _, options in found.selectors)
    key = f"{metrics.index('NMI (k-means)')},{places.index('sim_rna')},{scales.index('raw')}"
    rows = json.loads(found.content)[key]
    heads = [column["text"] for column in rows["columns"]]
    shown = {row[heads.index("method")][0]: row for row in rows["rows"]}
    expected = leaderboard(results[results["dataset"] == "sim_rna"], "kmeans/nmi")
    expected = expected.set_index("method")
    for name, row in shown.items():
        value = (*row[heads.index("NMI (k-means)")], "")[1]
        if value:
            assert float(value) == pytest.approx(expected.at[name, "NMI (k-means)"])
    scaled = json.loads(found.content)["0,0,1"]
    ends = {row[1][0]: float(row[2][1]) for row in scaled["controls"]}
    assert ends["truth"] == pytest.approx(1)
    assert ends["random"] == pytest.approx(0, abs=1e-12)
