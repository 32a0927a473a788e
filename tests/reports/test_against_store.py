"""Every number of the page, computed a second time from the database that MLflow wrote."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

METHODS = {"pca": 0.6, "vae": 0.7, "nmf": 0.5, "ae": 0.65, "random": 0.0, "truth": 1.0}
DATASETS = {"one": 0.0, "two": -0.1, "three": 0.05}
KEYS = ("kmeans/ari", "kmeans/nmi", "leiden/ari", "seconds", "peak_memory_mb")


def _value(rng: np.random.Generator, method: str, dataset: str, key: str) -> float:
    if key in ("seconds", "peak_memory_mb"):
        return float(rng.uniform(1, 90))
    if method == "truth":
        return 1.0
    shift = 0 if method == "random" else DATASETS[dataset]
    return METHODS[method] + shift + float(rng.normal()) * 0.03


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A store of synthetic fits, written through MLflow: 6 methods × 3 datasets × 3 seeds."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

    folder = tmp_path_factory.mktemp("results")
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("bench", (folder / "artifacts").as_uri())
    rng = np.random.default_rng(1)
    for method in METHODS:
        family = "control" if method in ("random", "truth") else "model"
        for dataset in DATASETS:
            for seed in range(3):
                failed = (method, dataset, seed) == ("ae", "two", 1)
                tags = {
                    "kind": "job", "method": method, "method_name": method, "family": family,
                    "dataset": dataset, "modality": "rna", "seed": str(seed), "threads": "1",
                    "protocol": "default", "profile": "default", "n_cells": "9",
                    "n_features": "5", "n_types": "2", "score_key": f"{method}-{dataset}-{seed}",
                    "fit_key": "f", "status": "failed" if failed else "done",
                    "reason": "broken" if failed else "", "missing": "{}", "notes": "{}",
                }  # fmt: skip
                run = client.create_run(experiment, run_name=method).info.run_id
                values = {} if failed else {k: _value(rng, method, dataset, k) for k in KEYS}
                values |= {"epoch/loss": 0.25} if method == "vae" else {}
                client.log_batch(
                    run, [Metric(k, v, 0, 0) for k, v in values.items()],
                    tags=[RunTag(*one) for one in tags.items()],
                )  # fmt: skip
                client.set_terminated(run, "FAILED" if failed else "FINISHED")
    return folder


@pytest.fixture(scope="module")
def stored(results) -> dict[tuple[str, str, str], dict[int, float]]:
    """(metric, dataset, method) → seed → value, read with SQL alone."""
    with sqlite3.connect(results / "mlflow.db") as base:
        rows = base.execute(
            "select m.key, d.value, n.value, s.value, m.value from latest_metrics m "
            "join tags d on d.run_uuid = m.run_uuid and d.key = 'dataset' "
            "join tags n on n.run_uuid = m.run_uuid and n.key = 'method' "
            "join tags s on s.run_uuid = m.run_uuid and s.key = 'seed'"
        )
        found: dict[tuple[str, str, str], dict[int, float]] = {}
        for key, dataset, method, seed, value in rows:
            found.setdefault((key, dataset, method), {})[int(seed)] = value
    return found


@pytest.fixture(scope="module")
def page(results) -> str:
    from bench.config import load_settings
    from bench.report import write_report
    from bench.results import load

    settings = load_settings({"results": results})
    path = write_report(
        load(results), results / "reports" / "all", settings, lambda text: None, umap=False
    )
    return path.read_text(encoding="utf-8")


class Rows(HTMLParser):
    """The rows of one table: text and sort key of each cell."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self.wanted, self.inside, self.cell = table, False, False
        self.rows: list[list[list[str]]] = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag == "table":
            self.inside = named.get("id") == self.wanted
        elif self.inside and tag == "tr":
            self.rows.append([])
        elif self.inside and tag in ("th", "td"):
            self.rows[-1].append(["", named.get("data-sort", "")])
            self.cell = True

    def handle_endtag(self, tag):
        if tag == "table":
            self.inside = False
        self.cell = self.cell and tag not in ("th", "td")

    def handle_data(self, data):
        if self.inside and self.cell:
            self.rows[-1][-1][0] += data.strip()


def table(page: str, name: str) -> list[dict[str, list[str]]]:
    parser = Rows(name)
    parser.feed(page)
    heads = [text.replace("‑", "-") for text, _ in parser.rows[0]]
    return [dict(zip(heads, row, strict=True)) for row in parser.rows[1:] if len(row) > 1]


def choices(page: str, name: str) -> dict:
    found = re.search(rf'class="choices" data-for="{name}">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1))


def half_width(values: list[float]) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def test_scores(page, stored):
    shown = table(page, "score-table")
    assert len(shown) == 18
    columns = {"ARI (k-means)": KEYS[0], "NMI (k-means)": KEYS[1], "ARI (Leiden)": KEYS[2]}
    columns |= {"time (s)": KEYS[3], "peak memory (MiB)": KEYS[4]}
    for row in shown:
        for heading, key in columns.items():
            values = list(stored[key, row["dataset"][0], row["method"][0]].values())
            text, sort = row[heading]
            assert float(sort) == pytest.approx(np.mean(values))
            if key.endswith(("ari", "nmi")):
                mean, _, half = text.partition(" ± ")
                assert float(mean) == pytest.approx(np.mean(values), abs=6e-4)
                assert float(half) == pytest.approx(half_width(values), abs=6e-4)


def mean_ranks(stored, key: str) -> dict[str, float]:
    names = [name for name in METHODS if name not in ("random", "truth")]
    means = np.array(
        [[np.mean(list(stored[key, d, name].values())) for d in DATASETS] for name in names]
    )
    ranks = stats.rankdata(-means, axis=0).mean(axis=1)
    return dict(zip(names, ranks, strict=True))


@pytest.mark.parametrize(("number", "key"), [(0, "kmeans/ari"), (1, "kmeans/nmi")])
def test_leaderboard(page, stored, number, key):
    grid = choices(page, "leaderboard")[f"{number},0,0"]
    heads = [column["text"] for column in grid["columns"]]
    ranks = mean_ranks(stored, key)
    shown = {row[heads.index("method")][0]: row for row in grid["rows"] + grid["controls"]}
    assert set(shown) == set(METHODS)
    for name, row in shown.items():
        parts = [list(stored[key, dataset, name].values()) for dataset in DATASETS]
        mean = np.mean([np.mean(part) for part in parts])
        assert float(row[2][1]) == pytest.approx(mean)
        variances = [np.var(part, ddof=1) / len(part) for part in parts]
        if name != "truth":
            freedom = sum(variances) ** 2 / sum(
                v**2 / (len(part) - 1) for v, part in zip(variances, parts, strict=True)
            )
            half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(variances)) / 3
            assert float(row[3][1]) == pytest.approx(half)
        if name in ranks:
            assert float(row[heads.index("mean rank")][1]) == pytest.approx(ranks[name])
    if number == 0:
        first = table(page, "leaderboard")
        assert [row["method"][0] for row in first] == list(shown)


def test_pairs_on_one_dataset(page, stored):
    grids = choices(page, "pair-table")
    rows = grids["1"]["rows"]
    assert len(rows) == 6
    for row in rows:
        one, two = stored[KEYS[0], "one", row[0][0]], stored[KEYS[0], "one", row[1][0]]
        deltas = [one[seed] - two[seed] for seed in set(one) & set(two)]
        assert float(row[2][1]) == pytest.approx(np.mean(deltas))
        assert float(row[6][1]) == pytest.approx(stats.ttest_1samp(deltas, 0).pvalue)
    p = sorted(float(row[6][1]) for row in rows)
    holm = np.minimum(np.maximum.accumulate([v * (6 - i) for i, v in enumerate(p)]), 1)
    assert sorted(float(row[7][1]) for row in rows) == pytest.approx(holm.tolist())


def test_heat_map(page, stored):
    found = re.search(r'data-for="plot-heat">(.*?)</script>', page, re.DOTALL)
    figures = json.loads(found.group(1))
    for key, scaled in (("0,0", False), ("0,1", True)):
        trace = figures[key]["data"][0]
        for name, row in zip(trace["y"], trace["z"], strict=True):
            for dataset, value in zip(trace["x"], row, strict=True):
                means = {m: np.mean(list(stored[KEYS[0], dataset, m].values())) for m in METHODS}
                low, high = means["random"], means["truth"]
                expected = (means[name] - low) / (high - low) if scaled else means[name]
                assert value == pytest.approx(expected)


def test_failures_curves_and_links(page, results):
    assert "53 jobs done, 1 failed" in page
    assert 'data-for="plot-curves"' in page
    with sqlite3.connect(results / "mlflow.db") as base:
        runs = [run for (run,) in base.execute("select run_uuid from runs")]
    assert len(runs) == 54
    assert all(f"/runs/{run}" in page for run in runs)
