"""The verdicts, and the thresholds behind them (derived in ``docs/ci.md``)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scipy.stats import t

from bench.scoring.metrics import Metric, metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .baseline_file import Baseline, BaselineDataset, BaselineEntry

ALPHA = 0.01
"""Probability of any false alarm in a check of unchanged code in another environment."""
FLOOR = 0.02
"""Smallest limit. One cell in a hundred in a wrong cluster costs 0.014 to 0.035 of ARI and NMI."""
EXACT = 1e-6
"""Largest difference between runs of equal code in equal environments, without PyTorch."""
TORCH = 1e-4
"""The same for methods on PyTorch, whose reductions may change their order."""
REGRESSIONS = ("regression",)
INCOMPLETE = ("failed", "missing")


@dataclass(frozen=True)
class JobScores:
    """Status and scores of one job of the present run."""

    status: str
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    """Score without a value → reason."""
    seconds: float | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class CurrentRun:
    """The present run, to be compared with a baseline."""

    environment: str
    seeds: tuple[int, ...]
    jobs: Mapping[tuple[str, str, str, int], JobScores]
    """Scores of the jobs, by method, dataset, protocol and seed."""
    data: Mapping[str, BaselineDataset]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Method or dataset that cannot be used → reason."""
    excluded: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Method and dataset that cannot be combined → reason."""


@dataclass(frozen=True)
class GateFinding:
    """One verdict: ``pass``, ``improved``, ``changed``, ``regression``, ``failed`` or ``missing``.

    ``tier`` is the kind of comparison: ``same environment`` (equal code gives equal numbers),
    ``seeds`` (a mean may not be worse by more than ``limit``) or empty without a comparison.
    """

    method: str
    dataset: str
    protocol: str
    metric: str
    verdict: str
    tier: str = ""
    before: float | None = None
    """Mean of the baseline over the compared seeds."""
    now: float | None = None
    limit: float | None = None
    reason: str = ""


def compare_run(baseline: Baseline, run: CurrentRun) -> list[GateFinding]:
    """Return a verdict for each method, dataset, protocol and metric of the baseline."""
    n_comparisons = sum(
        len(entry.values)
        for entry in baseline.entries
        if not _is_same_environment(baseline, entry, run)
    )
    known = metrics(baseline.settings.plugins)
    findings = []
    for entry in baseline.entries:
        head = GateFinding(entry.method, entry.dataset, entry.protocol, "all", "missing")
        obstacle = _obstacle(baseline, entry, run)
        if obstacle is not None:
            verdict, reason = obstacle
            findings.append(replace(head, verdict=verdict, reason=reason))
            continue
        for score in entry.values:
            metric = known.get(score.rpartition("/")[2])
            finding = _compare_score(entry, replace(head, metric=score), metric, run)
            if finding.verdict == "missing":
                findings.append(finding)
            elif _is_same_environment(baseline, entry, run):
                findings.append(_compare_each_seed(entry, finding, direction(metric), run))
            else:
                assert metric is not None
                is_changed = run.data[entry.dataset] != baseline.datasets[entry.dataset]
                finding = replace(finding, reason="other data" if is_changed else "")
                findings.append(_compare_means(entry, finding, metric, run, n_comparisons))
    return findings


def exit_code(findings: Sequence[GateFinding]) -> int:
    """Return 1 for a regression, 3 if something could not be compared, else 0."""
    verdicts = {finding.verdict for finding in findings}
    if verdicts & {*REGRESSIONS}:
        return 1
    return 3 if verdicts & {*INCOMPLETE} else 0


def seed_limit(
    before: Sequence[float], now: Sequence[float], *, alpha: float, floor: float = FLOOR
) -> float:
    """Return the largest loss of the mean over seeds, from ``before`` to ``now``, that passes.

    Student's one-sided two-sample test: t(1 - alpha, n + m - 2) · s · √(1/n + 1/m) with the pooled
    standard deviation s, never below ``floor``. Needs three values in all.
    """
    n, m = len(before), len(now)
    spread = math.sqrt((_squares(before) + _squares(now)) / (n + m - 2))
    quantile = float(t.ppf(1.0 - alpha, n + m - 2))
    return max(floor, quantile * spread * math.sqrt(1.0 / n + 1.0 / m))


def direction(metric: Metric | None) -> int:
    """Return 1 if higher is better, -1 if lower is better, 0 if the metric has no direction."""
    if metric is None or metric.higher_is_better is None:
        return 0
    return 1 if metric.higher_is_better else -1


def smallest_limit(metric: Metric, mean: float) -> float:
    """Return the smallest limit: absolute within [-1, 1], relative to the mean elsewhere."""
    low, high = metric.bounds
    return FLOOR if low >= -1 and high <= 1 else FLOOR * abs(mean)


def _is_same_environment(baseline: Baseline, entry: BaselineEntry, run: CurrentRun) -> bool:
    """Return whether environment and data are equal: equal code must then give equal numbers."""
    data = run.data.get(entry.dataset)
    return entry.environment == run.environment and data == baseline.datasets[entry.dataset]


def _obstacle(baseline: Baseline, entry: BaselineEntry, run: CurrentRun) -> tuple[str, str] | None:
    """Return verdict and reason if the entry cannot be compared, else ``None``."""
    for name in (entry.dataset, entry.method):
        if name in run.unavailable:
            return "missing", run.unavailable[name]
    if (entry.method, entry.dataset) in run.excluded:
        return "missing", run.excluded[entry.method, entry.dataset]
    before, data = baseline.datasets[entry.dataset], run.data[entry.dataset]
    for noun in ("cells", "features", "types"):
        number, old_number = (getattr(facts, f"n_{noun}") for facts in (data, before))
        if number != old_number:
            return "missing", f"other data: {number} {noun}, {old_number} in the baseline"
    left_out = [seed for seed in entry.seeds if seed not in run.seeds]
    if left_out:
        count = f"{len(left_out)} of the baseline's {len(entry.seeds)} seeds"
        return "missing", f"seed {left_out[0]}: not run; {count} are left out by --seeds"
    jobs = {seed: run.jobs.get(_job_key(entry, seed)) for seed in entry.seeds}
    absent = [seed for seed, job in jobs.items() if job is None]
    if absent:
        return "missing", f"seed {absent[0]}: no result; {len(absent)} of {len(jobs)} seeds"
    unfinished = {seed: job for seed, job in jobs.items() if job and job.status != "done"}
    if unfinished:
        seed, job = next(iter(unfinished.items()))
        count = f"{len(unfinished)} of {len(jobs)} seeds"
        return "failed", f"seed {seed}: {job.status}: {job.reason}; {count}"
    return None


def _compare_score(
    entry: BaselineEntry, finding: GateFinding, metric: Metric | None, run: CurrentRun
) -> GateFinding:
    """Return the finding with both means, as ``pass``, or as ``missing`` with the reason."""
    score = finding.metric
    for seed in entry.seeds:
        job = run.jobs[_job_key(entry, seed)]
        if score not in job.values:
            reason = job.missing.get(score, "this version does not compute it")
            return replace(finding, reason=f"seed {seed}: {reason}")
    if not direction(metric):
        return replace(finding, reason="has no better or worse")
    pairs = _seed_pairs(entry, score, run).values()
    before, now = (_mean(values) for values in zip(*pairs, strict=True))
    return replace(finding, verdict="pass", before=before, now=now)


def _compare_each_seed(
    entry: BaselineEntry, finding: GateFinding, sign: int, run: CurrentRun
) -> GateFinding:
    """Return the finding by a comparison of each seed: equal code must give equal numbers."""
    finding = replace(finding, tier="same environment", limit=entry.tolerance)
    pairs = _seed_pairs(entry, finding.metric, run)
    gains = {seed: sign * (now - before) for seed, (before, now) in pairs.items()}
    differing = [seed for seed, gain in gains.items() if abs(gain) > entry.tolerance]
    if not differing:
        return finding
    seed = max(differing, key=lambda seed: abs(gains[seed]))
    before, now = pairs[seed]
    reason = (
        f"{len(differing)} of {len(pairs)} seeds differ; seed {seed}: {before:.6g} → {now:.6g}"
    )
    gain = _mean([*gains.values()])
    if entry.control or gain < -entry.tolerance:
        return replace(finding, verdict="regression", reason=reason)
    verdict = "improved" if gain > entry.tolerance else "changed"
    return replace(finding, verdict=verdict, reason=reason)


def _compare_means(
    entry: BaselineEntry,
    finding: GateFinding,
    metric: Metric,
    run: CurrentRun,
    n_comparisons: int,
) -> GateFinding:
    """Return the finding by a comparison of means; controls may change in neither direction."""
    before = entry.values[finding.metric]
    now = [value for _, value in _seed_pairs(entry, finding.metric, run).values()]
    mean = _mean(before)
    finding = replace(finding, tier="seeds", before=mean)
    if entry.control and max(before) - min(before) <= EXACT and before[0] in metric.bounds:
        limit = EXACT  # the truth scores 1 on every machine
    elif len(before) + len(now) < 3:
        reason = "one seed: no spread for a comparison in another environment"
        return replace(finding, verdict="missing", reason=reason)
    else:
        alpha = ALPHA / n_comparisons / (2 if entry.control else 1)
        limit = seed_limit(before, now, alpha=alpha, floor=smallest_limit(metric, mean))
    finding = replace(finding, limit=limit)
    gain = direction(metric) * (_mean(now) - mean)
    if gain < -limit or (entry.control and gain > limit):
        reason = "a control moved" if entry.control else "worse than seeds explain"
        reason += f"; {finding.reason}" if finding.reason else ""
        return replace(finding, verdict="regression", reason=reason)
    return replace(finding, verdict="improved" if gain > limit else "pass")


def _job_key(entry: BaselineEntry, seed: int) -> tuple[str, str, str, int]:
    return entry.method, entry.dataset, entry.protocol, seed


def _seed_pairs(
    entry: BaselineEntry, score: str, run: CurrentRun
) -> dict[int, tuple[float, float]]:
    """Return seed → (value in the baseline, present value)."""
    before = dict(zip(entry.seeds, entry.values[score], strict=True))
    return {
        seed: (before[seed], float(run.jobs[_job_key(entry, seed)].values[score]))
        for seed in entry.seeds
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _squares(values: Sequence[float]) -> float:
    """Return the sum of squared deviations from the mean."""
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values)
