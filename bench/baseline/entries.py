"""From a run to entries of a baseline, and to what a check compares."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.registry import methods as registry
from bench.selectors import parse_selector, split_selectors
from bench.store.run_tags import read_json

from .baseline_file import Baseline, Data, Entry
from .verdicts import EXACT, TORCH, Now, Seen

if TYPE_CHECKING:
    from bench.execute.outcome import RunOutcome
    from bench.settings import Settings


def seen_jobs(outcome: RunOutcome) -> dict[tuple[str, str, str, int], Seen]:
    """Return the finished jobs of a run by method, dataset, protocol and seed."""
    assert outcome.results is not None
    found = {}
    for row in outcome.results.to_dict("records"):
        if row.get("seed") is None or row["seed"] != row["seed"]:
            continue  # a combination that was left out
        numbers = {str(k): v for k, v in row.items() if isinstance(v, float) and v == v}
        place = (row["method"], row["dataset"], row["protocol"], int(row["seed"]))
        found[place] = Seen(
            row["status"], row["reason"] or "", {k: v for k, v in numbers.items() if "/" in k},
            read_json(row["missing"]), numbers.get("seconds"),
            numbers.get("peak_memory_mb"),
        )  # fmt: skip
    return found


def make_entries(
    outcome: RunOutcome, keys: Sequence[str], environment: str, settings: Settings
) -> tuple[list[Entry], list[str]]:
    """Return the entries of a run, and lines on what is left out."""
    seen = seen_jobs(outcome)
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for job in outcome.plan.jobs:
        groups.setdefault((job.method, job.dataset, job.protocol), []).append(job)
    entries, left_out = [], []
    for (method, dataset, protocol), jobs in groups.items():
        done = {job.seed: seen[method, dataset, protocol, job.seed] for job in jobs}
        trouble = _unfit(method, done, keys)
        if trouble:
            left_out.append(f"{method} × {dataset}: {trouble}")
            continue
        first = jobs[0]
        gpu = registry(settings.plugins).get(first.method_name).gpu
        entries.append(
            Entry(
                method=method, dataset=dataset, protocol=protocol,
                control=first.family == "control", environment=environment,
                source=first.facts["source"], tolerance=TORCH if gpu else EXACT,
                seeds=tuple(done),
                values={k: tuple(one.values[k] for one in done.values()) for k in keys},
                seconds=_middle([one.seconds for one in done.values()], 3),
                peak_memory_mb=_middle([one.peak_memory_mb for one in done.values()], 0),
            )
        )  # fmt: skip
    return entries, left_out


def _unfit(method: str, done: dict[int, Seen], keys: Sequence[str]) -> str:
    """Return why jobs cannot be an entry, in one line; empty if they can."""
    for seed, one in done.items():
        if one.status != "done":
            return f"seed {seed}: {one.status}: {one.reason}"
        for metric in keys:
            if metric not in one.values:
                why = one.missing.get(metric, "not among the scores")
                return f"seed {seed}: no {metric}: {why}"
    try:
        [part] = split_selectors(method)
        parse_selector(part)
    except (UsageError, ValueError):
        return "its name cannot be selected again: a value holds a comma or bracket"
    return ""


def known_data(outcome: RunOutcome, selectors: dict[str, str]) -> dict[str, Data]:
    """Return what is known of each dataset that had jobs."""
    facts = {job.dataset: job.facts for job in outcome.plan.jobs}
    return {
        label: Data(
            select=selectors[label], n_cells=one["n_cells"], n_features=one["n_features"],
            n_types=one["n_types"], counts=one["counts_digest"], labels=one["labels_digest"],
        )
        for label, one in facts.items()
    }  # fmt: skip


def changes(
    known: dict[tuple[str, str], Entry], place: tuple[str, str], entry: Entry
) -> list[str]:
    """Return a line for each metric whose mean an update changes."""
    head = " × ".join(place)
    if place not in known:
        return [f"{head}: new"]
    lines = []
    for metric, values in entry.values.items():
        before = known[place].values.get(metric, values)
        change = abs(fmean(values) - fmean(before))
        if change > entry.tolerance:
            lines.append(f"{head} {metric}: {fmean(before):.4f} → {fmean(values):.4f}")
    return lines


def costs(baseline: Baseline, now: Now) -> list[dict[str, Any]]:
    """Return middle seconds and MiB, before and now, one row an entry."""
    rows = []
    for entry in baseline.entries:
        places = [(entry.method, entry.dataset, entry.protocol, seed) for seed in entry.seeds]
        jobs = [now.jobs[place] for place in places if place in now.jobs]
        rows.append(
            {
                "method": entry.method,
                "dataset": entry.dataset,
                "seconds before": entry.seconds,
                "seconds now": _middle([one.seconds for one in jobs], 3),
                "MiB before": entry.peak_memory_mb,
                "MiB now": _middle([one.peak_memory_mb for one in jobs], 0),
            }
        )
    return rows


def _middle(values: Sequence[float | None], digits: int) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), digits) if known else None
