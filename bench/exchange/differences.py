"""Whether two results of the same job are equal, and what a difference means.

On the same kind of processor with the same versions all numbers are equal. Elsewhere they may
differ as those of two seeds do. The spread over seeds is the larger of two: that of the method on
the dataset and that of all other pairs of the store.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import NormalDist, stdev, variance
from typing import TYPE_CHECKING

from bench.store.run_tags import read_json

from .record import Row, reproducible_values

if TYPE_CHECKING:
    from collections.abc import Iterable

_Group = tuple[str, ...]
EQUAL, WITHIN_SEEDS, DIFFERENT = "equal", "within the seeds", "different"
"""Verdicts."""
LAST_DIGITS = 1e-12
"""Relative difference up to which numbers are equal."""
LEVEL = 0.01
"""Chance that two seeds of one method differ by more in one of the scores of a job."""


@dataclass(frozen=True)
class RowDifference:
    """What the comparison of two results of one job gave."""

    verdict: str
    score: str = ""
    """The score that differs most, measured by the spread over seeds."""
    first: float | None = None
    second: float | None = None
    reason: str = ""


def conditions_differ(a: Row, b: Row) -> str:
    """Return what may make numbers differ by right: processors, versions; else an empty text."""
    found = []
    if not a["cpu"] or not b["cpu"]:
        found.append("unknown processor")
    elif a["cpu"] != b["cpu"]:
        found.append("other processor")
    if read_json(a["versions"]) != read_json(b["versions"]):
        found.append("other versions")
    if a["fit_key"] != b["fit_key"]:
        found.append("other source")
    return ", ".join(found)


class SeedSpreads:
    """Standard deviations of scores over the seeds of the rows of a store."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._values: dict[_Group, dict[str, dict[str, float]]] = defaultdict(dict)
        for row in rows:
            if row["status"] == "done":
                self._values[_group(row)][row["score_key"]] = reproducible_values(row)
        self._variances: dict[str, dict[_Group, float]] = defaultdict(dict)
        for group, members in self._values.items():
            for score in {name for one in members.values() for name in one}:
                values = [one[score] for one in members.values() if score in one]
                if len(values) > 1:
                    self._variances[score][group] = variance(values)
        self._sums = {score: sum(found.values()) for score, found in self._variances.items()}

    def spread(self, row: Row, score: str) -> float:
        """Return the standard deviation of a score over seeds, without the seed of the row.

        It is at least that of the other methods and datasets (root mean square); NaN where there
        are no two seeds.
        """
        group, variances = _group(row), self._variances.get(score, {})
        members = self._values.get(group, {})
        values = [
            one[score] for key, one in members.items() if score in one and key != row["score_key"]
        ]
        spreads = [stdev(values)] if len(values) > 1 else []
        if others := len(variances) - (group in variances):
            total = self._sums[score] - variances.get(group, 0.0)
            spreads.append(math.sqrt(max(0.0, total) / others))
        return max(spreads, default=math.nan)


def _group(row: Row) -> _Group:
    names = ("method", "dataset", "protocol", "profile", "counts_digest", "labels_digest")
    return tuple(str(row[name]) for name in names)


def compare_rows(
    a: Row, b: Row, spreads: SeedSpreads, *, only_scores: bool = False
) -> RowDifference:
    """Compare two results of a job.

    Scores of other versions of a metric are left out. ``only_scores`` compares what scoring gives,
    not what a fit reports of itself.
    """
    first = _comparable(a, b, only_scores=only_scores)
    second = _comparable(b, a, only_scores=only_scores)
    reason = conditions_differ(a, b)
    names = sorted(first.keys() | second.keys())
    unequal = [name for name in names if not _is_equal(first.get(name), second.get(name))]
    if not unequal:
        return RowDifference(EQUAL, reason=reason)
    factor = math.sqrt(2) * NormalDist().inv_cdf(1 - LEVEL / (2 * len(names)))
    ratios = {}
    for name in unequal:
        x, y, spread = first.get(name), second.get(name), spreads.spread(a, name)
        if x is None or y is None:
            ratios[name] = math.inf
        elif math.isnan(spread) or spread == 0:
            ratios[name] = math.inf if spread == 0 else math.nan
        else:
            ratios[name] = abs(x - y) / spread
    worst = max(unequal, key=lambda name: _rank(ratios[name]))
    within = reason and all(ratio <= factor for ratio in ratios.values())
    if reason and any(math.isnan(ratio) for ratio in ratios.values()):
        reason += "; no second seed to judge by"
    verdict = WITHIN_SEEDS if within else DIFFERENT
    return RowDifference(verdict, worst, first.get(worst), second.get(worst), reason)


def _rank(ratio: float) -> float:
    return math.inf if math.isnan(ratio) else ratio


def _is_equal(x: float | None, y: float | None) -> bool:
    if x is None or y is None:
        return False
    return math.isclose(x, y, rel_tol=LAST_DIGITS, abs_tol=LAST_DIGITS)


def _comparable(row: Row, other: Row, *, only_scores: bool) -> dict[str, float]:
    """Return the values of a row that the other one must have, too."""
    own, others = read_json(row["stamps"]), read_json(other["stamps"])
    same = {name for name, stamp in own.items() if others.get(name) == stamp}
    return {
        name: value
        for name, value in reproducible_values(row).items()
        if ("/" in name and (own == others or _metric_of(name, own.keys()) in same))
        or ("/" not in name and not only_scores)
    }


def _metric_of(score: str, metrics: Iterable[str]) -> str:
    """Return the metric of a score such as ``kmeans/ari``."""
    last = score.rpartition("/")[2]
    fitting = [name for name in metrics if last == name or last.startswith(f"{name}_")]
    return max(fitting, key=len, default="")
