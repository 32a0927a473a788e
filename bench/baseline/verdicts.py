"""The verdicts, and the thresholds behind them (derived in ``docs/ci.md``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scipy.stats import t

from bench.scoring.metrics import Metric, metrics

if TYPE_CHECKING:
    from .baseline_file import Baseline, Data, Entry

ALPHA = 0.01
"""Chance that a check of unchanged code in another environment raises any alarm."""
FLOOR = 0.02
"""What one cell in a hundred in a wrong cluster costs (ARI and NMI: 0.014 to 0.035)."""
EXACT = 1e-6
"""Largest difference of equal code in an equal environment; the sums of k-means and ARI."""
TORCH = 1e-4
"""The same for methods on PyTorch, whose reductions need not keep their order."""
BAD = ("regression",)
INCOMPLETE = ("failed", "missing")


@dataclass(frozen=True)
class Seen:
    """One job of the present run."""

    status: str
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class Now:
    """What the present run came to."""

    environment: str
    seeds: tuple[int, ...]
    jobs: Mapping[tuple[str, str, str, int], Seen]
    """By method, dataset, protocol and seed."""
    data: Mapping[str, Data]
    gone: Mapping[str, str] = field(default_factory=dict)
    """Method or dataset that cannot be used → reason."""
    left: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Method and dataset that do not go together → reason."""


@dataclass(frozen=True)
class Finding:
    """One verdict: ``pass``, ``improved``, ``changed``, ``regression``, ``failed`` or ``missing``.

    ``tier`` is ``same environment`` (equal code gives equal numbers), ``seeds`` (a mean may not
    be worse by more than ``limit``) or empty if nothing could be compared.
    """

    method: str
    dataset: str
    protocol: str
    metric: str
    verdict: str
    tier: str = ""
    before: float | None = None
    """Mean over the compared seeds of the baseline."""
    now: float | None = None
    limit: float | None = None
    reason: str = ""


def compare(baseline: Baseline, now: Now) -> list[Finding]:
    """Return a verdict for each method, dataset, protocol and metric of the baseline."""
    others = [entry for entry in baseline.entries if not _same_place(baseline, entry, now)]
    comparisons = max(1, sum(len(entry.values) for entry in others))
    known = metrics(baseline.settings.plugins)
    found: list[Finding] = []
    for entry in baseline.entries:
        trouble = _trouble(baseline, entry, now)
        if trouble is not None:
            verdict, reason = trouble
            place = (entry.method, entry.dataset, entry.protocol)
            found.append(Finding(*place, "all", verdict, reason=reason))
            continue
        for metric in entry.values:
            about = known.get(metric.rpartition("/")[2])
            found.append(_judge(baseline, entry, metric, about, now, comparisons))
    return found


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 for a regression, 3 if something could not be compared, else 0."""
    verdicts = {one.verdict for one in findings}
    if verdicts & {*BAD}:
        return 1
    return 3 if verdicts & {*INCOMPLETE} else 0


def seed_limit(
    before: Sequence[float], now: Sequence[float], *, alpha: float, floor: float = FLOOR
) -> float:
    """Return how much worse the mean of ``now`` may be than that of ``before``, over seeds.

    Student's one-sided two-sample test: t(1 - alpha, n + m - 2) · s · √(1/n + 1/m) with the pooled
    standard deviation s, never below ``floor``. Needs three values in all.
    """
    n, m = len(before), len(now)
    spread = math.sqrt((_squares(before) + _squares(now)) / (n + m - 2))
    quantile = float(t.ppf(1.0 - alpha, n + m - 2))
    return max(floor, quantile * spread * math.sqrt(1.0 / n + 1.0 / m))


def direction(known: Metric | None) -> int:
    """Return 1 if more is better, -1 if less is, 0 if the metric has no better or worse."""
    if known is None or known.higher_is_better is None:
        return 0
    return 1 if known.higher_is_better else -1


def floor(known: Metric, mean: float) -> float:
    """Return the smallest limit: absolute within [-1, 1], relative to the mean elsewhere."""
    low, high = known.bounds
    return FLOOR if low >= -1 and high <= 1 else FLOOR * abs(mean)


def _same_place(baseline: Baseline, entry: Entry, now: Now) -> bool:
    """Return whether equal code must give equal numbers: equal environment, equal data."""
    data = now.data.get(entry.dataset)
    return entry.environment == now.environment and data == baseline.datasets[entry.dataset]


def _trouble(baseline: Baseline, entry: Entry, now: Now) -> tuple[str, str] | None:
    """Return verdict and reason if the entry cannot be compared at all."""
    for name in (entry.dataset, entry.method):
        if name in now.gone:
            return "missing", now.gone[name]
    if (entry.method, entry.dataset) in now.left:
        return "missing", now.left[entry.method, entry.dataset]
    before, data = baseline.datasets[entry.dataset], now.data[entry.dataset]
    for name in ("n_cells", "n_features", "n_types"):
        if getattr(before, name) != getattr(data, name):
            what = name[2:]
            return "missing", (
                f"other data: {getattr(data, name)} {what}, {getattr(before, name)} in the "
                "baseline"
            )
    jobs = {seed: _job(entry, seed, now) for seed in _seeds(entry, now)}
    if not jobs:
        return "missing", "none of the baseline's seeds was run"
    absent = [seed for seed, job in jobs.items() if job is None]
    if absent:
        return "missing", f"seed {absent[0]}: no result; {len(absent)} of {len(jobs)} seeds"
    ended = {seed: job for seed, job in jobs.items() if job and job.status != "done"}
    if ended:
        seed, job = next(iter(ended.items()))
        text = f"seed {seed}: {job.status}: {job.reason}; {len(ended)} of {len(jobs)} seeds"
        return "failed", text
    return None


def _judge(
    baseline: Baseline,
    entry: Entry,
    metric: str,
    known: Metric | None,
    now: Now,
    comparisons: int,
) -> Finding:
    """Compare one metric of an entry whose jobs are all done."""
    seeds = _seeds(entry, now)
    kept = dict(zip(entry.seeds, entry.values[metric], strict=True))
    values = {seed: _done(entry, seed, now).values.get(metric) for seed in seeds}
    head: dict[str, Any] = {
        "method": entry.method, "dataset": entry.dataset, "protocol": entry.protocol,
        "metric": metric,
    }  # fmt: skip
    sign = direction(known)
    without = [seed for seed, value in values.items() if value is None]
    if without or known is None or not sign:
        seed = without[0] if without else seeds[0]
        why = _done(entry, seed, now).missing.get(metric, "this version does not compute it")
        reason = f"seed {seed}: {why}" if without else "has no better or worse"
        return Finding(**head, verdict="missing", reason=reason)
    new = {seed: float(value) for seed, value in values.items() if value is not None}
    head |= {"before": _mean([kept[s] for s in seeds]), "now": _mean([*new.values()])}
    if _same_place(baseline, entry, now):
        return _judge_same(entry, head, sign, {s: (kept[s], new[s]) for s in seeds})
    head["tier"] = "seeds"
    note = "" if now.data[entry.dataset] == baseline.datasets[entry.dataset] else "other data"
    return _judge_seeds(entry, head, known, [*new.values()], comparisons, note)


def _judge_same(
    entry: Entry, head: dict[str, Any], sign: int, pairs: dict[int, tuple[float, float]]
) -> Finding:
    """Compare seed by seed where equal code must give equal numbers."""
    head |= {"tier": "same environment", "limit": entry.tolerance}
    gains = {seed: sign * (after - before) for seed, (before, after) in pairs.items()}
    moved = [seed for seed, gain in gains.items() if abs(gain) > entry.tolerance]
    if not moved:
        return Finding(**head, verdict="pass")
    seed = max(moved, key=lambda one: abs(gains[one]))
    before, after = pairs[seed]
    reason = f"{len(moved)} of {len(pairs)} seeds differ; seed {seed}: {before:.6g} → {after:.6g}"
    gain = _mean([*gains.values()])
    if entry.control or gain < -entry.tolerance:
        return Finding(**head, verdict="regression", reason=reason)
    verdict = "improved" if gain > entry.tolerance else "changed"
    return Finding(**head, verdict=verdict, reason=reason)


def _judge_seeds(
    entry: Entry,
    head: dict[str, Any],
    known: Metric,
    now: list[float],
    comparisons: int,
    note: str,
) -> Finding:
    """Compare means where the last digits may differ; controls may not move either way."""
    values = entry.values[head["metric"]]
    head["before"] = _mean(values)
    gain = direction(known) * (head["now"] - head["before"])
    if entry.control and max(values) - min(values) <= EXACT and values[0] in known.bounds:
        head["limit"] = EXACT  # the truth scores 1 on every machine
    elif len(values) + len(now) < 3:
        reason = "one seed: no spread to judge by in another environment"
        return Finding(**head, verdict="missing", reason=reason)
    else:
        alpha = ALPHA / comparisons / (2 if entry.control else 1)
        head["limit"] = seed_limit(values, now, alpha=alpha, floor=floor(known, head["before"]))
    if gain < -head["limit"] or (entry.control and gain > head["limit"]):
        what = "a control moved" if entry.control else "worse than seeds explain"
        return Finding(**head, verdict="regression", reason="; ".join(filter(None, [what, note])))
    verdict = "improved" if gain > head["limit"] else "pass"
    return Finding(**head, verdict=verdict, reason=note)


def _seeds(entry: Entry, now: Now) -> list[int]:
    return [seed for seed in entry.seeds if seed in now.seeds]


def _job(entry: Entry, seed: int, now: Now) -> Seen | None:
    return now.jobs.get((entry.method, entry.dataset, entry.protocol, seed))


def _done(entry: Entry, seed: int, now: Now) -> Seen:
    job = _job(entry, seed, now)
    assert job is not None
    return job


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _squares(values: Sequence[float]) -> float:
    """Return the sum of squared deviations from the mean."""
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values)
