"""Intervals, ranks and tests. What few datasets cannot show is said, not computed around."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import friedmanchisquare, studentized_range, t, wilcoxon

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
FRIEDMAN_DATASETS = 3
WILCOXON_PAIRS = 6
"""With fewer pairs even the most extreme outcome has a two-sided p above .05."""


@dataclass(frozen=True)
class Interval:
    """A mean with its t-interval."""

    mean: float
    std: float
    n: int
    half_width: float
    """NaN with fewer than two values: one value says nothing about its spread."""


def t_interval(values: Iterable[float], level: float = LEVEL) -> Interval:
    """Return mean, sample standard deviation and Student's t-interval of the finite values."""
    found = np.asarray([v for v in values if math.isfinite(v)], dtype=float)
    n = len(found)
    if n == 0:
        return Interval(math.nan, math.nan, 0, math.nan)
    if n == 1:
        return Interval(float(found[0]), math.nan, 1, math.nan)
    std = float(found.std(ddof=1))
    half = float(t.ppf((1 + level) / 2, n - 1)) * std / math.sqrt(n)
    return Interval(float(found.mean()), std, n, half)


def mean_of_means(parts: Iterable[Interval], level: float = LEVEL) -> tuple[float, float]:
    """Return the mean over datasets and the half width of its t-interval over seeds.

    The datasets are taken as they are: the interval says how far the mean would move with other
    seeds, not with other datasets. Variances s²/n add up, the degrees of freedom are those of
    Welch and Satterthwaite (Satterthwaite 1946). The half width is NaN if a dataset has one seed.
    """
    parts = [part for part in parts if part.n]
    if not parts:
        return math.nan, math.nan
    mean = sum(part.mean for part in parts) / len(parts)
    if any(part.n < 2 for part in parts):
        return mean, math.nan
    variances = [part.std**2 / part.n for part in parts]
    freedom = _satterthwaite(variances, [part.n for part in parts])
    if freedom is None:
        return mean, 0.0
    error = math.sqrt(sum(variances)) / len(parts)
    return mean, float(t.ppf((1 + level) / 2, freedom)) * error


def difference(a: Interval, b: Interval, level: float = LEVEL) -> tuple[float, float]:
    """Return the difference of two means and the half width of Welch's t-interval (NaN: n = 1)."""
    delta = a.mean - b.mean
    if min(a.n, b.n) < 2:
        return delta, math.nan
    variances = [a.std**2 / a.n, b.std**2 / b.n]
    freedom = _satterthwaite(variances, [a.n, b.n])
    if freedom is None:
        return delta, 0.0
    return delta, float(t.ppf((1 + level) / 2, freedom)) * math.sqrt(sum(variances))


def _satterthwaite(variances: list[float], sizes: list[int]) -> float | None:
    """Return the degrees of freedom of a sum of variances of means; ``None`` if all are zero."""
    total = sum(variances)
    if total <= 0:
        return None
    # Shares, not squares of variances, which underflow when seeds differ by rounding only.
    shares = [v / total for v in variances]
    return 1 / sum(s**2 / (n - 1) for s, n in zip(shares, sizes, strict=True))


def average_ranks(scores: pd.DataFrame, *, higher_is_better: bool = True) -> pd.Series:
    """Return the mean rank of each method (rows) over datasets (columns); 1 is best.

    Ties share their mean rank. Raises ``ValueError`` if a value is missing: ranks need complete
    blocks.
    """
    if scores.isna().to_numpy().any():
        raise ValueError("ranks need complete blocks; a method lacks a dataset")
    return scores.rank(ascending=not higher_is_better, method="average").mean(axis=1)


def friedman(scores: pd.DataFrame) -> tuple[float, float] | None:
    """Return Friedman's chi-squared and p over methods (rows) × datasets (columns).

    ``None`` with fewer than three methods or datasets, or if all ranks are tied (Friedman 1937).
    """
    tied = (scores.nunique() == 1).all()
    if min(scores.shape) < FRIEDMAN_DATASETS or tied:
        return None
    statistic, p = friedmanchisquare(*scores.to_numpy())
    return float(statistic), float(p)


def critical_difference(n_methods: int, n_datasets: int, level: float = LEVEL) -> float:
    """Return Nemenyi's critical difference of mean ranks (Demšar 2006, section 3.2.2)."""
    # Above a few thousand degrees of freedom the distribution no longer changes.
    q = float(studentized_range.ppf(level, n_methods, 10_000)) / math.sqrt(2)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_datasets))


def what_ranks_show(scores: pd.DataFrame) -> str:
    """Return in plain words what a complete table of methods × datasets can show."""
    k, n = scores.shape
    if k < 2 or n < 1:
        return "Fewer than two methods have a score on every dataset: there is nothing to rank."
    block = f"Ranks compare {k} methods on {n} dataset{'s' * (n > 1)} that all of them finished."
    if k == 2:
        return block + " " + _two_methods(scores)
    if n < FRIEDMAN_DATASETS:
        why = "one dataset shows" if n == 1 else f"{n} datasets show"
        return f"{block} {why.capitalize()} nothing about datasets in general: no test is made."
    cd = critical_difference(k, n)
    found = friedman(scores)
    if found is None:
        return block + " All methods rank alike."
    chi, p = found
    test = f"Friedman's test: χ² = {chi:.2f}, {_p(p)}"
    possible = (
        f"Two mean ranks differ significantly from {cd:.2f} on (Nemenyi, 5 %)."
        if cd <= k - 1
        else f"So few datasets cannot tell two methods apart: Nemenyi's critical difference "
        f"({cd:.2f}) is more than the largest possible one ({k - 1})."
    )
    verdict = "the ranks differ" if p < 1 - LEVEL else "no difference is shown"
    return f"{block} {test}: {verdict}. {possible}"


def _two_methods(scores: pd.DataFrame) -> str:
    n = scores.shape[1]
    if n < WILCOXON_PAIRS:
        return f"A Wilcoxon test needs {WILCOXON_PAIRS} datasets to show anything: none is made."
    first, second = scores.to_numpy()
    if (first == second).all():
        return "The two are equal on every dataset."
    return f"Wilcoxon signed-rank test of the two: {_p(float(wilcoxon(first, second).pvalue))}."


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
