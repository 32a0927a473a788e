"""Two experiments side by side, paired job by job; differences are those of B minus A."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .eligible import CONTROL
from .labels import (
    MAIN_METRIC,
    higher_is_better,
    is_own_clustering,
    json_texts,
    label,
    metric_columns,
)
from .leaderboard import tidy

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("seconds", "peak_memory_mb")
LEAST_PAIRS = 5
"""With fewer pairs a bootstrap has too few values to draw from."""
ROUNDING = 1e-6
"""Smaller differences are the rounding of equal results."""
LEVEL = 0.95
_DRAWS = 10_000
_LISTED_CONDITIONS = 4
"""Conditions that a warning lists by name."""
_DIGESTS = {
    "counts_digest": "counts", "labels_digest": "labels", "batch_digest": "batches",
    "train_digest": "held-out cells", "proteins_digest": "proteins",
}  # fmt: skip
_SIZES = {"n_cells": "cells", "n_features": "features", "n_types": "types"}
_SETTINGS = {
    "git_commit": "git commit", "threads": "threads per job", "device": "device",
    "profile": "profile",
}  # fmt: skip


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

        A difference is unclear if its interval contains zero.
        """
        ends = [x for x in (self.difference, self.low, self.high) if not math.isnan(x)]
        if max(map(abs, ends)) < ROUNDING:
            return "equal"
        if self.n < 2:
            return "one pair"
        if self.low <= 0 <= self.high:
            return "unclear"
        if self.higher_is_better is None:
            return "changed"
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class UnpairedJobs:
    """Jobs of several methods on one dataset without a partner, and the reason."""

    methods: tuple[str, ...]
    dataset: str
    protocol: str
    seeds: tuple[int, ...]
    """Empty for combinations that were not run."""
    reason: str


@dataclass(frozen=True)
class Condition:
    """A condition that differs between A and B."""

    name: str
    a: str
    b: str


@dataclass
class Comparison:
    """The differences between two experiments, jobs without a partner, and other conditions."""

    a: str
    b: str
    differences: list[Difference] = field(default_factory=list)
    unpaired: list[UnpairedJobs] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    n_pairs: int = 0

    def differences_in(self, metric: str) -> list[Difference]:
        """Return the differences of one metric."""
        return [row for row in self.differences if row.metric == metric]


Job = dict[str, Any]
JobKey = tuple[Any, ...]
"""Method, dataset, seed (-1 without one) and protocol."""


def compare_results(
    a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str] = ("A", "B")
) -> Comparison:
    """Pair the jobs of two tables of ``bench.load_results`` by method, dataset, seed, protocol.

    Jobs pair if both are done and their datasets have the same digests; a dataset of A that has
    another name in B gets that name. A difference is the mean paired difference over seeds, by
    method, dataset and metric.
    """
    # Digests decide whether datasets are equal, so names of data versions are not needed.
    table_a, table_b = (
        table.assign(dataset=table["dataset_name"]) for table in (tidy(a), tidy(b))
    )
    table_a = table_a.assign(dataset=_names_by_content(table_a, table_b))
    jobs_a, jobs_b = _jobs_by_key(table_a), _jobs_by_key(table_b)
    reasons = {
        key: _unpaired_reason(jobs_a.get(key), jobs_b.get(key))
        for key in dict.fromkeys([*jobs_a, *jobs_b])
    }
    pairs = {key: (jobs_a[key], jobs_b[key]) for key, reason in reasons.items() if not reason}
    metrics = {
        key: higher_is_better(key, table_a if key in table_a else table_b)
        for key in dict.fromkeys([*metric_columns(table_a), *metric_columns(table_b), *COSTS])
    }
    return Comparison(
        *names,
        differences=list(_differences(pairs, metrics)),
        unpaired=_unpaired_jobs({key: reason for key, reason in reasons.items() if reason}),
        conditions=_conditions(table_a, table_b),
        n_pairs=len(pairs),
    )


def _names_by_content(table: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Return the dataset of each row, by the name that the same content has in ``other``."""
    columns = [column for column in _DIGESTS if column in table and column in other]
    if "counts_digest" not in columns:
        return list(table["dataset"])

    def contents(rows: pd.DataFrame) -> list[tuple[str, ...]]:
        return list(zip(*(rows[column].astype(str) for column in columns), strict=True))

    known = set(other["dataset"])
    names = dict(zip(contents(other), other["dataset"], strict=True))
    return [
        name if name in known else names.get(content, name)
        for content, name in zip(contents(table), table["dataset"], strict=True)
    ]


def _jobs_by_key(table: pd.DataFrame) -> dict[JobKey, Job]:
    jobs = {}
    for record in table.to_dict("records"):
        job = {str(name): value for name, value in record.items()}
        seed = -1 if math.isnan(job["seed"]) else int(job["seed"])
        jobs[job["method"], job["dataset"], seed, job["protocol"] or "default"] = job
    return jobs


def _unpaired_reason(a: Job | None, b: Job | None) -> str:
    """Return why two jobs are not a pair; empty if they are."""
    if a is None or b is None:
        return "only in A" if b is None else "only in B"
    ends = [
        f"{job['status']} in {name}"
        for name, job in (("A", a), ("B", b))
        if job["status"] != "done"
    ]
    if ends:
        return " and ".join(ends)
    pairs = {name: (_text(a, column), _text(b, column)) for column, name in _DIGESTS.items()}
    # A store of an earlier release lacks some digests.
    other = [name for name, (one, two) in pairs.items() if one and two and one != two]
    return f"the dataset has other {' and '.join(other)}" if other else ""


def _text(job: Job, column: str) -> str:
    value = job.get(column)
    return value if isinstance(value, str) else ""


def _number(job: Job, column: str) -> float:
    value = job.get(column)
    return math.nan if value is None else float(value)


def _unpaired_jobs(reasons: Mapping[JobKey, str]) -> list[UnpairedJobs]:
    """Return the jobs without a partner, grouped by dataset, seeds and reason."""
    seeds: dict[tuple[str, str, str, str], list[int]] = {}
    for (method, dataset, seed, protocol), reason in reasons.items():
        seeds.setdefault((method, dataset, protocol, reason), []).append(seed)
    methods: dict[tuple[str, str, tuple[int, ...], str], list[str]] = {}
    for (method, dataset, protocol, reason), own in seeds.items():
        known = tuple(sorted(seed for seed in own if seed >= 0))
        methods.setdefault((dataset, protocol, known, reason), []).append(method)
    return [UnpairedJobs(tuple(names), *key) for key, names in methods.items()]


def _differences(
    pairs: Mapping[JobKey, tuple[Job, Job]], metrics: Mapping[str, bool | None]
) -> Iterator[Difference]:
    """Yield the differences; ``metrics`` holds whether more of each is better."""
    groups: dict[tuple[str, str, str], list[tuple[Job, Job]]] = {}
    for (method, dataset, _, protocol), pair in pairs.items():
        groups.setdefault((method, dataset, protocol), []).append(pair)
    for (method, dataset, protocol), members in groups.items():
        family = members[0][0]["family"]
        for metric, better in metrics.items():
            values = np.array([[_number(a, metric), _number(b, metric)] for a, b in members])
            values = values[~np.isnan(values).any(axis=1)]
            if not len(values) or (is_own_clustering(metric) and family == CONTROL):
                continue
            n = len(values)
            mean_a, mean_b = (sum(side) / n for side in values.T.tolist())
            mean, low, high = bootstrap_interval(values[:, 1] - values[:, 0])
            yield Difference(
                method, dataset, protocol, family, metric, n, mean_a, mean_b, mean, low, high,
                better,
            )  # fmt: skip


def bootstrap_interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % percentile bootstrap interval (Efron 1979).

    The interval is NaN with fewer than two values. The draws are seeded: equal values give equal
    intervals.
    """
    array = np.asarray(list(values), dtype=float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, math.nan, math.nan
    means = array[_draws(len(array))].mean(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return mean, float(low), float(high)


@cache
def _draws(n: int) -> np.ndarray:
    """Return the indices of ``n`` values in each draw, (draws, n)."""
    return np.random.default_rng(n).integers(n, size=(_DRAWS, n))


def _conditions(a: pd.DataFrame, b: pd.DataFrame) -> list[Condition]:
    """Return the versions, digests, parameters and resources that differ."""
    values = [(name, _values(a, column), _values(b, column)) for column, name in _SETTINGS.items()]
    first, second = _packages(a), _packages(b)
    values += [
        (f"version of {name}", first.get(name, "not recorded"), second.get(name, "not recorded"))
        for name in sorted({*first, *second})
    ]
    for group, columns in (("dataset", {**_DIGESTS, **_SIZES}), ("method", {"source": "source"})):
        for name, own_a, own_b in _shared_groups(a, b, group):
            values += [
                (f"{heading} of {name}", _values(own_a, column), _values(own_b, column))
                for column, heading in columns.items()
            ]
    for name, own_a, own_b in _shared_groups(a, b, "method"):
        first, second = _parameters(own_a), _parameters(own_b)
        if first and second:
            absent = "no such parameter"
            values += [
                (f"{key} of {name}", first.get(key, absent), second.get(key, absent))
                for key in sorted({*first, *second})
            ]
    return [Condition(name, in_a, in_b) for name, in_a, in_b in values if in_a != in_b]


def _values(table: pd.DataFrame, column: str) -> str:
    """Return the distinct values of the finished jobs in one text."""
    if column not in table:
        return "not recorded"
    rows = table.loc[table["status"] == "done", column].dropna()
    texts = {f"{v:g}" if isinstance(v, float) else str(v) for v in rows if str(v)}
    return ", ".join(sorted(texts)) or "not recorded"


def _packages(table: pd.DataFrame) -> dict[str, str]:
    """Return the versions of each package."""
    versions: dict[str, set[str]] = {}
    for text in set(table["versions"].dropna()) if "versions" in table else ():
        for name, version in json_texts(text).items():
            versions.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(numbers)) for name, numbers in versions.items()}


def _shared_groups(
    a: pd.DataFrame, b: pd.DataFrame, column: str
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Yield each value that both tables have, with its rows."""
    for name in a[column].unique():
        rows = b[b[column] == name]
        if len(rows):
            yield str(name), a[a[column] == name], rows


def _parameters(rows: pd.DataFrame) -> dict[str, str]:
    """Return the parameters of a method's finished jobs; empty unless all have the same."""
    done = rows[rows["status"] == "done"]
    texts = set(done["params"].dropna()) if "params" in done else set()
    return json_texts(texts.pop()) if len(texts) == 1 else {}


def change_sentences(comparison: Comparison, metric: str = MAIN_METRIC) -> list[str]:
    """Return the changes in one metric in plain words."""
    rows = [row for row in comparison.differences_in(metric) if row.family != CONTROL]
    name = label(metric)
    if not rows:
        return [f"No pair of jobs has a value of {name}: nothing can be compared."]
    by_verdict: dict[str, list[Difference]] = {}
    for row in rows:
        by_verdict.setdefault(row.verdict, []).append(row)
    text = ", ".join(f"{len(part)} {verdict}" for verdict, part in sorted(by_verdict.items()))
    lines = [f"{name}, {len(rows)} pairs of method and dataset, B against A: {text}."]
    for verdict in ("worse", "better", "changed", "one pair"):
        for row in sorted(by_verdict.get(verdict, []), key=lambda row: -abs(row.difference)):
            lines.append(f"{row.method} on {row.dataset}: {verdict}, {change_text(row)}")
    return lines


def change_text(row: Difference, digits: int = 3) -> str:
    """Return ``0.610 → 0.650, +0.040 (0.010 to 0.070, 3 pairs)``."""
    text = f"{row.a:.{digits}f} → {row.b:.{digits}f}, {signed_number(row.difference, digits)}"
    if row.n < 2:
        return f"{text} (one pair, no interval)"
    return f"{text} ({interval_ends(row, digits)}, {row.n} pairs)"


def interval_ends(row: Difference, digits: int = 3) -> str:
    """Return ``+0.010 to +0.070``, or ``–`` with one pair."""
    if row.n < 2:
        return "–"
    return f"{signed_number(row.low, digits)} to {signed_number(row.high, digits)}"


def signed_number(value: float, digits: int = 3) -> str:
    """Return a number with its sign, or ``–`` for NaN."""
    if math.isnan(value):
        return "–"
    text = f"{value:+,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("+-")


def comparison_warnings(comparison: Comparison) -> list[str]:
    """Return warnings about few pairs, jobs without a partner, and other conditions."""
    lines = []
    if not comparison.differences:
        lines.append("No job of A has a partner in B: see the list of jobs not paired.")
    fewest = min((row.n for row in comparison.differences), default=LEAST_PAIRS)
    if fewest < LEAST_PAIRS:
        lines.append(
            f"Some intervals rest on {fewest} pair{'s' * (fewest > 1)}. Bootstrap intervals of so "
            f"few pairs are too narrow; use {LEAST_PAIRS} or more seeds."
        )
    n_jobs = sum(len(row.methods) * (len(row.seeds) or 1) for row in comparison.unpaired)
    if n_jobs:
        lines.append(f"Not paired: {n_jobs} job{'s' * (n_jobs > 1)}; the page lists the reasons.")
    if comparison.conditions:
        names = ", ".join(row.name for row in comparison.conditions[:_LISTED_CONDITIONS])
        more = len(comparison.conditions) - _LISTED_CONDITIONS
        lines.append(
            f"A and B differ in {names}{f' and {more} more' if more > 0 else ''}. Differences may "
            "come from that."
        )
    return lines
