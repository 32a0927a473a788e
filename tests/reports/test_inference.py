"""Simultaneous comparisons against other ways to compute them, and their error rates."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.reports.tables.inference import (
    Comparisons,
    compare_datasets,
    compare_seeds,
    letters,
    rank_intervals,
)


def test_two_methods_get_the_interval_of_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.7, 0.1, 12), rng.normal(0.6, 0.02, 9)
    delta, half = compare_seeds({"a": a, "b": b}, error=0.05).interval("a", "b")
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert delta - half == pytest.approx(welch.low, abs=0.003)
    assert delta + half == pytest.approx(welch.high, abs=0.003)


def test_many_methods_of_equal_variance_get_the_interval_of_tukey():
    rng = np.random.default_rng(1)
    values = {f"m{i}": rng.normal(0, 1, 40) for i in range(5)}
    ours = compare_seeds(values, error=0.05).half_width[np.triu_indices(5, 1)].mean()
    theirs = stats.tukey_hsd(*values.values()).confidence_interval(0.95)
    assert ours == pytest.approx((theirs.high - theirs.low)[0, 1] / 2, rel=0.05)


def test_equal_methods_differ_in_at_most_the_stated_share_of_reports():
    rng = np.random.default_rng(2)
    spreads = np.exp(rng.normal(0, 0.7, 12))
    spreads[0] = 0.0
    claims = 0
    for _ in range(200):
        values = {f"m{i}": s * rng.standard_normal(5) for i, s in enumerate(spreads)}
        claims += compare_seeds(values, error=0.05).significant.any()
    # The 0.999 quantile of a binomial of 200 at 5 %.
    assert claims <= stats.binom.ppf(0.999, 200, 0.05)


def test_exact_methods_differ_by_more_than_rounding_or_not_at_all():
    found = compare_seeds({"a": [0.5, 0.5], "b": [0.5 + 1e-9] * 2, "c": [0.6, 0.6]})
    assert not found.differs("a", "b")
    assert found.differs("a", "c")


def test_a_least_variance_keeps_three_agreeing_seeds_from_being_exact():
    values = {"a": [0.70, 0.70, 0.70], "b": [0.6, 0.6, 0.6]}
    assert compare_seeds(values).differs("a", "b")
    least = {"a": 0.01, "b": 0.01}
    assert not compare_seeds(values, least_variance=least).differs("a", "b")


def test_one_seed_claims_nothing():
    found = compare_seeds({"a": [0.9], "b": [0.1, 0.2, 0.15]})
    assert math.isnan(found.interval("a", "b")[1])
    assert not found.significant.any()


def test_sign_flips_of_two_methods_are_an_exact_permutation_test():
    rng = np.random.default_rng(3)
    block = pd.DataFrame(rng.normal(0, 1, (2, 9)), index=["a", "b"])
    block.loc["a"] += 0.8
    deltas = (block.loc["a"] - block.loc["b"]).to_numpy()
    # The studentized mean of flipped values grows with their sum, so the sums give the same p.
    sums = [abs(np.dot(signs, deltas)) for signs in product((1, -1), repeat=9)]
    p = np.mean([one >= abs(deltas.sum()) - 1e-12 for one in sums])
    for error in (p / 2, p + 0.02):
        found = compare_datasets(block, error=error)
        assert found is not None
        assert found.differs("a", "b") == (error > p)


def test_fewer_than_six_datasets_claim_nothing():
    block = pd.DataFrame(np.tile([[0.9], [0.1]], 5), index=["a", "b"])
    assert compare_datasets(block) is None
    six = pd.DataFrame(np.tile([[0.9], [0.1]], 6), index=["a", "b"])
    found = compare_datasets(six + np.linspace(0, 0.01, 6))
    assert found is not None
    assert found.differs("a", "b")


def test_letters_join_what_does_not_differ():
    difference = np.array([[0, 1, 2, 3], [-1, 0, 1, 2], [-2, -1, 0, 1], [-3, -2, -1, 0.0]])
    found = Comparisons(tuple("abcd"), difference, np.full((4, 4), 1.5))
    # a and b, b and c, c and d lie within 1.5; all others are further apart.
    assert letters(found, list("abcd")) == {"a": "a", "b": "ab", "c": "bc", "d": "c"}


def test_a_method_first_everywhere_has_rank_one():
    ranks = pd.DataFrame([[1] * 6, [2, 3] * 3, [3, 2] * 3], index=list("abc"))
    assert rank_intervals(ranks.iloc[:, :5]) == {}
    found = rank_intervals(ranks)
    assert found["a"] == (1, 1)
    assert found["b"] == (2, 3)
