"""Jobs of a running driver on workers that an engine starts.

The driver writes tasks into a folder of jobs, has the engine start a worker for each, and reads
from the folder how they end. Results go to the driver's own spool, so that those of a driver that
was killed are stored by the next one.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.execute.local_executor import LocalExecutor

from .array import folder_facts
from .backend import EngineTask
from .dask_engine import DaskBackend
from .job_folder import STOP, JobFolder, QueuedJob
from .resources import JobCost, group_jobs, job_costs, task_request
from .slurm_engine import SlurmBackend
from .worker import MOST_ATTEMPTS

if TYPE_CHECKING:
    from bench.execute.limited_process import ProcessOutcome
    from bench.execute.local_executor import JobProgressHandler
    from bench.plan.job import Job
    from bench.settings import Settings
    from bench.store.result_store import ResultStore
    from bench.store.spool import Spool

    from .backend import Backend

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
_STEP_SECONDS = 5.0
_GRACE_SECONDS = 5.0
"""Time in which the file of a job's end may appear after its worker has ended."""


_BACKENDS: dict[str, Callable[[JobFolder, Settings], Backend]] = {
    "slurm": SlurmBackend, "dask": DaskBackend,
}  # fmt: skip


def open_engine(
    settings: Settings,
    cache: Path,
    spool: Spool,
    store: ResultStore,
    on_progress: JobProgressHandler,
) -> EngineExecutor:
    """Return the executor of the engine that the settings name.

    Raises ``UsageError`` if its package is not installed or its scheduler does not answer.
    """
    folder = make_live_folder(settings, cache)
    try:
        backend = _BACKENDS[settings.engine](folder, settings)
    except BaseException:
        shutil.rmtree(folder.root)
        raise
    logger.info(f"jobs run by --engine {settings.engine}: bench status {folder.root}")
    return EngineExecutor(folder, backend, settings, spool, store, on_progress)


def make_live_folder(settings: Settings, cache: Path) -> JobFolder:
    """Return a new folder of jobs for a driver that waits for them."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    return JobFolder.create(
        settings.results / "cluster" / name, folder_facts(settings, cache, live=True)
    )


@dataclass
class _OpenTask:
    """A task whose worker has not ended, or has ended without the ends of all jobs."""

    jobs: dict[str, QueuedJob] = field(default_factory=dict)
    """Those that have not ended, by score key."""
    ended: float | None = None
    reason: str = ""


class EngineExecutor:
    """Runs jobs on the workers of a backend (see ``bench.execute.engines.Executor``)."""

    def __init__(
        self,
        folder: JobFolder,
        backend: Backend,
        settings: Settings,
        spool: Spool,
        store: ResultStore,
        on_progress: JobProgressHandler,
    ) -> None:
        self._folder, self._backend, self._settings = folder, backend, settings
        self._spool, self._store, self._on_progress = spool, store, on_progress
        self.cancelled = threading.Event()
        self._submitted: list[tuple[QueuedJob, Callable[[], bool]]] = []
        self._waiting: deque[list[JobCost]] = deque()
        self._before: dict[str, tuple[QueuedJob, Callable[[], bool]]] = {}
        self._tasks: dict[int, _OpenTask] = {}
        self._attempts: dict[str, int] = {}
        self._n_tasks = 0
        self._steps_at = 0.0

    def __enter__(self) -> EngineExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.cancel()
        self._backend.close()
        if self._attempts:
            logger.warning(f"logs of the workers that were lost: {self._folder.root / 'logs'}")
        else:
            shutil.rmtree(self._folder.root, ignore_errors=True)

    def prepare(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, ProcessOutcome]]:
        """Apply the recipe of each job on this machine; yields them as they end."""
        settings, jobs = self._settings, list(jobs)
        if not jobs:
            return
        with LocalExecutor(
            settings.jobs, settings.threads, self._folder.cache, self._spool
        ) as executor:
            yield from executor.prepare(jobs)

    def submit(
        self, job: Job, before: Callable[[], bool] = lambda: True, fitted: Path | None = None
    ) -> None:
        """Queue a job; it is dropped if ``before()`` returns false when its turn comes."""
        self._submitted.append((QueuedJob(job, fitted and fitted.resolve()), before))

    def as_completed(self) -> Iterator[tuple[Job, Path | None]]:
        """Yield each job as it ends, with its folder in the spool (``None`` if dropped)."""
        while self._submitted or self._waiting or self._tasks:
            self._queue_submitted()
            yield from self._start_tasks()
            ended = [*self._ended_jobs(), *self._lost_jobs()]
            yield from ended
            self._show_steps()
            if not ended:
                time.sleep(POLL_SECONDS)

    def cancel(self) -> None:
        """Drop the queue and end the workers."""
        self.cancelled.set()
        (self._folder.root / STOP).touch()
        self._backend.cancel()

    # -- starting --------------------------------------------------------------------------

    def _queue_submitted(self) -> None:
        """Make tasks of the jobs that were submitted, the longest first."""
        if not self._submitted:
            return
        costs = job_costs(
            [queued.job for queued, _ in self._submitted], self._store, self._settings
        )
        self._before |= {one[0].job.score_key: one for one in self._submitted}
        self._submitted = []
        total = sum(cost.expected for cost in costs)
        longest = min(
            60 * self._settings.engine_options.task_minutes, total / self._backend.most_tasks
        )
        self._waiting += group_jobs(costs, longest if self._backend.shares_tasks else 0.0)

    def _start_tasks(self) -> Iterator[tuple[Job, None]]:
        """Start tasks as far as the limits allow; yields jobs that are dropped."""
        started = []
        while self._waiting and self._has_room():
            group = self._waiting.popleft()
            chosen: list[JobCost] = []
            for cost in group:
                if self._before[cost.job.score_key][1]():
                    chosen.append(cost)
                else:
                    yield cost.job, None
            if chosen:
                started.append(self._write_task(chosen))
        if started:
            self._backend.start(started)

    def _has_room(self) -> bool:
        jobs = sum(len(task.jobs) for task in self._tasks.values())
        most = self._settings.engine_options.open_jobs
        return len(self._tasks) < self._backend.most_tasks and jobs < most

    def _write_task(self, costs: Sequence[JobCost]) -> EngineTask:
        self._n_tasks += 1
        queued = [self._before[cost.job.score_key][0] for cost in costs]
        self._folder.add_task(self._n_tasks, queued)
        self._tasks[self._n_tasks] = _OpenTask({one.job.score_key: one for one in queued})
        expected = sum(cost.expected for cost in costs)
        return EngineTask(self._n_tasks, task_request(costs), expected)

    # -- ending ----------------------------------------------------------------------------

    def _ended_jobs(self) -> list[tuple[Job, Path | None]]:
        """Return the jobs that have ended since the last call."""
        there = {path.stem for path in (self._folder.root / "ended").iterdir()}
        found: list[tuple[Job, Path | None]] = []
        for number, task in [*self._tasks.items()]:
            for key in there & task.jobs.keys():
                if (self._spool.root / key).is_dir():
                    found.append((task.jobs.pop(key).job, self._spool.root / key))
            if not task.jobs:
                del self._tasks[number]
        return found

    def _lost_jobs(self) -> list[tuple[Job, Path | None]]:
        """Start jobs of lost workers once more; returns those that have ended all the same."""
        for number, answer in self._backend.ended_tasks():
            if "error" in answer:
                raise UsageError(answer["error"], code=answer["code"])
            if number in self._tasks:
                task = self._tasks[number]
                task.ended, task.reason = time.monotonic(), answer.get("reason", "")
        ended: list[tuple[Job, Path | None]] = []
        again: list[JobCost] = []
        for number, task in [*self._tasks.items()]:
            if task.ended is None or time.monotonic() - task.ended < _GRACE_SECONDS:
                continue
            del self._tasks[number]
            for key, queued in task.jobs.items():
                job = queued.job
                if self._has_result(job):
                    ended.append((job, self._spool.root / key))
                    continue
                self._attempts[job.score_key] = self._attempts.get(job.score_key, 1) + 1
                if self._attempts[job.score_key] <= MOST_ATTEMPTS:
                    logger.info(f"{job.name}: its worker was lost, runs once more: {task.reason}")
                    again += job_costs([job], self._store, self._settings)
                else:
                    reason = f"its worker was lost {MOST_ATTEMPTS} times: {task.reason}"
                    ended.append((job, self._spool.add_failure(job, reason, "interrupted")))
        if again:
            self._backend.start([self._write_task([cost]) for cost in again])
        return ended

    def _has_result(self, job: Job) -> bool:
        """Return whether a job whose worker has ended left a result.

        One that was killed may not have noted the end; another driver that started meanwhile may
        have stored the result.
        """
        waits = (self._spool.root / job.score_key).is_dir()
        return waits or job.score_key in self._store.stored_jobs([job.score_key])

    def _show_steps(self) -> None:
        """Show the steps that running workers report."""
        now = time.monotonic()
        if now - self._steps_at < _STEP_SECONDS:
            return
        self._steps_at = now
        for task in self._tasks.values():
            for queued in task.jobs.values():
                found = self._folder.read_claim(queued.job)
                if found is not None and "step" in found[0]:
                    self._on_progress(queued.job, found[0])
