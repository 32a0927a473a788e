"""Verdicts and limits, without running anything."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.baseline.baseline_file import Baseline
from bench.baseline.verdicts import (
    CurrentRun,
    GateFinding,
    JobScores,
    compare_run,
    exit_code,
    seed_limit,
)

SEEDS = (0, 1, 2, 3, 4)
DATA = {"select": "toy", "n_cells": 9, "n_features": 5, "n_types": 3, "counts": "c", "labels": "l"}


def make(values: tuple[float, ...], metric: str = "kmeans/ari", **more: Any) -> Baseline:
    entry = {
        "method": "m", "dataset": "d", "protocol": "default", "control": False,
        "environment": "here", "source": "s", "tolerance": 1e-6, "seeds": SEEDS[: len(values)],
        "values": {metric: values},
    }  # fmt: skip
    content = {
        "format": 1,
        "settings": {"seeds": SEEDS, "profile": "quick", "threads": 1, "device": "cpu"},
        "metrics": [metric],
        "datasets": {"d": DATA},
        "environments": {"here": {"processor": "p"}},
        "entries": [entry | more],
    }
    return Baseline.model_validate(content)


def judge(baseline: Baseline, values: tuple[float, ...], where: str = "here") -> GateFinding:
    (metric,) = baseline.metrics
    jobs = {
        ("m", "d", "default", seed): JobScores("done", values={metric: value})
        for seed, value in enumerate(values)
    }
    (finding,) = compare_run(baseline, CurrentRun(where, SEEDS, jobs, dict(baseline.datasets)))
    return finding


BEFORE = (0.70, 0.72, 0.71, 0.69, 0.73)


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (BEFORE, "pass"),
        ((0.70, 0.72, 0.71, 0.69, 0.73 + 5e-7), "pass"),
        ((0.70, 0.72, 0.71, 0.69, 0.7299), "regression"),
        ((0.70, 0.72, 0.71, 0.69, 0.74), "improved"),
        ((0.72, 0.70, 0.71, 0.69, 0.73), "changed"),
    ],
)
def test_in_the_same_environment_equal_code_gives_equal_numbers(now, verdict):
    finding = judge(make(BEFORE), now)
    assert (finding.verdict, finding.tier) == (verdict, "same environment")


def test_the_tolerance_of_a_method_is_in_the_file():
    now = (*BEFORE[:4], BEFORE[4] - 5e-5)
    assert judge(make(BEFORE), now).verdict == "regression"
    assert judge(make(BEFORE, tolerance=1e-4), now).verdict == "pass"


def test_elsewhere_the_limit_is_that_of_a_two_sample_test():
    limit = judge(make(BEFORE), BEFORE, "there").limit
    spread = np.std(BEFORE, ddof=1)
    assert limit == pytest.approx(stats.t.ppf(0.99, 8) * spread * sqrt(2 / 5), rel=1e-9)
    assert judge(make(BEFORE), tuple(v - limit + 1e-9 for v in BEFORE), "there").verdict == "pass"
    worse = judge(make(BEFORE), tuple(v - limit - 1e-9 for v in BEFORE), "there")
    assert (worse.verdict, worse.reason) == ("regression", "worse than seeds explain")
    better = judge(make(BEFORE), tuple(v + limit + 1e-9 for v in BEFORE), "there")
    assert better.verdict == "improved"


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.08])
def test_the_limit_decides_like_scipy(shift: float):
    rng = np.random.default_rng(1)
    for _ in range(50):
        before, now = rng.normal(0.5, 0.03, 5), rng.normal(0.5 - shift, 0.05, 4)
        p = stats.ttest_ind(before, now, alternative="greater").pvalue
        limit = seed_limit(before, now, alpha=0.01, floor=0.0)
        assert (before.mean() - now.mean() > limit) == (p < 0.01)


def test_the_floor_keeps_equal_seeds_from_alarming():
    flat = (0.5,) * 5
    assert judge(make(flat), (0.481,) * 5, "there").verdict == "pass"
    assert judge(make(flat), (0.479,) * 5, "there").verdict == "regression"


def test_bonferroni_counts_the_comparisons_elsewhere():
    one = make(BEFORE)
    entries = tuple(one.entries[0].model_copy(update={"method": f"m{i}"}) for i in range(50))
    jobs = {
        (f"m{i}", "d", "default", seed): JobScores("done", values={"kmeans/ari": value})
        for i in range(50)
        for seed, value in enumerate(BEFORE)
    }
    many = one.model_copy(update={"entries": entries})
    found = compare_run(many, CurrentRun("there", SEEDS, jobs, dict(one.datasets)))
    expected = seed_limit(BEFORE, BEFORE, alpha=0.01 / 50)
    assert {finding.limit for finding in found} == {expected}
    assert expected > seed_limit(BEFORE, BEFORE, alpha=0.01)


def test_controls_may_not_move_either_way():
    noise = (-0.001, 0.002, 0.0, 0.001, -0.002)
    control = make(noise, control=True)
    assert judge(control, tuple(v + 0.01 for v in noise), "there").verdict == "pass"
    leak = judge(control, tuple(v + 0.1 for v in noise), "there")
    assert (leak.verdict, leak.reason) == ("regression", "a control moved")
    assert judge(control, tuple(v + 0.1 for v in noise)).verdict == "regression"
    truth = make((1.0,) * 5, control=True)
    assert judge(truth, (1.0,) * 5, "there").verdict == "pass"
    assert judge(truth, (1.0, 1.0, 1.0, 1.0, 0.999), "there").verdict == "regression"


def test_one_seed_cannot_be_judged_elsewhere():
    finding = judge(make((0.7,)), (0.1,), "there")
    assert finding.verdict == "missing"
    assert "one seed: no spread" in finding.reason
    assert judge(make((0.7,)), (0.7,)).verdict == "pass"


def test_failed_absent_and_missing_have_their_own_verdicts():
    baseline = make(BEFORE)
    data = dict(baseline.datasets)
    good = {
        ("m", "d", "default", s): JobScores("done", values={"kmeans/ari": 0.7}) for s in SEEDS
    }  # fmt: skip
    place = ("m", "d", "default", 2)
    cases = [
        (
            good | {place: JobScores("oom", "0.5 GiB")},
            "failed",
            "seed 2: oom: 0.5 GiB; 1 of 5 seeds",
        ),
        ({k: v for k, v in good.items() if k != place}, "missing", "no result"),
        (
            good | {place: JobScores("done", missing={"kmeans/ari": "one type"})},
            "missing",
            "seed 2: one type",
        ),
    ]
    for jobs, verdict, part in cases:
        (finding,) = compare_run(baseline, CurrentRun("here", SEEDS, jobs, data))
        assert finding.verdict == verdict
        assert part in finding.reason
        assert exit_code([finding]) == 3
    (finding,) = compare_run(
        baseline, CurrentRun("here", SEEDS, good, data, excluded={("m", "d"): "no batch"})
    )
    assert (finding.verdict, finding.reason) == ("missing", "no batch")


@pytest.mark.parametrize("seeds", [SEEDS[:-1], (7, 8), (*SEEDS[1:], 9)])
def test_seeds_that_are_left_out_are_missing(seeds: tuple[int, ...]):
    baseline = make(BEFORE)
    jobs = {("m", "d", "default", s): JobScores("done", values={"kmeans/ari": 0.7}) for s in seeds}
    run = CurrentRun("here", seeds, jobs, dict(baseline.datasets))
    (finding,) = compare_run(baseline, run)
    assert finding.verdict == "missing"
    assert exit_code([finding]) == 3


def test_changed_data_are_judged_by_the_spread_of_seeds():
    baseline = make(BEFORE)
    data = {"d": baseline.datasets["d"].model_copy(update={"counts": "other"})}
    jobs = {
        ("m", "d", "default", s): JobScores("done", values={"kmeans/ari": v})
        for s, v in enumerate(BEFORE)
    }
    (finding,) = compare_run(baseline, CurrentRun("here", SEEDS, jobs, data))
    assert (finding.verdict, finding.tier, finding.reason) == ("pass", "seeds", "other data")


def test_a_regression_outweighs_what_is_incomplete():
    passed = GateFinding("m", "d", "default", "kmeans/ari", "pass")
    verdicts = {name: replace(passed, verdict=name) for name in ("missing", "failed", "changed")}
    bad = replace(passed, verdict="regression")
    assert exit_code([passed, verdicts["changed"]]) == 0
    assert exit_code([passed, verdicts["missing"]]) == 3
    assert exit_code([bad, verdicts["failed"]]) == 1
