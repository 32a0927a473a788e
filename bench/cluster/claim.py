"""The claim of a worker on a job: one worker runs it, and shows that it lives."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
from typing import TYPE_CHECKING, Any

import psutil

from bench.data.cache.folder_state import write_text_atomically

from .job_folder import STALE_SECONDS, STOP, JobFolder

if TYPE_CHECKING:
    from pathlib import Path

    from bench.plan.job import Job

BEAT_SECONDS = 5.0
_LOG_BYTES = 2**16
_SCHEDULERS = (
    ("SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID"), ("PBS_JOBID",), ("LSB_JOBID", "LSB_JOBINDEX"),
    ("JOB_ID", "SGE_TASK_ID"), ("HQ_JOB_ID", "HQ_TASK_ID"), ("AWS_BATCH_JOB_ID",),
)  # fmt: skip
"""Variables by which schedulers name a task; one that is started again keeps its name."""


def scheduler_task() -> str:
    """Return the name by which a scheduler knows this process; empty without a scheduler."""
    for names in _SCHEDULERS:
        values = [os.environ.get(name, "") for name in names]
        if values[0]:
            return "/".join([names[0], *filter(None, values)])
    return ""


class Claim:
    """The claim of this process on one job, renewed every few seconds by a thread.

    Parameters
    ----------
    log
        File that the job writes; its end is copied beside the claim, where others see it.
    cancelled
        Set if the driver asks its workers to stop.
    """

    def __init__(self, folder: JobFolder, job: Job, log: Path, cancelled: threading.Event) -> None:
        self._file, self._log, self._cancelled = folder.claim_file(job), log, cancelled
        self._folder, self._job = folder, job
        self._content: dict[str, Any] = {
            "host": platform.node(), "pid": os.getpid(), "scheduler": scheduler_task(),
            "attempt": 1,
        }  # fmt: skip
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    @property
    def attempt(self) -> int:
        """How many workers have begun this job, this one included."""
        return int(self._content["attempt"])

    def take(self) -> bool:
        """Claim the job; false if another worker runs it, or has ended it meanwhile.

        A worker that shows no life is waited for until it counts as lost; where a driver counts
        on this worker, also one that does.
        """
        patient = bool(self._folder.facts["live"])
        while True:
            self._content["started"] = self._folder.clock()
            if self._create():
                break
            found = self._folder.read_claim(self._job)
            if found is None:
                continue
            claim, age = found
            if age > STALE_SECONDS or self._is_own(claim):
                self._content["attempt"] = int(claim.get("attempt", 0)) + 1
                write_text_atomically(self._file, json.dumps(self._content))
                break
            if (age < 2 * BEAT_SECONDS and not patient) or self._cancelled.wait(1.0):
                return False
        if self._folder.has_ended(self._job):  # by the worker that held it
            self.release()
            return False
        self._thread.start()
        return True

    def _create(self) -> bool:
        """Write the claim if there is none."""
        try:
            with self._file.open("x") as stream:
                json.dump(self._content, stream)
        except FileExistsError:
            return False
        return True

    def _is_own(self, claim: dict[str, Any]) -> bool:
        """Return whether a claim is that of an ended process in this place."""
        if claim.get("scheduler") and claim["scheduler"] == scheduler_task():
            return (claim["host"], claim["pid"]) != (platform.node(), os.getpid())
        here = claim.get("host") == platform.node()
        return here and not psutil.pid_exists(int(claim.get("pid", 0)))

    def show_step(self, report: dict[str, Any]) -> None:
        """Let the next sign of life show a step of the fit."""
        self._content |= {name: report[name] for name in ("step", "total", "values")}

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # the network file system may come back
                if self._folder.facts["live"] and self._driver_has_ended():
                    self._cancelled.set()
                    return
                write_text_atomically(self._file, json.dumps(self._content))
                self._copy_log()

    def _driver_has_ended(self) -> bool:
        """Return whether a driver asks its workers to stop, or has removed its folder."""
        root = self._folder.root
        return (root / STOP).exists() or not root.exists()

    def _copy_log(self) -> None:
        if not self._log.is_file():
            return
        with self._log.open("rb") as stream:
            stream.seek(max(0, self._log.stat().st_size - _LOG_BYTES))
            tail = stream.read(_LOG_BYTES).decode(errors="replace")
        write_text_atomically(self._file.with_suffix(".log"), tail)

    def release(self) -> None:
        """End the claim."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for path in (self._file, self._file.with_suffix(".log")):
            path.unlink(missing_ok=True)
