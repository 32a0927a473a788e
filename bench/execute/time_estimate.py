"""time_estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.messages import format_duration
from bench.plan.job import Job, Plan
from bench.registry import methods as method_registry
from bench.settings import Settings
from bench.store.mlflow_store import Tracker

_COST_SECONDS = {"light": 10.0, "heavy": 60.0}


@dataclass(frozen=True)
class Expected:
    """The wall time to expect."""

    seconds: float
    guessed: int
    """Jobs of methods without an earlier run: only their declared cost is known."""

    def __str__(self) -> str:
        said = f"about {format_duration(self.seconds)}"
        if self.guessed:
            has = "job has" if self.guessed == 1 else "jobs have"
            said += f" (a guess: {self.guessed} {has} no earlier run to go by)"
        return said


def expected(todo: Sequence[Job], tracker: Tracker | None, settings: Settings) -> Expected:
    """Return the wall time to expect: earlier runs of the method scaled by cells, else its cost.

    Each job costs its median time on the same dataset, or on any other per cell, or the prior of
    its declared cost; the sum is divided by the number of workers.
    """
    rates: dict[str, list[float]] = {}
    exact: dict[tuple[str, str], list[float]] = {}
    for row in tracker.rows() if tracker else []:
        if row["status"] == "done" and row["profile"] == settings.profile and "seconds" in row:
            rates.setdefault(row["method"], []).append(row["seconds"] / row["n_cells"])
            exact.setdefault((row["method"], row["dataset"]), []).append(row["seconds"])
    registry = method_registry(settings.plugins)
    total, guessed = 0.0, 0
    for job in todo:
        if (job.method, job.dataset) in exact:
            total += _median(exact[job.method, job.dataset])
        elif job.method in rates:
            total += _median(rates[job.method]) * job.facts["n_cells"]
        else:
            total += _COST_SECONDS[registry.get(job.method_name).cost]
            guessed += 1
    return Expected(total / min(settings.jobs, max(1, len(todo))), guessed)


def preview(plan: Plan, settings: Settings) -> tuple[list[dict[str, Any]], Expected]:
    """Return one row per method × dataset with how many jobs are done, and the time to go."""
    exists = bool(settings.tracking_uri) or settings.database.is_file()
    tracker = Tracker(settings) if exists else None
    known = tracker.committed() if tracker else {}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    todo = []
    for job in plan.jobs:
        row = rows.setdefault(
            (job.method, job.dataset),
            {"method": job.method, "dataset": job.dataset, "jobs": 0, "in store": 0, "state": ""},
        )
        row["jobs"] += 1
        if job.score_key in known:
            row["in store"] += 1
        else:
            todo.append(job)
        row["state"] = "done" if row["in store"] == row["jobs"] else "to do"
    return list(rows.values()), expected(todo, tracker, settings)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
