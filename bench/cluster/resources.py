"""What the tasks of an array ask of a scheduler, from earlier runs and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.execute.time_estimate import expected_seconds
from bench.registry import import_method

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.plan.job import Job
    from bench.settings import Settings
    from bench.store.result_store import ResultStore

_MARGIN = 1.5
"""Factor on the largest time and memory of earlier fits."""
_LIBRARIES_GIB = 2.0
"""Memory of the worker, and of the libraries that its fits share."""
_START_SECONDS = 120.0
"""Time of a worker to load libraries, and of the scores of a job whose fit has a known time."""
_LOAD_SECONDS = 5.0
"""Time of a job beside its fit."""
_TIMES = (600, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)
"""Times that tasks ask for: schedulers take equal tasks as one array."""


@dataclass(frozen=True, order=True)
class Request:
    """What a task asks for; tasks with equal requests are one array."""

    device: str
    threads: int
    memory_gib: int
    seconds: int

    @property
    def clock(self) -> str:
        """The time as ``hours:minutes:seconds``."""
        minutes, seconds = divmod(self.seconds, 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


@dataclass(frozen=True)
class JobCost:
    """What one job is expected to take, and what is asked for it."""

    job: Job
    expected: float
    """Seconds."""
    seconds: float
    """Seconds to ask for."""
    memory: float
    """GiB to ask for."""


def job_costs(jobs: Sequence[Job], store: ResultStore | None, settings: Settings) -> list[JobCost]:
    """Return the costs of jobs.

    Asked for is 1.5 times the longest and largest earlier fit of the method on the dataset.
    Without one it is what the table ``[engine]`` says of the method's declared cost, else the
    limits.
    """
    longest: dict[tuple[str, str], float] = {}
    largest: dict[tuple[str, str], float] = {}
    earlier = store.peak_memory({job.method for job in jobs}) if store else []
    for method, dataset, seconds, peak in earlier:
        key = method, dataset
        longest[key] = max(longest.get(key, 0.0), seconds)
        largest[key] = max(largest.get(key, 0.0), peak / 1024)
    options = settings.engine_options
    costs = []
    for job, (expected, _) in zip(jobs, expected_seconds(jobs, store, settings), strict=True):
        key = job.method, job.dataset
        if key in longest:
            seconds = _MARGIN * longest[key] + _START_SECONDS
            memory = max(1.0, _MARGIN * largest[key])
        else:
            heavy = import_method(job.origin, job.method_name).cost == "heavy"
            first = options.heavy if heavy else options.light
            seconds = 60 * first.minutes if first.minutes else job.timeout
            memory = first.memory or job.memory
        costs.append(JobCost(job, expected, min(seconds, job.timeout), min(memory, job.memory)))
    return costs


def task_request(costs: Iterable[JobCost]) -> Request:
    """Return what a task of these jobs, one after another, asks for.

    Its time is that of the job that asks for most, and 1.5 times the expected time of the others.
    """
    costs = list(costs)
    most = max(costs, key=lambda cost: cost.seconds)
    others = sum(cost.expected + _LOAD_SECONDS for cost in costs if cost is not most)
    seconds = most.seconds + _MARGIN * others + _START_SECONDS
    memory = max(cost.memory for cost in costs) + _LIBRARIES_GIB
    job = most.job
    return Request(job.device, job.threads, _rounded_memory(memory), _rounded_time(seconds))


def _rounded_memory(gib: float) -> int:
    """Return the next even number of GiB, above 16 the next multiple of 8."""
    step = 2 if gib <= 16 else 8
    return int(-(-gib // step) * step)


def _rounded_time(seconds: float) -> int:
    return next((time for time in _TIMES if time >= seconds), int(-(-seconds // 86400) * 86400))


def group_jobs(costs: Iterable[JobCost], task_seconds: float) -> list[list[JobCost]]:
    """Return groups of jobs for tasks, the longest tasks first.

    Jobs of one dataset with the same device and threads share a task as long as their expected
    time is below ``task_seconds``.
    """
    open_groups: dict[tuple[str, str, int, int], list[JobCost]] = {}
    groups = []
    for cost in sorted(costs, key=lambda cost: -cost.expected):
        job = cost.job
        key = job.dataset, job.device, job.threads, _rounded_memory(cost.memory)
        group = open_groups.get(key)
        used = sum(one.expected + _LOAD_SECONDS for one in group or ())
        if group is None or used + cost.expected > task_seconds:
            group = open_groups[key] = []
            groups.append(group)
        group.append(cost)
    return sorted(groups, key=lambda group: -sum(cost.expected for cost in group))
