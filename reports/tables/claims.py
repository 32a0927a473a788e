"""What a report may claim: its methods compared within each dataset and over the datasets.

Methods are compared with those that were told the same about the types. All claims of one report
together are wrong with a probability of at most five percent (:mod:`.inference`): those over
datasets share one part of it, those within datasets the rest, and groups share it equally.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from .data_versions import newest_names
from .eligible import FAILED, competing, competing_by_dataset, told_groups
from .inference import (
    LEAST_DATASETS,
    OVER_ERROR,
    WITHIN_ERROR,
    Comparisons,
    compare_datasets,
    compare_seeds,
    letters,
    rank_intervals,
)
from .labels import MAIN_METRIC, higher_is_better
from .statistics import ranks_by_dataset


@dataclass(frozen=True)
class Standing:
    """Methods on one dataset, or on all datasets of a modality, from the best on."""

    order: tuple[str, ...]
    means: dict[str, float]
    """Mean by method: over finished seeds on one dataset, over datasets else."""
    comparisons: Comparisons | None
    """``None`` where nothing can be claimed."""
    failed: dict[str, int] = field(default_factory=dict)
    """Seeds that a method failed and another finished; such a method is not compared."""
    higher_is_better: bool = True

    def beats(self, first: str, second: str) -> bool:
        """Return whether one method is reliably better than another."""
        if self.comparisons is None or not {first, second} <= set(self.comparisons.methods):
            return False
        above = (self.comparisons.interval(first, second)[0] > 0) == self.higher_is_better
        return above and self.comparisons.differs(first, second)

    @property
    def tied_for_first(self) -> list[str]:
        """Compared methods that are not reliably worse than the first one, in order."""
        first, rest = self.order[0], self.order[1:]
        compared = [name for name in rest if name not in self.failed]
        return [first, *(name for name in compared if not self.beats(first, name))]

    @property
    def letters(self) -> dict[str, str]:
        """Letters by method: those that share one do not reliably differ."""
        if self.comparisons is None:
            return {}
        known = [name for name in self.order if name in self.comparisons.methods]
        return letters(self.comparisons, known)


def failed_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return, methods × datasets, how many seeds failed that another method finished."""
    done = table[table["status"] == "done"]
    finished = set(zip(done["dataset"], done["seed"], strict=True))
    bad = table[table["status"].isin(FAILED)]
    lost = Counter(
        (method, dataset)
        for method, dataset, seed in zip(bad["method"], bad["dataset"], bad["seed"], strict=True)
        if (dataset, seed) in finished
    )
    counts = pd.DataFrame(0, table["method"].unique(), table["dataset"].unique())
    for place, number in lost.items():
        counts.loc[place] = number
    return counts


def within_datasets(
    table: pd.DataFrame, metric: str = MAIN_METRIC, told: str = ""
) -> dict[str, Standing]:
    """Return the standing of methods that were ``told`` the same, by dataset, over seeds."""
    rows = competing_by_dataset(table, told)
    if metric not in rows:
        return {}
    valued = rows[rows[metric].notna()]
    failures = failed_seeds(rows)
    variances = valued.groupby(["method", "dataset"])[metric].var()
    least = {str(name): float(v) for name, v in variances.groupby("method").mean().items()}
    error = _error_within(table, valued["dataset"].nunique())
    better = higher_is_better(metric, table) is not False
    standings = {}
    for dataset, own in valued.groupby("dataset", sort=False):
        seeds = {str(name): list(part) for name, part in own.groupby("method", sort=False)[metric]}
        means = {name: sum(part) / len(part) for name, part in seeds.items()}
        lost = {name: int(failures[dataset][name]) for name in seeds}
        failed = {name: number for name, number in lost.items() if number}
        standings[str(dataset)] = Standing(
            tuple(
                sorted(means, key=lambda one: (lost[one], -means[one] if better else means[one]))
            ),
            means,
            _seed_comparisons(seeds, failed, error, least),
            failed,
            better,
        )
    return standings


def _error_within(table: pd.DataFrame, n_datasets: int) -> float:
    """Return the error of each dataset and group of methods that were told the same.

    Without a claim over datasets they share all of it.
    """
    by_modality = table[table["dataset"].isin(newest_names(table["dataset"].unique()))]
    most = by_modality.groupby("modality")["dataset"].nunique().max() if len(table) else 0
    total = WITHIN_ERROR + (OVER_ERROR if most < LEAST_DATASETS else 0.0)
    return total / max(1, n_datasets) / len(told_groups(table))


def _seed_comparisons(
    seeds: dict[str, list[float]], failed: dict[str, int], error: float, least: dict[str, float]
) -> Comparisons | None:
    compared = {name: part for name, part in seeds.items() if name not in failed}
    if len(compared) < 2 or all(len(part) < 2 for part in compared.values()):
        return None
    return compare_seeds(compared, error=error, least_variance=least)


def over_datasets(
    table: pd.DataFrame,
    block: pd.DataFrame,
    metric: str = MAIN_METRIC,
    *,
    told: str = "",
    n_modalities: int = 1,
) -> Standing:
    """Return the standing over the datasets of a complete block (methods × datasets of means).

    The methods were ``told`` the same. Those with failed seeds are ranked, but not compared.
    """
    failures = failed_seeds(competing(table, told)).reindex(
        index=block.index, columns=block.columns, fill_value=0
    )
    failed = {str(n): int(k) for n, k in failures.sum(axis=1).items() if k}
    compared = block.loc[[name for name in block.index if name not in failed]]
    return Standing(
        _order(block, failures, metric, table),
        {str(name): float(value) for name, value in block.mean(axis=1).items()},
        compare_datasets(compared, error=OVER_ERROR / n_modalities / len(told_groups(table))),
        failed,
        higher_is_better(metric, table) is not False,
    )


def _order(
    means: pd.DataFrame, failures: pd.DataFrame, metric: str, table: pd.DataFrame
) -> tuple[str, ...]:
    """Return the methods by mean rank, those that are level by their mean."""
    if means.empty:
        return ()
    higher = higher_is_better(metric, table) is not False
    failures = failures.reindex(index=means.index, columns=means.columns, fill_value=0)
    ranks = ranks_by_dataset(means, failures, higher_is_better=higher).mean(axis=1)
    level = means.mean(axis=1) * (-1 if higher else 1)
    frame = pd.DataFrame({"rank": ranks, "mean": level})
    return tuple(map(str, frame.sort_values(["rank", "mean"], kind="stable").index))


def rank_ranges(ranks: pd.DataFrame) -> dict[str, str]:
    """Return an interval for the place of each method, ``1–3`` say, over draws of datasets."""
    return {
        name: f"{low:.0f}–{high:.0f}" if low != high else f"{low:.0f}"
        for name, (low, high) in rank_intervals(ranks).items()
    }
