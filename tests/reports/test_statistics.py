from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.reports.tables.statistics import mean_of_means, ranks_by_dataset, t_interval


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


def test_ranks_share_ties():
    scores = pd.DataFrame({"d1": [0.9, 0.5, 0.5], "d2": [0.1, 0.2, 0.3]}, index=list("abc"))
    assert ranks_by_dataset(scores).mean(axis=1).to_dict() == {"a": 2.0, "b": 2.25, "c": 1.75}
    assert ranks_by_dataset(scores, higher_is_better=False).mean(axis=1)["a"] == 2.0


def test_failed_seeds_rank_behind_whatever_the_mean():
    scores = pd.DataFrame({"d1": [0.9, 0.5, 0.1]}, index=list("abc"))
    failures = pd.DataFrame({"d1": [2, 0, 1]}, index=list("abc"))
    assert ranks_by_dataset(scores, failures)["d1"].to_dict() == {"a": 3, "b": 1, "c": 2}


def test_ranks_refuse_gaps():
    with pytest.raises(ValueError, match="complete blocks"):
        ranks_by_dataset(pd.DataFrame({"d": [0.1, math.nan]}))
