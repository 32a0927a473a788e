"""The default executor: each job in limited processes on this machine, several at a time."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from typing import Any

from bench.plan.job import Job
from bench.store.result import SCORING, Result
from bench.store.spool import Spool

from .curves import held_out_loss
from .limited_process import Limits, Outcome, run_limited, warm_up

SCORE_SECONDS = 1800.0
"""Limit of a score process, unless a fit may take longer."""
PREPARE_SECONDS = 7200.0
"""Limit of a preparation, likewise."""
_LOG_CHARACTERS = 3600
_HEARD_SECONDS = 2.0

Progress = Callable[[Job, dict[str, Any]], str | None]
"""Hears the news of a running job; a text it returns stops the job as ``pruned``."""


class LocalExecutor:
    """Runs jobs with ``workers`` processes at a time; use as a context manager."""

    def __init__(
        self,
        workers: int,
        threads: int,
        cache: Path,
        spool: Spool,
        on_progress: Progress = lambda job, news: None,
    ) -> None:
        warm_up(threads)
        self._cache, self._spool, self._progress = cache, spool, on_progress
        self._cancelled = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._futures: dict[Future[Any], Job] = {}

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Carry out the recipe of each job; yields them as they end."""
        futures = {self._pool.submit(self._prepare, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()

    def submit(
        self, job: Job, before: Callable[[], bool] = lambda: True, fitted: Path | None = None
    ) -> None:
        """Queue a job; it is dropped if ``before()`` says so when its turn comes.

        ``fitted`` is the artifacts folder of a finished fit with the same fit key: then only the
        scores are computed.
        """
        self._futures[self._pool.submit(self._run, job, before, fitted)] = job

    def as_completed(self) -> Iterator[tuple[Job, Path | None]]:
        """Yield each job as it ends, with its folder in the spool (``None`` if dropped).

        Jobs that are submitted meanwhile are waited for, too.
        """
        while self._futures:
            ended, _ = wait(self._futures, return_when=FIRST_COMPLETED)
            for future in ended:
                yield self._futures.pop(future), future.result()

    @property
    def cancelled(self) -> threading.Event:
        """Set once :meth:`cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Drop what is queued and end what runs."""
        self._cancelled.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Wait for the running jobs, if any, and release the workers."""
        self._pool.shutdown(wait=True)

    def _prepare(self, job: Job) -> Outcome:
        payload = {
            "cache": str(self._cache), "dataset_folder": job.dataset_folder, "recipe": job.recipe,
            "prepared_key": job.prepared_key, "threads": job.threads,
        }  # fmt: skip
        limits = Limits(max(PREPARE_SECONDS, job.timeout), job.memory)
        return run_limited("prepare", payload, limits, cancelled=self._cancelled)

    def _run(self, job: Job, before: Callable[[], bool], fitted: Path | None) -> Path | None:
        if self._cancelled.is_set() or not before():
            return None
        started = time.time()
        try:
            return run_job(
                job, self._cache, self._spool, cancelled=self._cancelled, fitted=fitted,
                on_progress=lambda news: self._progress(job, news),
            )  # fmt: skip
        except Exception as error:  # nothing that comes of one job may end the others
            # A signal to the whole group can end the server of processes before it is heard here.
            if self._cancelled.wait(_HEARD_SECONDS):
                return None
            reason = f"{type(error).__name__}: {error}"
            return self._spool.failed(job, reason, started=started)


def run_job(
    job: Job,
    cache: Path,
    spool: Spool,
    *,
    cancelled: threading.Event,
    on_progress: Callable[[dict[str, Any]], str | None],
    fitted: Path | None = None,
) -> Path | None:
    """Fit (unless ``fitted`` holds the artifacts of that fit) and score one job into the spool.

    Returns its folder there, or ``None`` if it was cancelled.
    """
    work = spool.work_folder(job)
    log = work / "artifacts" / "log.txt"
    if fitted is not None:
        shutil.copytree(fitted, work / "artifacts", dirs_exist_ok=True)
    (work / "artifacts" / "config.json").write_text(json.dumps(job.as_dict(), indent=1))
    payload = {
        "job": job.as_dict(), "cache": str(cache), "folder": str(work), "log": str(log),
        "threads": job.threads, "knowledge": _knowledge(job),
        "train": f"{job.dataset_folder}/train.npy" if job.facts.get("fitted_on") else "",
    }  # fmt: skip

    def hear(kind: str, value: Any) -> str | None:
        return on_progress(value) if kind == "progress" else None

    result = Result(job, "failed", started=time.time())
    if fitted is not None:
        _take_stored(result, Result.read(fitted))
        ended = Outcome("done")
    else:
        limits = Limits(job.timeout, job.memory)
        ended = run_limited("fit", payload, limits, on_message=hear, cancelled=cancelled)
        _take_fit(result, ended)
    if ended.status == "done":
        payload.pop("knowledge")
        limits = Limits(max(SCORE_SECONDS, job.timeout), job.memory)
        ended = run_limited("score", payload, limits, cancelled=cancelled)
        _take_score(result, ended)
    if ended.status == "cancelled":
        return None
    result.ended = time.time()
    if result.status != "done":
        result.log_tail = _tail(log)
    return spool.finish(work, result)


def _knowledge(job: Job) -> dict[str, str]:
    """Return the files that a fit may read beyond the counts, by what it declared."""
    names = {"labels": "types.npy", "batch": "batch.npy", "proteins": "proteins.npy"}
    return {use: f"{job.dataset_folder}/{names[use]}" for use in job.uses if use in names}


def _take_fit(result: Result, outcome: Outcome) -> None:
    result.status, result.reason = outcome.status, outcome.reason
    result.stages["fit process"] = outcome.seconds
    value = outcome.value
    result.measures["seconds"] = value.get("seconds", outcome.seconds)
    result.measures["peak_memory_mb"] = outcome.peak_memory_mb
    if outcome.status != "done":
        return
    result.stages["fit"] = value["seconds"]
    result.measures["cpu_seconds"] = value["cpu_seconds"]
    if value["n_parameters"] is not None:
        result.measures["n_parameters"] = value["n_parameters"]
    result.notes, result.curves = value["notes"], value["curves"]
    loss = held_out_loss(result.curves)
    if loss is not None:
        result.measures["held_out_loss"] = loss
    if "stability" in result.curves:
        result.measures["stability"] = float(result.curves["stability"][1][-1])


def _take_stored(result: Result, stored: Result) -> None:
    result.status = "done"
    result.measures, result.notes, result.curves = stored.measures, stored.notes, stored.curves
    result.facts = {"fitted": "an earlier run's fit, scored anew"}


def _take_score(result: Result, outcome: Outcome) -> None:
    result.stages["score process"] = outcome.seconds
    if outcome.status != "done":
        result.status = outcome.status
        result.reason = f"{SCORING}{outcome.reason}"
        return
    value = outcome.value
    result.metrics, result.missing = value["metrics"], value["missing"]
    result.facts |= value["facts"]
    result.stamps = value["stamps"]
    result.measures["coverage"] = value["coverage"]


def _tail(log: Path) -> str:
    """Return the log, its middle left out if it is long (a crash writes its cause first)."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    if len(text) <= _LOG_CHARACTERS:
        return text
    half = _LOG_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters …]\n{text[-half:]}"
