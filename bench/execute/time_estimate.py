"""Estimates of the wall time of jobs, from earlier runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.messages import format_duration
from bench.registry import import_method
from bench.store.result_store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.plan.job import Job, Plan
    from bench.settings import Settings

_COST_SECONDS = {"light": 10.0, "heavy": 60.0}


@dataclass(frozen=True)
class TimeEstimate:
    """The expected wall time of several jobs."""

    seconds: float
    guessed: int
    """Number of jobs of methods without an earlier run, estimated by their declared cost."""

    def __str__(self) -> str:
        text = f"about {format_duration(self.seconds)}"
        if self.guessed:
            jobs = "job has" if self.guessed == 1 else "jobs have"
            text += f" (a guess: {self.guessed} {jobs} no earlier run to go by)"
        return text


def estimate_time(
    todo: Sequence[Job], store: ResultStore | None, settings: Settings
) -> TimeEstimate:
    """Return the expected wall time of jobs with ``settings.jobs`` workers.

    A job's estimate is the median time of its method on the same dataset, else from the median
    time per cell on other datasets, else a fixed time for the method's declared cost.
    """
    jobs = expected_seconds(todo, store, settings)
    total = sum(seconds for seconds, _ in jobs)
    guessed = sum(guess for _, guess in jobs)
    return TimeEstimate(total / min(settings.jobs, max(1, len(todo))), guessed)


def expected_seconds(
    todo: Sequence[Job], store: ResultStore | None, settings: Settings
) -> list[tuple[float, bool]]:
    """Return the expected time of each job, and whether it is a guess by the declared cost."""
    per_cell: dict[str, list[float]] = {}
    same_dataset: dict[tuple[str, str], list[float]] = {}
    methods = {job.method for job in todo}
    earlier = store.durations(methods, settings.profile) if store and todo else []
    for method, dataset, seconds, n_cells in earlier:
        per_cell.setdefault(method, []).append(seconds / n_cells)
        same_dataset.setdefault((method, dataset), []).append(seconds)
    times = []
    for job in todo:
        if (job.method, job.dataset) in same_dataset:
            times.append((_median(same_dataset[job.method, job.dataset]), False))
        elif job.method in per_cell:
            times.append((_median(per_cell[job.method]) * job.facts["n_cells"], False))
        else:
            cost = import_method(job.origin, job.method_name).cost
            times.append((_COST_SECONDS[cost], True))
    return times


def summarize_plan(plan: Plan, settings: Settings) -> tuple[list[dict[str, Any]], TimeEstimate]:
    """Return one row per method × dataset with its numbers of jobs, and the remaining time."""
    exists = bool(settings.tracking_uri) or settings.database.is_file()
    store = ResultStore(settings) if exists else None
    stored = store.stored_jobs(job.score_key for job in plan.jobs) if store else {}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    todo = []
    searched = any(job.protocol != "default" for job in plan.jobs)
    for job in plan.jobs:
        protocol = {"protocol": job.protocol} if searched else {}
        row = rows.setdefault(
            (job.method, job.dataset),
            {"method": job.method, "dataset": job.dataset, **protocol, "jobs": 0, "in store": 0,
             "state": ""},
        )  # fmt: skip
        row["jobs"] += 1
        if job.score_key in stored and stored[job.score_key].status != "interrupted":
            row["in store"] += 1
        else:
            todo.append(job)
        row["state"] = "done" if row["in store"] == row["jobs"] else "to do"
    return list(rows.values()), estimate_time(todo, store, settings)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
