"""Means with intervals over seeds, and mean ranks over datasets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95


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
    half = float(stdtrit(n - 1, (1 + level) / 2)) * std / math.sqrt(n)
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
    return mean, float(stdtrit(freedom, (1 + level) / 2)) * error


def _satterthwaite(variances: list[float], sizes: list[int]) -> float | None:
    """Return the degrees of freedom of a sum of variances of means; ``None`` if all are zero."""
    total = sum(variances)
    if total <= 0:
        return None
    # Shares, not squares of variances, which underflow when seeds differ by rounding only.
    shares = [v / total for v in variances]
    return 1 / sum(s**2 / (n - 1) for s, n in zip(shares, sizes, strict=True))


def ranks_by_dataset(
    scores: pd.DataFrame, failures: pd.DataFrame | None = None, *, higher_is_better: bool = True
) -> pd.DataFrame:
    """Return the rank of each method (rows) on each dataset (columns); 1 is best, ties share.

    ``failures`` counts, in the same shape, the seeds that a method failed and another finished. A
    method ranks behind all with fewer of them, whatever its mean over the seeds that it finished.
    Raises ``ValueError`` if a score is missing: ranks need complete blocks.
    """
    if scores.isna().to_numpy().any():
        raise ValueError("ranks need complete blocks; a method lacks a dataset")
    ranks = scores.rank(ascending=not higher_is_better, method="average")
    if failures is None:
        return ranks
    # Ranks lie between 1 and the number of methods, so that counts of failures decide first.
    behind = failures.reindex_like(scores).fillna(0) * (len(scores) + 1)
    return (ranks + behind).rank(method="average")
