"""The numbers in the page's figures, computed a second time from the store."""

from __future__ import annotations

import json
import re
import sqlite3
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

DATASETS = ("one", "two", "three", "four", "five", "six")
METHODS = ("pca", "vae", "nmf", "ae", "random", "truth")
ARI = "kmeans/ari"


@pytest.mark.parametrize("number", range(6))
def test_every_seed(page, stored, number):
    found = [
        re.fullmatch(r"(\w+), seed (\d): ([-\d.]+)", t) for t in page.tips("seeds", str(number))
    ]
    shown = {(one[1], int(one[2])): float(one[3]) for one in found if one}
    dataset = DATASETS[number]
    expected = {
        (name, seed): value for name in METHODS
        for seed, value in stored.get((ARI, dataset, name), {}).items()
    }  # fmt: skip
    assert shown == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(("number", "cost"), [(0, "seconds"), (1, "peak_memory_mb")])
def test_quality_against_cost(page, stored, number, cost):
    pattern = re.compile(r"(\w+): ([\d.e+]+) (?:s|MiB), ARI \(k-means\) ([\d.]+), ± ([\d.]+)")
    for i, dataset in enumerate(DATASETS):
        own = {}
        for name in ("pca", "vae", "nmf", "ae"):
            if (ARI, dataset, name) in stored:
                values = list(stored[ARI, dataset, name].values())
                half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
                spent = np.median(list(stored[cost, dataset, name].values()))
                own[name] = (spent, np.mean(values), half)
        found = [pattern.fullmatch(text) for text in page.tips("quality", f"{i},{number}")]
        assert {one[1] for one in found} == set(own)
        for one in found:
            spent, mean, half = own[one[1]]
            assert float(one[2]) == pytest.approx(spent, rel=6e-3)
            assert [float(one[3]), float(one[4])] == pytest.approx([mean, half], abs=6e-4)
        best = {
            name for name, (x, y, _) in own.items()
            if not any(a <= x and b >= y and (a, b) != (x, y) for a, b, _ in own.values())
        }  # fmt: skip
        front = page.version("quality", f"{i},{number}").count('class="front"')
        assert front == 2 * (len(best) - 1)


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
    html = page.version("curves", f"0,{['pca', 'vae'].index(method)},0")
    places = re.search(r'class="curve s0" d="M([^"]*)"', html)[1].split("L")
    assert len(points) == len(places) == 5
    shown = [[float(part) for part in place.split(" ")] for place in places]
    assert [x for x, _ in shown] == [0, 250, 500, 750, 1000]
    values = np.array([value for _, value in points])
    heights = 1000 - np.array([y for _, y in shown])
    slope = np.ptp(heights) / np.ptp(values)
    assert heights - heights.min() == pytest.approx((values - values.min()) * slope, abs=1.5)


@pytest.mark.parametrize("method", ["pca", "vae"])
def test_confusion(page, store, stored, runs, method):
    run = runs[method, "one", median_seed(stored, method)]
    cells = pd.read_parquet(store / "artifacts" / run / "artifacts" / "clusters.parquet")
    number = {}
    for one, cluster in zip(cells["type"], cells["kmeans"], strict=True):
        number[one, str(cluster)] = number.get((one, str(cluster)), 0) + 1
    content = page.text.split('class="confusion">')[1].split("</script>")[0]
    found = json.loads(content)[f"0,{['pca', 'vae'].index(method)},0"]
    sizes = cells["type"].value_counts()
    assert found["types"] == list(sizes.index)
    for name, counts in zip(found["types"], found["counts"], strict=True):
        assert counts == [number.get((name, cluster), 0) for cluster in found["clusters"]]
    table = np.array(found["counts"])
    k = min(table.shape)
    assert sum(table[i][i] for i in range(k)) == max(
        sum(table[i, j] for i, j in enumerate(chosen))
        for chosen in permutations(range(table.shape[1]), k)
    )
