"""Simultaneous comparison of methods: within one dataset over seeds, and over datasets.

A report compares every method with every other, so an interval for one pair alone claims too much:
of twelve equal methods the best differs "significantly" from a named one in most reports. All
intervals here hold at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

WITHIN_ERROR = 0.015
"""Probability of any false claim within the datasets of a report, all together."""
OVER_ERROR = 0.035
"""Probability of any false claim over datasets. With six datasets the smallest p is 2/64."""
LEAST_DATASETS = 6
EQUAL = 1e-6
"""Smaller differences are the rounding of equal results."""
_DRAWS = 10_000
_FLIPS = 4096


@dataclass(frozen=True)
class Comparisons:
    """Differences of all pairs of methods with intervals that hold at once.

    ``difference[i, j]`` is the mean of method i minus that of method j, ``half_width[i, j]`` half
    of its interval: NaN where no claim is possible, because a method has one seed.
    """

    methods: tuple[str, ...]
    difference: np.ndarray
    half_width: np.ndarray

    def differs(self, first: str, second: str) -> bool:
        """Return whether the interval of a difference leaves zero out."""
        i, j = self.methods.index(first), self.methods.index(second)
        return bool(self.significant[i, j])

    def interval(self, first: str, second: str) -> tuple[float, float]:
        """Return the difference of two methods and half of its simultaneous interval."""
        i, j = self.methods.index(first), self.methods.index(second)
        return float(self.difference[i, j]), float(self.half_width[i, j])

    @property
    def significant(self) -> np.ndarray:
        """True where a difference is claimed, shape (methods, methods)."""
        size = np.abs(self.difference)
        return (size > self.half_width) & (size > EQUAL)


def compare_seeds(
    values: Mapping[str, Sequence[float]],
    *,
    error: float = WITHIN_ERROR,
    least_variance: Mapping[str, float] | None = None,
) -> Comparisons:
    """Compare the means of methods over seeds on one dataset.

    The variances may differ: the quantile of the largest studentized difference comes from a
    parametric bootstrap with a fixed seed (Krishnamoorthy, Lu & Mathew 2007, section 3, for all
    pairs).

    Parameters
    ----------
    values
        Scores by method, one a seed.
    error
        Probability of any false difference.
    least_variance
        Smallest variance by method, such as its mean over datasets: three seeds that agree by
        chance do not make a method exact.
    """
    methods = tuple(values)
    scores = [np.asarray([v for v in values[name] if math.isfinite(v)]) for name in methods]
    sizes = np.array([len(one) for one in scores])
    means = np.array([one.mean() if len(one) else math.nan for one in scores])
    own = np.array([one.var(ddof=1) if len(one) > 1 else math.nan for one in scores])
    least = np.nan_to_num([(least_variance or {}).get(name, 0.0) for name in methods])
    errors = np.fmax(own, np.where(np.isnan(own), math.nan, least)) / sizes
    difference = means[:, None] - means[None, :]
    width = np.sqrt(errors[:, None] + errors[None, :])
    quantile = _largest_difference_quantile(errors, sizes, error)
    half_width = np.where(np.isnan(width), math.nan, quantile * np.nan_to_num(width))
    return Comparisons(methods, difference, half_width)


def _largest_difference_quantile(errors: np.ndarray, sizes: np.ndarray, error: float) -> float:
    """Return the upper quantile of the largest studentized difference of equal means."""
    known = np.flatnonzero(np.isfinite(errors) & (sizes > 1))
    errors, freedom = errors[known], sizes[known] - 1
    first, second = np.triu_indices(len(known), 1)
    varying = errors[first] + errors[second] > 0
    first, second = first[varying], second[varying]
    if not len(first):
        return 0.0
    largest = np.zeros(_DRAWS)
    normal, chi_square = _bootstrap_draws(tuple(int(n) for n in freedom))
    means = normal * np.sqrt(errors)[:, None]
    spread = chi_square * (errors / freedom)[:, None]
    for i, j in zip(first, second, strict=True):
        studentized = (means[i] - means[j]) ** 2 / (spread[i] + spread[j])
        np.maximum(largest, studentized, out=largest)
    return float(np.sqrt(np.quantile(largest, 1 - error)))


@lru_cache(maxsize=8)
def _bootstrap_draws(freedom: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return standard normal and chi-square draws, each of shape (methods, draws).

    The seed is fixed, so datasets with equal numbers of seeds share them.
    """
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((len(freedom), _DRAWS))
    return normal, np.ascontiguousarray(rng.chisquare(freedom, (_DRAWS, len(freedom))).T)


def compare_datasets(means: pd.DataFrame, *, error: float = OVER_ERROR) -> Comparisons | None:
    """Compare methods (rows) over datasets (columns) by their mean scores on each.

    A dataset is one observation. The quantile of the largest studentized difference comes from
    flipping the signs of whole datasets: if all methods are equal, the deviations from the mean of
    a dataset are as likely as their negatives. ``None`` with fewer than two methods or
    :data:`LEAST_DATASETS` datasets, on which nothing can be claimed.
    """
    n_methods, n_datasets = means.shape
    if n_methods < 2 or n_datasets < LEAST_DATASETS or means.isna().to_numpy().any():
        return None
    values = means.to_numpy(dtype=float)
    first, second = np.triu_indices(n_methods, 1)
    pairs = values[first] - values[second]
    squares = (pairs**2).sum(axis=1)
    varying = squares > (EQUAL**2) * n_datasets
    flipped = pairs[varying] @ _signs(n_datasets)
    largest = _studentized(flipped, squares[varying, None], n_datasets).max(axis=0, initial=0.0)
    quantile = float(np.quantile(largest, 1 - error, method="higher"))
    spread = np.zeros((n_methods, n_methods))
    spread[first, second] = spread[second, first] = pairs.std(axis=1, ddof=1) / math.sqrt(
        n_datasets
    )
    centre = values.mean(axis=1)
    return Comparisons(
        tuple(map(str, means.index)), centre[:, None] - centre[None, :], quantile * spread
    )


def _signs(n: int) -> np.ndarray:
    """Return all sign vectors with a leading plus, or a fixed draw of them, shape (n, vectors)."""
    if 2 ** (n - 1) <= _FLIPS:
        bits = (np.arange(2 ** (n - 1))[None, :] >> np.arange(n)[:, None]) & 1
        return 1.0 - 2.0 * bits
    drawn = np.random.default_rng(0).choice((-1.0, 1.0), size=(n, _FLIPS))
    drawn[:, 0] = 1.0
    return drawn


def _studentized(sums: np.ndarray, squares: np.ndarray, n: int) -> np.ndarray:
    """Return |mean| over its standard error from sums and sums of squares of ``n`` values."""
    variance = np.maximum(squares - sums**2 / n, np.finfo(float).tiny) / (n - 1)
    return np.abs(sums / n) / np.sqrt(variance / n)


def letters(comparisons: Comparisons, order: Sequence[str]) -> dict[str, str]:
    """Return a compact letter display: methods that share a letter do not reliably differ.

    ``order`` is from the best on, so that the best has an a (insert and absorb, Piepho 2004).
    """
    index = [comparisons.methods.index(name) for name in order]
    differs = comparisons.significant[np.ix_(index, index)]
    groups = [set(range(len(order)))]
    for i, j in zip(*np.nonzero(np.triu(differs)), strict=True):
        for group in [one for one in groups if i in one and j in one]:
            groups.remove(group)
            groups += [group - {i}, group - {j}]
        groups = [one for one in groups if not any(one < other for other in groups)]
        groups = [one for k, one in enumerate(groups) if one not in groups[:k]]
    groups.sort(key=lambda one: sorted(one))
    named = dict.fromkeys(order, "")
    for number, group in enumerate(groups):
        letter = chr(ord("a") + number % 26) * (1 + number // 26)
        for place in sorted(group):
            named[order[place]] += letter
    return named


def rank_intervals(ranks: pd.DataFrame, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Return an interval for the place of each method by its mean rank over datasets.

    ``ranks`` holds methods × datasets. Datasets are drawn with replacement, with a fixed seed. Of
    fewer than :data:`LEAST_DATASETS` a draw shows too little: the result is empty.
    """
    n_datasets = ranks.shape[1]
    if n_datasets < LEAST_DATASETS or not len(ranks):
        return {}
    drawn = np.random.default_rng(0).integers(n_datasets, size=(2000, n_datasets))
    mean_ranks = ranks.to_numpy()[:, drawn].mean(axis=2)
    places = 1 + (mean_ranks[None, :, :] < mean_ranks[:, None, :] - 1e-9).sum(axis=1)
    tails = (1 - level) / 2
    low, high = np.quantile(places, (tails, 1 - tails), axis=1)
    return {
        str(name): (float(a), float(b)) for name, a, b in zip(ranks.index, low, high, strict=True)
    }
