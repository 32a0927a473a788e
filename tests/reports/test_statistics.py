from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.reports.tables.statistics import (
    average_ranks,
    critical_difference,
    difference,
    friedman,
    mean_of_means,
    t_interval,
    what_ranks_show,
)


def test_t_interval_is_that_of_scipy():
    values = [0.61, 0.64, 0.70, 0.58]
    found = t_interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)
    assert found.n == 4


def test_t_interval_of_three_seeds_by_hand():
    # mean 2, s = 1, t(0.975, 2) = 4.303
    assert t_interval([1, 2, 3]).half_width == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)


def test_one_value_has_no_interval_and_none_no_mean():
    one, none = t_interval([0.5, math.nan]), t_interval([])
    assert (one.mean, one.n) == (0.5, 1)
    assert math.isnan(one.half_width)
    assert math.isnan(none.mean)
    assert none.n == 0


def test_mean_of_one_dataset_is_its_own_interval():
    part = t_interval([0.1, 0.2, 0.4])
    mean, half = mean_of_means([part])
    assert (mean, half) == (pytest.approx(part.mean), pytest.approx(part.half_width))


def test_mean_of_two_datasets_does_not_count_their_distance():
    parts = [t_interval([0.10, 0.12, 0.11]), t_interval([0.90, 0.92, 0.91])]
    mean, half = mean_of_means(parts)
    assert mean == pytest.approx(0.51)
    # s² = 1e-4 in both: error = sqrt(2e-4 / 3) / 2, 4 degrees of freedom, t = 2.776
    assert half == pytest.approx(2.776 * math.sqrt(2e-4 / 3) / 2, rel=1e-3)


def test_mean_of_means_without_spread_or_with_one_seed():
    assert mean_of_means([t_interval([1, 1]), t_interval([1, 1])]) == (1.0, 0.0)
    assert math.isnan(mean_of_means([t_interval([1, 2]), t_interval([1])])[1])
    assert math.isnan(mean_of_means([])[0])


def test_tiny_spread_does_not_underflow():
    parts = [t_interval([0.5, 0.5 + 1e-15]), t_interval([0.5, 0.5])]
    assert mean_of_means(parts)[1] < 1e-12


def test_difference_is_welchs():
    a, b = [0.7, 0.72, 0.75], [0.6, 0.66, 0.61]
    delta, half = difference(t_interval(a), t_interval(b))
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert delta - half == pytest.approx(welch.low)
    assert delta + half == pytest.approx(welch.high)


def test_average_ranks_share_ties():
    scores = pd.DataFrame({"d1": [0.9, 0.5, 0.5], "d2": [0.1, 0.2, 0.3]}, index=list("abc"))
    assert average_ranks(scores).to_dict() == {"a": 2.0, "b": 2.25, "c": 1.75}
    assert average_ranks(scores, higher_is_better=False)["a"] == 2.0


def test_ranks_refuse_gaps():
    with pytest.raises(ValueError, match="complete blocks"):
        average_ranks(pd.DataFrame({"d": [0.1, math.nan]}))


def test_friedman_is_that_of_scipy():
    scores = pd.DataFrame(np.random.default_rng(0).random((4, 6)))
    expected = stats.friedmanchisquare(*scores.to_numpy())
    assert friedman(scores) == pytest.approx((expected.statistic, expected.pvalue))
    assert friedman(scores.iloc[:, :2]) is None
    assert friedman(scores * 0) is None


def test_critical_difference_is_that_of_demsar():
    # Demšar 2006, section 3.2.2: q = 2.569 for four methods; CD = 2.569 sqrt(4·5 / (6·14))
    assert critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(20 / 84), abs=2e-3)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((0, 0), "nothing to rank"),
        ((1, 3), "nothing to rank"),
        ((8, 1), "no test is made"),
        ((8, 2), "no test is made"),
        ((2, 5), "needs 6 datasets"),
        ((2, 6), "Wilcoxon signed-rank"),
        ((8, 3), "Friedman"),
    ],
)
def test_few_datasets_are_said_to_show_nothing(shape, said):
    scores = pd.DataFrame(np.random.default_rng(1).random(shape))
    assert said in what_ranks_show(scores)


def test_two_methods_equal_everywhere():
    scores = pd.DataFrame(np.ones((2, 7)))
    assert "equal on every dataset" in what_ranks_show(scores)


def test_nemenyi_that_cannot_be_reached_is_said():
    scores = pd.DataFrame([[0.9] * 3, [0.8] * 3, [0.7] * 3, [0.6] * 3, [0.5] * 3, [0.4] * 3] * 2)
    scores += np.arange(12)[:, None] * 1e-3
    text = what_ranks_show(scores.sample(frac=1, random_state=0))
    assert "Friedman" in text
    assert "critical difference" in text or "differ significantly from" in text
