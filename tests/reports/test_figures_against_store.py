"""The numbers in the page's figures, computed a second time from the store."""

from __future__ import annotations

import sqlite3
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

DATASETS = ("one", "two", "three", "four", "five", "six")
METHODS = ("pca", "vae", "nmf", "ae", "random", "truth")
ARI = "kmeans/ari"


@pytest.mark.parametrize(("variant", "key"), [("0", ARI), ("1", "kmeans/nmi")])
@pytest.mark.parametrize("scaled", [False, True])
def test_heat_map(page, stored, variant, key, scaled):
    trace = page.figure("heat")[f"{variant},{int(scaled)}"]["data"][0]
    assert set(trace["y"]) == set(METHODS)
    assert trace["y"][-2:] == ["truth", "random"]
    for name, row in zip(trace["y"], trace["z"], strict=True):
        for dataset, value in zip(trace["x"], row, strict=True):
            if (name, dataset) == ("nmf", "six"):
                assert value is None
                continue
            mean, low, high = (
                np.mean(list(stored[key, dataset, one].values()))
                for one in (name, "random", "truth")
            )
            assert value == pytest.approx((mean - low) / (high - low) if scaled else mean)


@pytest.mark.parametrize("number", range(6))
def test_strips(page, stored, number):
    means, seeds = page.figure(f"strip-{number}")[""]["data"]
    dataset = DATASETS[number]
    own = {name: stored[ARI, dataset, name] for name in METHODS if (ARI, dataset, name) in stored}
    assert set(means["y"]) == set(own)
    for name, x in zip(means["y"], means["x"], strict=True):
        assert x == pytest.approx(np.mean(list(own[name].values())))
    points = zip(seeds["y"], seeds["customdata"], seeds["x"], strict=True)
    shown = {(name, int(seed)): x for name, seed, x in points}
    assert shown == {(name, s): v for name, values in own.items() for s, v in values.items()}


@pytest.mark.parametrize(("number", "cost"), [(0, "seconds"), (1, "peak_memory_mb")])
def test_quality_against_cost(page, stored, number, cost):
    figures = page.figure("quality")
    for i, dataset in enumerate(DATASETS):
        front, *families = figures[f"{i},{number}"]["data"]
        (family,) = families
        own = {}
        for name in ("pca", "vae", "nmf", "ae"):
            if (ARI, dataset, name) in stored:
                values = list(stored[ARI, dataset, name].values())
                half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
                spent = np.median(list(stored[cost, dataset, name].values()))
                own[name] = (spent, np.mean(values), half)
        names = [one[0] for one in family["customdata"]]
        points = zip(names, family["x"], family["y"], family["error_y"]["array"], strict=True)
        shown = {name: (x, y, half) for name, x, y, half in points}
        assert set(shown) == set(own)
        for name, found in shown.items():
            assert found == pytest.approx(own[name])
        best = {
            name for name, (x, y, _) in own.items()
            if not any(a <= x and b >= y and (a, b) != (x, y) for a, b, _ in own.values())
        }  # fmt: skip
        expected = sorted(own[name][:2] for name in best)
        found = list(zip(front["x"], front["y"], strict=True))
        assert np.array(found) == pytest.approx(np.array(expected))


def median_seed(stored, method: str) -> int:
    values = stored[ARI, "one", method]
    return sorted(values, key=values.__getitem__)[1]


@pytest.mark.parametrize("method", ["pca", "vae"])
def test_curves(page, store, stored, runs, method):
    with sqlite3.connect(store / "mlflow.db") as base:
        points = base.execute(
            "select step, value from metrics where run_uuid = ? and key = 'epoch/loss' "
            "order by step", [runs[method, "one", median_seed(stored, method)]],
        ).fetchall()  # fmt: skip
    figure = page.figure("curves")[f"0,{['pca', 'vae'].index(method)}"]
    (curve,) = figure["data"]
    assert len(points) == 5
    assert curve["x"] == [step for step, _ in points]
    assert curve["y"] == pytest.approx([value for _, value in points], rel=1e-5)


@pytest.mark.parametrize("method", ["pca", "vae"])
def test_confusion(page, store, stored, runs, method):
    run = runs[method, "one", median_seed(stored, method)]
    cells = pd.read_parquet(store / "artifacts" / run / "artifacts" / "clusters.parquet")
    number = {}
    for one, cluster in zip(cells["type"], cells["kmeans"], strict=True):
        number[one, str(cluster)] = number.get((one, str(cluster)), 0) + 1
    trace = page.figure("confusion")[f"0,{['pca', 'vae'].index(method)},0"]["data"][0]
    sizes = cells["type"].value_counts()
    assert [row.split(" (")[0] for row in trace["y"]] == list(sizes.index)
    columns = trace["x"]
    for name, shares, counts in zip(sizes.index, trace["z"], trace["customdata"], strict=True):
        expected = [number.get((name, column), 0) for column in columns]
        assert counts == expected
        assert shares == pytest.approx([100 * n / sizes[name] for n in expected], abs=0.05)
    diagonal = sum(trace["customdata"][i][i] for i in range(min(len(sizes), len(columns))))
    table = np.array(trace["customdata"])
    k = min(table.shape)
    assert diagonal == max(
        sum(table[i, j] for i, j in enumerate(chosen))
        for chosen in permutations(range(table.shape[1]), k)
    )
