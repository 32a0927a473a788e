"""Baseline entries and job scores of a run."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.registry import methods as registry
from bench.selectors import parse_selector, split_selectors
from bench.store.run_tags import read_json

from .baseline_file import Baseline, BaselineDataset, BaselineEntry
from .verdicts import EXACT, TORCH, CurrentRun, JobScores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.execute.outcome import RunOutcome
    from bench.settings import Settings


def job_scores(outcome: RunOutcome) -> dict[tuple[str, str, str, int], JobScores]:
    """Return the finished jobs of a run by method, dataset, protocol and seed."""
    assert outcome.table is not None
    scores = {}
    for row in outcome.table.to_dict("records"):
        if row.get("seed") is None or row["seed"] != row["seed"]:
            continue  # an excluded combination
        numbers = {str(k): v for k, v in row.items() if isinstance(v, float) and v == v}
        key = (row["method"], row["dataset"], row["protocol"], int(row["seed"]))
        scores[key] = JobScores(
            row["status"], row["reason"] or "", {k: v for k, v in numbers.items() if "/" in k},
            read_json(row["missing"]), numbers.get("seconds"),
            numbers.get("peak_memory_mb"),
        )  # fmt: skip
    return scores


def make_entries(
    outcome: RunOutcome, keys: Sequence[str], environment: str, settings: Settings
) -> tuple[list[BaselineEntry], list[str]]:
    """Return the entries of a run, and one line for each method and dataset without an entry."""
    scores = job_scores(outcome)
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for job in outcome.plan.jobs:
        groups.setdefault((job.method, job.dataset, job.protocol), []).append(job)
    entries, excluded = [], []
    for (method, dataset, protocol), jobs in groups.items():
        by_seed = {job.seed: scores[method, dataset, protocol, job.seed] for job in jobs}
        reason = _exclusion_reason(method, by_seed, keys)
        if reason:
            excluded.append(f"{method} × {dataset}: {reason}")
            continue
        first, finished = jobs[0], by_seed.values()
        gpu = registry(settings.plugins).get(first.method_name).gpu
        entries.append(
            BaselineEntry(
                method=method, dataset=dataset, protocol=protocol,
                control=first.family == "control", environment=environment,
                source=first.facts["source"], tolerance=TORCH if gpu else EXACT,
                seeds=tuple(by_seed),
                values={key: tuple(job.values[key] for job in finished) for key in keys},
                seconds=_rounded_median([job.seconds for job in finished], 3),
                peak_memory_mb=_rounded_median([job.peak_memory_mb for job in finished], 0),
            )
        )  # fmt: skip
    return entries, excluded


def _exclusion_reason(method: str, by_seed: dict[int, JobScores], keys: Sequence[str]) -> str:
    """Return the reason why jobs cannot become an entry, in one line; empty if they can."""
    for seed, job in by_seed.items():
        if job.status != "done":
            return f"seed {seed}: {job.status}: {job.reason}"
        for metric in keys:
            if metric not in job.values:
                reason = job.missing.get(metric, "not among the scores")
                return f"seed {seed}: no {metric}: {reason}"
    try:
        [part] = split_selectors(method)
        parse_selector(part)
    except (UsageError, ValueError):
        return "its name cannot be selected again: a value holds a comma or bracket"
    return ""


def baseline_datasets(
    outcome: RunOutcome, selectors: dict[str, str]
) -> dict[str, BaselineDataset]:
    """Return selector, size and digests of each dataset that had jobs."""
    facts = {job.dataset: job.facts for job in outcome.plan.jobs}
    return {
        label: BaselineDataset(
            select=selectors[label], n_cells=one["n_cells"], n_features=one["n_features"],
            n_types=one["n_types"], counts=one["counts_digest"], labels=one["labels_digest"],
        )
        for label, one in facts.items()
    }  # fmt: skip


def describe_changes(
    entries: Mapping[tuple[str, str], BaselineEntry], entry: BaselineEntry
) -> list[str]:
    """Return one line for each metric whose mean changes by more than the tolerance."""
    key = (entry.method, entry.dataset)
    head = " × ".join(key)
    if key not in entries:
        return [f"{head}: new"]
    lines = []
    for metric, values in entry.values.items():
        before = entries[key].values.get(metric, values)
        change = abs(fmean(values) - fmean(before))
        if change > entry.tolerance:
            lines.append(f"{head} {metric}: {fmean(before):.4f} → {fmean(values):.4f}")
    return lines


def compare_costs(baseline: Baseline, run: CurrentRun) -> list[dict[str, Any]]:
    """Return median seconds and MiB in the baseline and now, one row an entry."""
    rows = []
    for entry in baseline.entries:
        keys = [(entry.method, entry.dataset, entry.protocol, seed) for seed in entry.seeds]
        jobs = [run.jobs[key] for key in keys if key in run.jobs]
        rows.append(
            {
                "method": entry.method,
                "dataset": entry.dataset,
                "seconds before": entry.seconds,
                "seconds now": _rounded_median([job.seconds for job in jobs], 3),
                "MiB before": entry.peak_memory_mb,
                "MiB now": _rounded_median([job.peak_memory_mb for job in jobs], 0),
            }
        )
    return rows


def _rounded_median(values: Sequence[float | None], digits: int) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), digits) if known else None
