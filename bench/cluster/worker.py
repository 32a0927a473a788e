"""A worker: it runs the jobs of one task and leaves their results in the spool."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.execute.local_executor import LocalExecutor
from bench.messages import format_duration
from bench.plan.device import resolve_device
from bench.store.result import Result
from bench.store.run_tags import common_tags
from bench.store.spool import Spool

from .claim import Claim
from .local_data import copy_job_data
from .versions import require_same_versions, version_differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.plan.job import Job

    from .job_folder import JobFolder, QueuedJob

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 2
"""Workers that a driver lets lose a job before it counts as interrupted."""


def run_task(
    folder: JobFolder, number: int, *, scratch: str = "", allow_other_versions: bool = False
) -> None:
    """Run the jobs of a task that have not ended and that no other worker runs.

    Parameters
    ----------
    scratch
        Folder on a disk of this machine for data and temporary files; variables such as
        ``$TMPDIR`` in it are those of this machine. Default: what the array was planned with,
        else the folder of the array.
    allow_other_versions
        Run although packages have other versions than the driver's, and note it in the results.

    Raises
    ------
    UsageError
        For an unknown task, other versions, or a GPU that is not there.
    """
    todo = [one for one in folder.task(number) if not folder.has_ended(one.job)]
    if not todo:
        logger.info(f"task {number}: all of its jobs have ended")
        return
    own = [folder.local_job(one, folder.cache) for one in todo]
    differences = version_differences(folder.facts["versions"], own)
    if not (allow_other_versions or folder.facts["allow_other_versions"]):
        require_same_versions(differences)
    for device in {one.job.device for one in todo}:
        resolve_device(device)
    disk = os.path.expandvars(scratch or folder.facts["scratch"])
    parent = Path(disk) if disk else folder.root / "work"
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    prefix = f"{platform.node()}.{os.getpid()}."
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=parent, ignore_cleanup_errors=True
    ) as place:
        worker = Worker(folder, Path(place), parent / "bench-cache" if disk else None)
        worker.run(todo, differences)


def _remove_abandoned(parent: Path) -> None:
    """Remove folders of workers of this machine that were killed."""
    for path in parent.glob(f"{platform.node()}.*.*"):
        pid = path.name.removeprefix(f"{platform.node()}.").partition(".")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


class Worker:
    """Runs jobs one after another in limited processes.

    Parameters
    ----------
    work
        Folder of this worker's own.
    local_cache
        Cache on a disk of this machine that data are copied to; ``None``: they are read where
        they are.
    """

    def __init__(self, folder: JobFolder, work: Path, local_cache: Path | None) -> None:
        self._folder, self._local_cache = folder, local_cache
        self._cache = local_cache or folder.cache
        self._spool = Spool(work / "spool")
        self._claim: Claim | None = None

    def run(self, jobs: Sequence[QueuedJob], differences: Sequence[str]) -> None:
        """Run jobs; ``differences`` of versions are noted in their results."""
        hidden = (self._folder.root, Path(self._folder.facts["results"]))
        with LocalExecutor(
            1, jobs[0].job.threads, self._cache, self._spool, self._show_step, hidden=hidden
        ) as executor:
            for one in jobs:
                job = one.job
                log = self._spool.work_path(job) / "artifacts" / "log.txt"
                claim = Claim(self._folder, job, log, executor.cancelled)
                if executor.cancelled.is_set() or not claim.take():
                    logger.info(f"{job.name}: another worker has it")
                    continue
                self._claim = claim
                try:
                    self._run_one(executor, one, claim, differences)
                finally:
                    claim.release()

    def _run_one(
        self,
        executor: LocalExecutor,
        queued: QueuedJob,
        claim: Claim,
        differences: Sequence[str],
    ) -> None:
        job = queued.job
        if self._folder.facts["live"] and claim.attempt > MOST_ATTEMPTS:
            reason = f"its worker was lost {MOST_ATTEMPTS} times"
            self._publish(job, self._spool.add_failure(job, reason, "interrupted"), differences)
            return
        if self._folder.end(job) is not None:  # interrupted before
            shutil.rmtree(self._folder.spool / job.score_key, ignore_errors=True)
            self._folder.forget_end(job)
        if self._local_cache is not None:
            shared = self._folder.local_job(queued, self._folder.cache)
            copy_job_data(shared, self._folder.cache, self._local_cache)
        job = self._folder.local_job(queued, self._cache)
        executor.submit(job, fitted=queued.fitted)
        for _, path in executor.as_completed():
            if path is not None:
                self._publish(job, path, differences)

    def _show_step(self, job: Job, report: dict[str, Any]) -> None:
        if self._claim is not None:
            self._claim.show_step(report)

    def _publish(self, job: Job, path: Path, differences: Sequence[str]) -> None:
        """Move a result to the spool of the folder, and note that its job has ended."""
        result = Result.read(path)
        result.facts["host"] = platform.node()
        result.provenance = common_tags()
        if differences:
            result.facts["other versions"] = "; ".join(differences)
        result.write(path)
        target = self._folder.spool / job.score_key
        partial = target.with_name(f".{job.score_key}.{platform.node()}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.move(path, partial)
        try:
            partial.rename(target)
        except OSError:  # another worker was first
            shutil.rmtree(partial, ignore_errors=True)
        seconds = result.ended - result.started
        self._folder.write_end(
            job, result.status, reason=result.reason, host=platform.node(),
            seconds=seconds, ended=time.time(), cpu=result.facts.get("cpu", ""),
        )  # fmt: skip
        note = result.reason if result.status != "done" else format_duration(seconds)
        logger.info(f"{job.name}: {result.status}: {note}")
