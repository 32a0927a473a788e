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


def test_scores(page, stored):
    shown = page.table("score-table")
    assert len(shown) == 36
    columns = {"ARI (k-means)": ARI, "NMI (k-means)": NMI, "ARI (Leiden)": LEIDEN}
    columns |= {"time (s)": SECONDS, "peak memory (MiB)": MEMORY}
    for row in shown:
        dataset, method = row["dataset"][0], row["method"][0]
        for heading, key in columns.items():
            values = list(stored.get((key, dataset, method), {}).values())
            text, sort = row[heading]
            if not values:
                assert (method, dataset, text, sort) == ("nmf", "six", "–", "")
                continue
            assert float(sort) == pytest.approx(np.mean(values))
            if key.endswith(("ari", "nmi")):
                mean, _, half = text.partition(" ± ")
                assert float(mean) == pytest.approx(np.mean(values), abs=6e-4)
                assert float(half) == pytest.approx(half_width(values), abs=6e-4)


def test_ranks_and_seeds_of_each_dataset(page, stored):
    rows = page.table("score-table")
    for dataset in DATASETS:
        own = {row["method"][0]: row for row in rows if row["dataset"][0] == dataset}
        names = [n for n in own if n not in ("random", "truth") and (ARI, dataset, n) in stored]
        ranks = ranks_on(stored, ARI, dataset, names)
        for name, row in own.items():
            assert row["rank"][0] == (f"{ranks[name]:.0f}" if name in ranks else "–")
            done = len(stored.get((ARI, dataset, name), {}))
            assert row["seeds"][0] == f"{done} of {3 if dataset in ('one', 'two') else 2}"


@pytest.mark.parametrize(("number", "key"), [(0, ARI), (1, NMI)])
def test_leaderboard(page, stored, number, key):
    grid = page.choices("leaderboard")[f"{number},0,0"]
    heads = [column["text"] for column in grid["columns"]]
    by_dataset = [ranks_on(stored, key, dataset, COMPLETE) for dataset in DATASETS]
    ranks = {name: float(np.mean([one[name] for one in by_dataset])) for name in COMPLETE}
    assert ranks == dict(zip(COMPLETE, [ranks[name] for name in COMPLETE], strict=True))
    rows = [dict(zip(heads, row, strict=False)) for row in grid["rows"] + grid["controls"]]
    shown = {row["method"][0]: row for row in rows}
    assert set(shown) == {"pca", "vae", "nmf", "ae", "random", "truth"}
    for name, row in shown.items():
        parts = [list(stored.get((key, d, name), {}).values()) for d in DATASETS]
        cells = [row[heads[2]], row["± 95 %"]]
        assert row["datasets"][0] == f"{sum(map(bool, parts))} of 6"
        assert row["failed jobs"][0] == {"nmf": "2", "ae": "1"}.get(name, "0")
        costs = {
            one: [v for d in DATASETS for v in stored.get((one, d, name), {}).values()]
            for one in (SECONDS, MEMORY)
        }
        assert float(row["median time (s)"][1]) == pytest.approx(np.median(costs[SECONDS]))
        assert float(row["peak memory (MiB)"][1]) == pytest.approx(max(costs[MEMORY]))
        if name == "nmf":  # no mean over the datasets that are left
            assert [cell[0] for cell in cells] == ["–", "–"]
            assert row["note"][0] == "no mean, not ranked: failed: broken (six)"
            continue
        mean = np.mean([np.mean(part) for part in parts])
        assert float(cells[0][1]) == pytest.approx(mean)
        variances = [np.var(part, ddof=1) / len(part) for part in parts]
        if name != "truth":
            freedom = sum(variances) ** 2 / sum(
                v**2 / (len(part) - 1) for v, part in zip(variances, parts, strict=True)
            )
            half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(variances)) / 6
            assert float(cells[1][1]) == pytest.approx(half)
        if name in ranks:
            assert float(row["mean rank"][1]) == pytest.approx(ranks[name])
            place = sorted(ranks.values()).index(ranks[name]) + 1
            assert row["rank"][0] == str(place)
    if number == 0:
        assert [row["method"][0] for row in page.table("leaderboard")] == list(shown)


def test_leaderboard_between_the_controls(page, stored):
    grids = page.choices("leaderboard")
    for place, chosen in enumerate([DATASETS, *([name] for name in DATASETS)]):
        grid = grids[f"0,{place},1"]
        heads = [column["text"] for column in grid["columns"]]
        for row in grid["rows"] + grid["controls"]:
            name, scaled = row[heads.index("method")][0], []
            for dataset in chosen:
                low, high = (
                    np.mean(list(stored[ARI, dataset, control].values()))
                    for control in ("random", "truth")
                )
                values = list(stored.get((ARI, dataset, name), {}).values())
                if values:
                    scaled.append((np.mean(values) - low) / (high - low))
            shown = row[2] if len(row) > 2 and len(row[2]) > 1 else ["–"]
            if len(scaled) == len(chosen):
                assert float(shown[1]) == pytest.approx(np.mean(scaled), abs=1e-12)
            else:
                assert shown[0] == "–"


def test_pairs_on_one_dataset(page, stored):
    rows = page.choices("pair-table")["1"]["rows"]
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
    rows = page.choices("pair-table")["0"]["rows"]
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


def test_rank_sentence(page):
    assert "3 methods on 6 datasets" in page.section("ranks")


def test_first_sentences(page, stored):
    text = re.sub(r"<[^>]*>", "", page.text.split('<ul class="verdict">')[1].split("</ul>")[0])
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
        assert row["MLflow run"] == [run[:8], run]
        assert f"/runs/{run}" in page.text
        values = stored.get((ARI, dataset, method), {})
        if seed in values:
            assert float(row["ARI (k-means)"][1]) == values[seed]
            assert float(row["time (s)"][1]) == stored[SECONDS, dataset, method][seed]
        else:
            assert row["status"][0] == "failed"
            assert row["ARI (k-means)"][0] == "–"
    assert left == {}
