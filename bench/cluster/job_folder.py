"""The folder through which a driver and its workers share jobs.

``array.json`` says where results and cache are and which versions the driver has. Task 7 is
``tasks/7.json``, a list of jobs; ``running/<score key>.json`` is the claim of a worker that runs a
job, ``ended/<score key>.json`` says how the job ended, and ``spool/`` holds the results. A worker
writes claims, ends and results; the database of results is the driver's alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.cache.folder_state import write_text_atomically
from bench.errors import UsageError
from bench.plan.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT = 1
STOP = "stop"
"""File by which a driver asks workers to end their jobs."""
STALE_SECONDS = 60.0
"""Age of the last sign of life at which a worker counts as lost."""
RUNNING, LOST, WAITING, ENDED, MISSING = "running", "lost", "in the spool", "ended", "missing"
"""States of a job in the folder."""


@dataclass(frozen=True)
class QueuedJob:
    """A job for a worker."""

    job: Job
    fitted: Path | None = None
    """Artifacts of a finished fit with the same fit key: only scores are computed."""
    plugin: Path | None = None
    """Copy of the method's plugin in the folder."""


@dataclass(frozen=True)
class JobState:
    """Where one job of the folder stands."""

    job: Job
    task: int
    state: str
    status: str = ""
    """How it ended."""
    reason: str = ""
    seconds: float = 0.0
    """Time since its worker began, of one that runs or whose worker was lost."""
    claim: dict[str, Any] = field(default_factory=dict)


class JobFolder:
    """Tasks, claims, ends and results in one folder.

    Raises ``UsageError`` if it is none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        try:
            self.facts: dict[str, Any] = json.loads((self.root / "array.json").read_text())
        except OSError:
            raise UsageError(
                f"{root}: no folder of jobs (no array.json), or not seen from this machine "
                f"({platform.node()}); give the one that 'bench plan --array' wrote.",
                code="no_job_folder",
            ) from None
        except ValueError as error:
            raise UsageError(f"{root}/array.json: damaged: {error}.", code="unreadable") from None
        if self.facts.get("format") != FORMAT:
            raise UsageError(
                f"{root}: written by another version of this program; plan the array again.",
                code="other_versions",
            )

    @classmethod
    def create(cls, root: Path, facts: dict[str, Any]) -> JobFolder:
        """Make an empty folder; ``facts`` are stored in it.

        Raises ``UsageError`` if there are files in it.
        """
        if root.is_dir() and any(root.iterdir()):
            raise UsageError(
                f"{root}: not empty; name a new folder, or 'bench sync {root}' if it is an array.",
                code="file_exists",
            )
        for name in ("tasks", "running", "ended", "spool", "work", "logs"):
            (root / name).mkdir(parents=True, exist_ok=True)
        write_text_atomically(
            root / "array.json", json.dumps(facts | {"format": FORMAT}, indent=1)
        )
        return cls(root)

    def add_facts(self, **facts: Any) -> None:
        """Store more facts in the folder."""
        self.facts |= facts
        write_text_atomically(self.root / "array.json", json.dumps(self.facts, indent=1))

    @property
    def spool(self) -> Path:
        """The folder of results; that of the driver, if it runs at the same time."""
        return self.root / str(self.facts["spool"])

    @property
    def cache(self) -> Path:
        """The cache of the jobs' data; a copy inside the folder, if it has one."""
        return self.root / str(self.facts["cache"])

    # -- tasks -----------------------------------------------------------------------------

    def add_task(self, number: int, jobs: Iterable[QueuedJob]) -> None:
        """Write the jobs of a task."""
        content = [
            {"job": one.job.as_dict()}
            | {name: str(path) for name, path in (("fitted", one.fitted), ("plugin", one.plugin))
               if path is not None}
            for one in jobs
        ]  # fmt: skip
        write_text_atomically(self.root / "tasks" / f"{number}.json", json.dumps(content))

    def task_numbers(self) -> list[int]:
        """Return the numbers of all tasks."""
        return sorted(int(path.stem) for path in (self.root / "tasks").glob("[0-9]*.json"))

    def task(self, number: int) -> list[QueuedJob]:
        """Return the jobs of a task as they were planned.

        Raises ``UsageError`` if there is none of this number.
        """
        path = self.root / "tasks" / f"{number}.json"
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            numbers = self.task_numbers()
            known = f"1 to {numbers[-1]}" if numbers else "none"
            raise UsageError(
                f"{self.root}: no task {number}; there are: {known}.", code="unknown_name"
            ) from None
        return [
            QueuedJob(
                Job.from_dict(one["job"]),
                self.root / one["fitted"] if "fitted" in one else None,
                self.root / one["plugin"] if "plugin" in one else None,
            )
            for one in content
        ]

    def local_job(self, queued: QueuedJob, cache: Path) -> Job:
        """Return a job that reads its data from a cache, and its plugin from this folder."""
        folder = cache / "datasets" / Path(queued.job.dataset_folder).name
        origin = queued.job.origin if queued.plugin is None else str(queued.plugin)
        return replace(queued.job, dataset_folder=str(folder), origin=origin)

    # -- claims ----------------------------------------------------------------------------

    def claim_file(self, job: Job) -> Path:
        """Return the file that says which worker runs a job."""
        return self.root / "running" / f"{job.score_key}.json"

    def read_claim(self, job: Job) -> tuple[dict[str, Any], float] | None:
        """Return the claim of the worker of a job and the seconds since its last sign of life."""
        path = self.claim_file(job)
        try:
            text, age = path.read_text(), self.clock() - path.stat().st_mtime
        except FileNotFoundError:
            return None
        with contextlib.suppress(ValueError):
            return json.loads(text), age
        return {}, age  # its worker has just begun to write

    def clock(self) -> float:
        """Return the time by the clock that stamps files here: machines may differ."""
        probe = self.root / "running" / f".clock.{platform.node()}.{os.getpid()}"
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError:  # a folder that one may only read
            return time.time()

    # -- ends ------------------------------------------------------------------------------

    def end(self, job: Job) -> dict[str, Any] | None:
        """Return how a job ended; ``None`` if it has not."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(self._end_file(job).read_text())
            return found
        return None

    def write_end(self, job: Job, status: str, **more: Any) -> None:
        """Note how a job ended."""
        text = json.dumps({"status": status, **more})
        write_text_atomically(self._end_file(job), text)

    def forget_end(self, job: Job) -> None:
        """Let a job run again."""
        self._end_file(job).unlink(missing_ok=True)

    def _end_file(self, job: Job) -> Path:
        return self.root / "ended" / f"{job.score_key}.json"

    def has_ended(self, job: Job) -> bool:
        """Return whether nothing is left to do for a job; one that was interrupted runs again."""
        end = self.end(job)
        if end is not None:
            return bool(end["status"] != "interrupted")
        return (self.spool / job.score_key).is_dir()

    def states(self) -> Iterator[JobState]:
        """Yield where each job stands, by task."""
        for number in self.task_numbers():
            for one in self.task(number):
                yield self._state(one.job, number)

    def _state(self, job: Job, task: int) -> JobState:
        end, claimed = self.end(job), self.read_claim(job)
        if claimed is not None:
            claim, age = claimed
            seconds = max(0.0, self.clock() - claim.get("started", 0.0))
            if age <= STALE_SECONDS:
                return JobState(job, task, RUNNING, seconds=seconds, claim=claim)
        in_spool = (self.spool / job.score_key).is_dir()
        if end is not None:
            state = WAITING if in_spool else ENDED
            return JobState(job, task, state, end["status"], end.get("reason", ""))
        if in_spool:
            return JobState(job, task, WAITING)
        if claimed is not None:
            return JobState(job, task, LOST, seconds=seconds, claim=claim)
        return JobState(job, task, MISSING)
