"""Two experiments side by side, paired job by job; differences are those of B minus A."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .eligible import CONTROL
from .labels import MAIN, higher_is_better, is_own, label, metric_columns
from .leaderboard import tidy

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("seconds", "peak_memory_mb")
FEW = 5
"""With fewer pairs a bootstrap has too few values to draw from."""
SAME = 1e-6
"""Smaller differences are the rounding of equal results."""
LEVEL = 0.95
_DRAWS = 10_000
_NAMED = 4
"""Conditions that a warning names."""
_JOB = ("method", "dataset", "seed", "protocol")
_DIGESTS = {"counts_digest": "counts", "labels_digest": "labels"}
_SIZES = {"n_cells": "cells", "n_features": "features", "n_types": "types"}


@dataclass(frozen=True)
class Difference:
    """The mean over paired jobs of one method, dataset and metric; ``difference`` is B − A.

    ``low`` and ``high`` are the ends of a bootstrap interval over the pairs, NaN with one pair.
    """

    method: str
    dataset: str
    protocol: str
    family: str
    metric: str
    n: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    higher_is_better: bool | None

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``changed`` (no direction), ``equal``, ``unclear``, ``one pair``.

        Unclear is an interval that holds zero.
        """
        ends = [x for x in (self.difference, self.low, self.high) if not math.isnan(x)]
        if max(map(abs, ends)) < SAME:
            return "equal"
        if self.n < 2:
            return "one pair"
        if self.low <= 0 <= self.high:
            return "unclear"
        if self.higher_is_better is None:
            return "changed"
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Unpaired:
    """Jobs of some methods on one dataset that were not compared, with the reason."""

    methods: tuple[str, ...]
    dataset: str
    protocol: str
    seeds: tuple[int, ...]
    """Empty for combinations that were never planned with seeds."""
    reason: str


@dataclass(frozen=True)
class Condition:
    """Something that was not the same when A and B were made."""

    what: str
    a: str
    b: str


@dataclass
class Comparison:
    """All that is known of two experiments; names are those a page shows."""

    a: str
    b: str
    differences: list[Difference] = field(default_factory=list)
    unpaired: list[Unpaired] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    n_pairs: int = 0

    def of(self, metric: str) -> list[Difference]:
        """Return the differences of one metric."""
        return [one for one in self.differences if one.metric == metric]


def compare(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Pair the jobs of two tables of ``bench.load_results`` by method, dataset, seed, protocol.

    Jobs pair if both are done and their datasets have the same digests; of each method and
    dataset the mean paired difference is taken per metric, over seeds. All else is listed.
    """
    # Jobs pair by the digests of their data, so that here no version needs a name of its own.
    one, two = (table.assign(dataset=table["dataset_name"]) for table in (tidy(a), tidy(b)))
    left, right = _jobs(one), _jobs(two)
    reasons = {
        key: _reason(left.get(key), right.get(key)) for key in dict.fromkeys([*left, *right])
    }
    keys = [key for key, reason in reasons.items() if not reason]
    metrics = {
        key: higher_is_better(key, one) if key in one else higher_is_better(key, two)
        for key in dict.fromkeys([*metric_columns(one), *metric_columns(two), *COSTS])
    }
    return Comparison(
        *names,
        differences=list(_differences(keys, left, right, metrics)),
        unpaired=_unpaired([(key, reason) for key, reason in reasons.items() if reason]),
        conditions=_conditions(one, two),
        n_pairs=len(keys),
    )


Job = dict[str, Any]
Key = tuple[Any, ...]


def _jobs(table: pd.DataFrame) -> dict[Key, Job]:
    """Return the jobs by what pairs them; combinations that were not run have no seed."""
    found = {}
    for record in table.to_dict("records"):
        job = {str(name): value for name, value in record.items()}
        seed = -1 if job["seed"] != job["seed"] else int(job["seed"])
        found[job["method"], job["dataset"], seed, job["protocol"] or "default"] = job
    return found


def _reason(a: Job | None, b: Job | None) -> str:
    """Return why two jobs are not a pair; empty if they are."""
    if a is None or b is None:
        return "only in A" if b is None else "only in B"
    ends = [
        f"{job['status']} in {n}" for n, job in (("A", a), ("B", b)) if job["status"] != "done"
    ]
    if ends:
        return " and ".join(ends)
    known = [(column, what) for column, what in _DIGESTS.items() if _text(a, column)]
    other = [what for column, what in known if _text(b, column) not in ("", _text(a, column))]
    if other:
        return f"the dataset has other {' and '.join(other)}"
    sizes = [
        f"{int(a[column]):,} {what} in A, {int(b[column]):,} in B"
        for column, what in _SIZES.items()
        if _known(a.get(column)) and _known(b.get(column)) and a[column] != b[column]
    ]
    return f"the dataset has other sizes: {'; '.join(sizes)}" if sizes else ""


def _text(job: Job, column: str) -> str:
    value = job.get(column)
    return value if isinstance(value, str) else ""


def _number(job: Job, column: str) -> float:
    value = job.get(column)
    return float(value) if value is not None else math.nan


def _known(value: Any) -> bool:
    return value is not None and value == value


def _unpaired(apart: list[tuple[Key, str]]) -> list[Unpaired]:
    by_method: dict[tuple[str, str, str, str], list[int]] = {}
    for (method, dataset, seed, protocol), reason in apart:
        by_method.setdefault((method, dataset, protocol, reason), []).append(seed)
    groups: dict[tuple[str, str, tuple[int, ...], str], list[str]] = {}
    for (method, dataset, protocol, reason), found in by_method.items():
        seeds = tuple(sorted(seed for seed in found if seed >= 0))
        groups.setdefault((dataset, protocol, seeds, reason), []).append(method)
    return [
        Unpaired(tuple(methods), dataset, protocol, seeds, reason)
        for (dataset, protocol, seeds, reason), methods in groups.items()
    ]


def _differences(
    keys: list[Key],
    left: dict[Key, Job],
    right: dict[Key, Job],
    metrics: dict[str, bool | None],
) -> Iterator[Difference]:
    """Yield the differences; ``metrics`` says of each whether more is better."""
    groups: dict[tuple[str, str, str], list[Key]] = {}
    for key in keys:
        groups.setdefault((key[0], key[1], key[3]), []).append(key)
    for (method, dataset, protocol), members in groups.items():
        family = left[members[0]]["family"]
        for metric, better in metrics.items():
            values = [(_number(left[key], metric), _number(right[key], metric)) for key in members]
            both = [(x, y) for x, y in values if not (math.isnan(x) or math.isnan(y))]
            if not both or (is_own(metric) and family == CONTROL):
                continue
            n = len(both)
            mean_a, mean_b = sum(x for x, _ in both) / n, sum(y for _, y in both) / n
            deltas = [y - x for x, y in both]
            mean, low, high = bootstrap(deltas)
            yield Difference(
                method, dataset, protocol, family, metric, n, mean_a, mean_b, mean, low, high,
                better,
            )  # fmt: skip


def bootstrap(values: Iterable[float]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % percentile bootstrap interval (Efron 1979).

    The interval is NaN with fewer than two values. The draws are seeded: equal values give equal
    intervals.
    """
    found = np.asarray(list(values), dtype=float)
    mean = float(found.mean())
    if len(found) < 2:
        return mean, math.nan, math.nan
    means = found[_draws(len(found))].mean(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return mean, float(low), float(high)


@cache
def _draws(n: int) -> np.ndarray:
    """Return which of ``n`` values each draw takes, (draws, n)."""
    return np.random.default_rng(n).integers(n, size=(_DRAWS, n))


def _conditions(a: pd.DataFrame, b: pd.DataFrame) -> list[Condition]:
    """Return versions, digests, parameters and resources that are not the same in both."""
    found = [
        Condition(what, *both)
        for column, what in (
            ("git_commit", "git commit"), ("threads", "threads per job"), ("device", "device"),
            ("profile", "profile"),
        )
        if len(set(both := (_values(a, column), _values(b, column)))) > 1
    ]  # fmt: skip
    first, second = _packages(a), _packages(b)
    for name in sorted({*first, *second}):
        both = first.get(name, "not recorded"), second.get(name, "not recorded")
        if both[0] != both[1]:
            found.append(Condition(f"version of {name}", *both))
    found += _by(a, b, "dataset", {**_DIGESTS, **_SIZES})
    found += _by(a, b, "method", {"source": "source"})
    return [*found, *_parameters(a, b)]


def _values(table: pd.DataFrame, column: str) -> str:
    """Return the distinct values of the finished jobs in one text."""
    if column not in table:
        return "not recorded"
    rows = table.loc[table["status"] == "done", column].dropna()
    known = {f"{v:g}" if isinstance(v, float) else str(v) for v in rows if str(v)}
    return ", ".join(sorted(known)) or "not recorded"


def _packages(table: pd.DataFrame) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for text in set(table["versions"].dropna()) if "versions" in table else ():
        for name, number in _json(text).items():
            found.setdefault(name, set()).add(str(number))
    return {name: ", ".join(sorted(numbers)) for name, numbers in found.items()}


def _json(text: Any) -> dict[str, Any]:
    """Return the mapping in a stored text; damaged texts hold none."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _by(
    a: pd.DataFrame, b: pd.DataFrame, group: str, columns: dict[str, str]
) -> Iterator[Condition]:
    """Yield what differs in a dataset or method that both have."""
    for name in [name for name in dict.fromkeys(a[group]) if (b[group] == name).any()]:
        rows = a[a[group] == name], b[b[group] == name]
        for column, what in columns.items():
            both = _values(rows[0], column), _values(rows[1], column)
            if both[0] != both[1]:
                yield Condition(f"{what} of {name}", *both)


def _parameters(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[Condition]:
    """Yield the parameters that a method of the same name had in one only, or otherwise."""
    for name in [name for name in dict.fromkeys(a["method"]) if (b["method"] == name).any()]:
        sides = []
        for table in (a, b):
            rows = table[(table["method"] == name) & (table["status"] == "done")]
            texts = set(rows["params"].dropna()) if "params" in rows else set()
            sides.append(_json(texts.pop()) if len(texts) == 1 else {})
        if not all(sides):
            continue
        for key in sorted({*sides[0], *sides[1]}):
            both = [str(side.get(key, "no such parameter")) for side in sides]
            if both[0] != both[1]:
                yield Condition(f"{key} of {name}", *both)


def sentences(found: Comparison, metric: str = MAIN) -> list[str]:
    """Return in plain words what changed in one metric, and what could not be compared."""
    ones = [one for one in found.of(metric) if one.family != CONTROL]
    name = label(metric)
    if not ones:
        return [f"No pair of jobs has a value of {name}: nothing can be compared."]
    groups: dict[str, list[Difference]] = {}
    for one in ones:
        groups.setdefault(one.verdict, []).append(one)
    text = ", ".join(f"{len(part)} {verdict}" for verdict, part in sorted(groups.items()))
    lines = [f"{name}, {len(ones)} pairs of method and dataset, B against A: {text}."]
    for verdict in ("worse", "better", "changed", "one pair"):
        for one in sorted(groups.get(verdict, []), key=lambda one: -abs(one.difference)):
            lines.append(f"{one.method} on {one.dataset}: {verdict}, {change(one)}")
    return lines


def change(one: Difference, digits: int = 3) -> str:
    """Return ``0.610 → 0.650, +0.040 (0.010 to 0.070, 3 pairs)``."""
    text = f"{one.a:.{digits}f} → {one.b:.{digits}f}, {signed(one.difference, digits)}"
    if one.n < 2:
        return f"{text} (one pair, no interval)"
    ends = f"{signed(one.low, digits)} to {signed(one.high, digits)}"
    return f"{text} ({ends}, {one.n} pairs)"


def signed(value: float, digits: int = 3) -> str:
    """Return a number with its sign, ``–`` without a value."""
    if math.isnan(value):
        return "–"
    text = f"{value:+,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("+-")


def cautions(found: Comparison) -> list[str]:
    """Return what a reader must know before believing the differences."""
    lines = []
    if not found.differences:
        lines.append("No job of A has a partner in B: see what is not paired.")
    fewest = min((one.n for one in found.differences), default=FEW)
    if fewest < FEW:
        lines.append(
            f"Some intervals rest on {fewest} pair{'s' * (fewest > 1)}: a bootstrap over so few "
            f"is too narrow; with {FEW} or more seeds it can be trusted more."
        )
    counts = sum(len(one.methods) * (len(one.seeds) or 1) for one in found.unpaired)
    if counts:
        lines.append(f"Not paired: {counts} job{'s' * (counts > 1)}; the page lists the reasons.")
    if found.conditions:
        what = ", ".join(one.what for one in found.conditions[:_NAMED])
        more = len(found.conditions) - _NAMED
        lines.append(
            f"Not the same in A and B: {what}{f' and {more} more' if more > 0 else ''}. What "
            "changed may be due to that."
        )
    return lines
