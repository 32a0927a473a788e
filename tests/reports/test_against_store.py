"""The tables of the page, computed a second time from the database that MLflow wrote."""

from __future__ import annotations

import math
import re
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

DATASETS = ("one", "two", "three", "four", "five", "six")
COMPLETE = ("pca", "vae", "ae")
"""Methods that compete and have a value on every dataset."""
ARI, NMI, LEIDEN, SECONDS, MEMORY = (
    "kmeans/ari", "kmeans/nmi", "leiden/ari", "seconds", "peak_memory_mb"
)  # fmt: skip

HEADINGS = {"ARI (k-means)": ARI, "NMI (k-means)": NMI, "ARI (Leiden)": LEIDEN}
CONTROLS = ("random", "truth")


def half_width(values: list[float]) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def block(stored, key: str) -> np.ndarray:
    """Means of methods × datasets."""
    return np.array(
        [[np.mean(list(stored[key, d, name].values())) for d in DATASETS] for name in COMPLETE]
    )


def ranks_on(stored, key: str, dataset: str, names) -> dict[str, float]:
    """Ranks of methods by their means; one with a failed seed is behind all without."""
    values = {name: list(stored[key, dataset, name].values()) for name in names}
    most = max(map(len, values.values()))
    order = {name: -np.mean(part) + 100 * (most - len(part)) for name, part in values.items()}
    return dict(zip(names, stats.rankdata(list(order.values()), "min"), strict=True))


def shown(page, number: int) -> dict[str, dict]:
    """The rows of the table picture by method: of all datasets (0) or of one."""
    return {row["method"][0]: row for row in page.table(f"overview-{number}")}


@pytest.mark.parametrize("number", range(1, 7))
def test_scores_of_each_dataset(page, stored, number):
    rows, dataset = shown(page, number), DATASETS[number - 1]
    assert set(rows) == {"pca", "vae", "nmf", "ae", "random", "truth"}
    for method, row in rows.items():
        for heading, key in HEADINGS.items():
            values = list(stored.get((key, dataset, method), {}).values())
            text, sort, _ = row[heading]
            if not values:
                assert (method, dataset, text, sort) == ("nmf", "six", "–", "")
                continue
            assert float(sort) == pytest.approx(np.mean(values))
            mean, _, half = text.partition("±")
            assert mean.startswith("(") == ((method, dataset) == ("ae", "two"))
            mean = mean.strip("()")
            assert float(mean) == pytest.approx(np.mean(values), abs=6e-4)
            assert float(half) == pytest.approx(half_width(values), abs=6e-4)
            low, high = (np.mean(list(stored[key, dataset, n].values())) for n in CONTROLS)
            share = 100 * (np.mean(values) - low) / (high - low)
            assert row[heading][2] == f"--v:{round(min(max(share, 0), 100))}%"


@pytest.mark.parametrize("number", range(1, 7))
def test_ranks_and_failures_of_each_dataset(page, stored, number):
    rows, dataset = shown(page, number), DATASETS[number - 1]
    names = [n for n in rows if n not in ("random", "truth") and (ARI, dataset, n) in stored]
    ranks = ranks_on(stored, ARI, dataset, names)
    for name, row in rows.items():
        assert row["rank"][0] == (f"{ranks[name]:.0f}" if name in ranks else "–")
        lost = {("ae", "two"): "1 of 3", ("nmf", "six"): "2 of 2"}.get((name, dataset), "0")
        assert row["failed"][0] == lost


def test_all_datasets(page, stored):
    by_dataset = [ranks_on(stored, ARI, dataset, COMPLETE) for dataset in DATASETS]
    ranks = {name: float(np.mean([one[name] for one in by_dataset])) for name in COMPLETE}
    rows = shown(page, 0)
    assert set(rows) == {"pca", "vae", "nmf", "ae", "random", "truth"}
    for name, row in rows.items():
        assert row["failed"][0] == {"nmf": "2 of 14", "ae": "1 of 14"}.get(name, "0")
        costs = {
            one: [v for d in DATASETS for v in stored.get((one, d, name), {}).values()]
            for one in (SECONDS, MEMORY)
        }
        assert float(row["time (s)"][1]) == pytest.approx(np.median(costs[SECONDS]))
        assert float(row["peak memory (MiB)"][1]) == pytest.approx(max(costs[MEMORY]))
        for heading, key in {"ARI (k-means)": ARI, "NMI (k-means)": NMI}.items():
            parts = [list(stored.get((key, d, name), {}).values()) for d in DATASETS]
            if name == "nmf":  # no mean over the datasets that are left
                assert row[heading][0] == "–"
                assert "nmf : no mean, not ranked: failed: broken (six)" in page.section("answer")
                continue
            assert float(row[heading][1]) == pytest.approx(np.mean([np.mean(p) for p in parts]))
            variances = [np.var(part, ddof=1) / len(part) for part in parts]
            if name != "truth":
                freedom = sum(variances) ** 2 / sum(
                    v**2 / (len(part) - 1) for v, part in zip(variances, parts, strict=True)
                )
                half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(variances)) / 6
                assert float(row[heading][0].split("±")[1].strip(")")) == pytest.approx(
                    half, abs=6e-4
                )
        if name in ranks:
            assert row["rank"][0] == str(sorted(ranks.values()).index(ranks[name]) + 1)
        for dataset in DATASETS:
            values = list(stored.get((ARI, dataset, name), {}).values())
            if values:
                assert float(row[dataset][1]) == pytest.approx(np.mean(values))


def test_pairs_on_one_dataset(page, stored):
    rows = [list(row.values()) for row in page.table("pair-table-1")]
    assert len(rows) == 6
    for row in rows:
        one, two = stored[ARI, "one", row[0][0]], stored[ARI, "one", row[1][0]]
        delta = np.mean(list(one.values())) - np.mean(list(two.values()))
        assert float(row[2][1]) == pytest.approx(delta)
        low, high = (float(x) for x in re.findall(r"[+-][\d.]+", row[3][0]))
        assert (low + high) / 2 == pytest.approx(delta, abs=1e-3)
        # Wider than Welch's interval of this pair alone.
        welch = stats.ttest_ind(list(one.values()), list(two.values()), equal_var=False)
        assert high - low > np.ptp(welch.confidence_interval(0.95))
        assert (row[4][0] == "yes") == (low > 0 or high < 0)


def test_pairs_over_all_datasets(page, stored):
    rows = [list(row.values()) for row in page.table("pair-table-0")]
    pairs = {frozenset((row[0][0], row[1][0])) for row in rows}
    assert pairs == {frozenset(two) for two in combinations(COMPLETE, 2)}
    means = dict(zip(COMPLETE, block(stored, ARI), strict=True))
    for row in rows:
        deltas = means[row[0][0]] - means[row[1][0]]
        assert float(row[2][1]) == pytest.approx(deltas.mean())
        if "ae" in (row[0][0], row[1][0]):
            assert row[3][0] == "–"  # it failed a seed that others finished
            continue
        # Of two methods a flip of all signs is the same: 2 of 64 are as extreme as equal signs.
        low, high = (float(x) for x in re.findall(r"[+-][\d.]+", row[3][0]))
        assert (row[4][0] == "yes") == (low > 0 or high < 0)
        assert (row[4][0] == "yes") == bool((deltas > 0).all() or (deltas < 0).all())


def test_first_sentences(page, stored):
    text = page.section("answer").replace("\n", " ")
    for dataset in DATASETS:
        names = [n for n in ("pca", "vae", "nmf", "ae") if (ARI, dataset, n) in stored]
        ranks = ranks_on(stored, ARI, dataset, names)
        values = list(stored[ARI, dataset, min(ranks, key=ranks.get)].values())
        assert f"{np.mean(values):.3f} ± {half_width(values):.3f} ({len(values)} seeds)" in text


def test_published_minus_ours(page, stored):
    (row,) = page.table("published-1")
    for name, key, theirs, column in (
        ("ARI", ARI, 0.5, "difference"), ("NMI", NMI, 0.6, "difference #2")
    ):  # fmt: skip
        values = list(stored[key, "one", "vae"].values())
        assert float(row[f"{name}, ours"][1]) == pytest.approx(np.mean(values))
        assert f"± {half_width(values):.3f}" in row[f"{name}, ours"][0]
        assert float(row[column][1]) == pytest.approx(np.mean(values) - theirs)


def test_failures(page, runs):
    failed = {("ae", "two", 1), ("nmf", "six", 0), ("nmf", "six", 1)}
    assert f"{len(runs) - 3} jobs done, 3 failed" in page.text
    text = page.section("failures")
    for method, dataset, seed in failed:
        assert f"{method} {dataset} {seed} failed broken end of the log line 9 of {method}" in text
    assert text.count("broken") == 3


def test_every_job_with_its_run(page, stored, runs):
    rows = page.table("job-table")
    assert len(rows) == len(runs) == 84
    left = dict(runs)
    for row in rows:
        method, dataset, seed = row["method"][0], row["dataset"][0], int(row["seed"][0])
        run = left.pop((method, dataset, seed))
        assert row["MLflow run"][:2] == [run[:8], run]
        assert f"/runs/{run}?workflowType=machine_learning" in page.text
        values = stored.get((ARI, dataset, method), {})
        if seed in values:
            assert float(row["ARI (k-means)"][1]) == values[seed]
            assert float(row["time (s)"][1]) == stored[SECONDS, dataset, method][seed]
        else:
            assert row["status"][0] == "failed"
            assert row["ARI (k-means)"][0] == "–"
    assert left == {}
