"""The default executor: each job in limited processes on this machine, several at a time."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.data.cache.data_cache import DataCache
from bench.digests import digest, source_files
from bench.plan.job import Job
from bench.provenance import cpu_kind
from bench.store.result import SCORING_PREFIX, Result

from .artifacts import RAW
from .channel import Task
from .declared_inputs import declared_job, hide_held_out, input_files
from .limited_process import Limits, ProcessOutcome, run_limited
from .log_file import log_excerpt
from .server_start import short_temp_dir, warm_up
from .wall import Wall, compiled_folder, data_folders

if TYPE_CHECKING:
    from bench.store.spool import Spool

logger = logging.getLogger(__name__)

SCORE_SECONDS = 1800.0
"""Time limit of a scoring process, unless that of a fit is longer."""
PREPARE_SECONDS = 7200.0
"""Time limit of a preparation, unless that of a fit is longer."""
KERNEL_WALL = True
"""Whether fits are restricted by the kernel if it can; tests of other kernels turn it off."""
_INTERRUPT_SECONDS = 2.0
"""Time to wait for a cancellation: a signal to the whole group also interrupts the processes."""

JobProgressHandler = Callable[[Job, dict[str, Any]], str | None]
"""Gets the reports of running jobs; a returned reason stops the job as ``pruned``."""


class LocalExecutor:
    """Runs jobs with ``workers`` processes at a time.

    As a context manager it waits for its jobs at the end, and ends them after an exception.
    ``plugins`` are files with additional metrics, ``hidden`` further folders that no fit may read.
    A process that is interrupted, for example by a signal, is run once more.
    """

    def __init__(
        self,
        workers: int,
        threads: int,
        cache: Path,
        spool: Spool,
        on_progress: JobProgressHandler = lambda job, report: None,
        plugins: tuple[str, ...] = (),
        hidden: tuple[Path, ...] = (),
    ) -> None:
        warm_up(threads)
        self._cache, self._spool, self._on_progress = cache.resolve(), spool, on_progress
        self._plugins = tuple(str(Path(path).resolve()) for path in plugins)
        self._hidden = hidden
        self.cancelled = threading.Event()
        """Set once :meth:`cancel` was called."""
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._futures: dict[Future[Path | None], Job] = {}

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close() if kind is None else self.cancel()

    def prepare(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, ProcessOutcome]]:
        """Apply the recipe of each job; yields each job with its outcome as it ends."""
        futures = {self._pool.submit(self._prepare, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()

    def submit(
        self, job: Job, before: Callable[[], bool] = lambda: True, fitted: Path | None = None
    ) -> None:
        """Queue a job; it is dropped if ``before()`` returns false when its turn comes.

        ``fitted`` is the artifacts folder of a finished fit with the same fit key: then only the
        scores are computed, and the new result holds a copy of the fit.
        """
        self._submit(job, before, lambda work: self._fit_and_score(job, work, fitted))

    def submit_scoring(self, job: Job, fitted: Path) -> None:
        """Queue the scoring of a finished fit; its result holds only the scores."""

        def score(work: Path) -> Result:
            result = Result(job, "done")
            self._score(result, work, fitted)
            return result

        self._submit(job, lambda: True, score)

    def as_completed(self) -> Iterator[tuple[Job, Path | None]]:
        """Yield each job as it ends, with its folder in the spool (``None`` if dropped).

        Includes jobs that are submitted in the meantime.
        """
        while self._futures:
            ended, _ = wait(self._futures, return_when=FIRST_COMPLETED)
            for future in ended:
                yield self._futures.pop(future), future.result()

    def cancel(self) -> None:
        """Drop the queue and end the running jobs."""
        self.cancelled.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Wait for the running jobs and release the workers."""
        self._pool.shutdown(wait=True)

    def _prepare(self, job: Job) -> ProcessOutcome:
        limits = Limits(max(PREPARE_SECONDS, job.timeout), job.memory)
        task = Task(_with_absolute_paths(job), self._cache)
        return self._try_twice(
            job, partial(run_limited, "prepare", task, limits, cancelled=self.cancelled)
        )

    def _submit(
        self, job: Job, before: Callable[[], bool], compute: Callable[[Path], Result]
    ) -> None:
        def run() -> Path | None:
            if self.cancelled.is_set() or not before():
                return None
            started = time.time()
            try:
                work = self._spool.work_folder(job).resolve()
                result = compute(work)
            except Exception as error:  # no error of one job may end the others
                # A signal to the whole group can end the server of processes before this process
                # is interrupted.
                if self.cancelled.wait(_INTERRUPT_SECONDS):
                    return None
                reason = f"{type(error).__name__}: {error}"
                return self._spool.add_failure(job, reason, "interrupted", started=started)
            if result.status == "cancelled":
                return None
            result.started, result.ended = started, time.time()
            if result.status != "done":
                result.log_tail = log_excerpt(work / "artifacts" / "log.txt")
            return self._spool.add(work, result)

        self._futures[self._pool.submit(run)] = job

    def _try_twice(self, job: Job, attempt: Callable[[], ProcessOutcome]) -> ProcessOutcome:
        """Return the outcome of an attempt, or of a second one if the first was interrupted."""
        outcome = self._attempt(job, attempt)
        if outcome.status == "interrupted":
            if self.cancelled.wait(_INTERRUPT_SECONDS):
                return ProcessOutcome("cancelled", "interrupted")
            logger.info(f"{job.name}: interrupted, runs once more: {outcome.reason}")
            outcome = self._attempt(job, attempt)
        return outcome

    def _attempt(self, job: Job, attempt: Callable[[], ProcessOutcome]) -> ProcessOutcome:
        """Return the outcome of an attempt, `interrupted` for an external cause."""
        try:
            outcome = attempt()
        except OSError as error:
            outcome = ProcessOutcome("interrupted", f"{type(error).__name__}: {error}")
        if outcome.status in ("failed", "interrupted") and not _has_dataset(job):
            reason = "its dataset was removed from the cache; the next start puts it back"
            return replace(outcome, status="interrupted", reason=reason)
        return outcome

    def _fit_and_score(self, job: Job, work: Path, fitted: Path | None) -> Result:
        artifacts = work / "artifacts"
        if fitted is not None:
            shutil.copytree(fitted, artifacts, dirs_exist_ok=True)
            result = _stored_fit(job, Result.read(fitted))
            _write_config(job, artifacts)
        else:
            result = _fit_result(job, self._try_twice(job, partial(self._fit, job, work)))
        if result.status == "done":
            self._score(result, work, artifacts)
        return result

    def _fit(self, job: Job, work: Path) -> ProcessOutcome:
        """Fit a job, with the results of an earlier attempt removed."""
        artifacts = work / "artifacts"
        shutil.rmtree(artifacts, ignore_errors=True)
        artifacts.mkdir()
        _write_config(job, artifacts)
        if failure := self._prepare_again(job):
            return failure
        # A short path: sockets of libraries that start processes take 108 characters at most.
        with TemporaryDirectory(
            prefix="bench-", dir=short_temp_dir(), ignore_cleanup_errors=True
        ) as scratch:
            outcome = run_limited(
                "fit",
                self._fit_task(job, work, Path(scratch)),
                Limits(job.timeout, job.memory),
                on_progress=lambda report: self._on_progress(job, report),
                cancelled=self.cancelled,
            )
        if outcome.status == "failed" and not DataCache(self._cache).is_prepared(job.prepared_key):
            reason = "its prepared data were removed from the cache"
            return replace(outcome, status="interrupted", reason=reason)
        return outcome

    def _prepare_again(self, job: Job) -> ProcessOutcome | None:
        """Prepare data that were removed during the run; returns an outcome if that fails."""
        if DataCache(self._cache).is_prepared(job.prepared_key):
            return None
        outcome = self._prepare(job)
        if outcome.status == "done":
            return None
        return replace(outcome, reason=f"preparation: {outcome.reason}")

    def _fit_task(self, job: Job, work: Path, scratch: Path) -> Task:
        """Return the task of a fit: the declared inputs and the restrictions."""
        known = _with_absolute_paths(declared_job(job))
        prepared = self._cache / "prepared" / job.prepared_key
        hidden = hide_held_out(known, Path(known.dataset_folder), scratch)
        readable = input_files(known, Path(known.dataset_folder), prepared, hidden)
        wall = Wall(
            readable=(
                *(path.resolve() for path in readable),
                *map(Path, job.facts["environment"]),
            ),
            sources=source_files(job.origin, tuple(job.facts["own_files"])),
            writable=(work, scratch.resolve()),
            hidden=(
                self._spool.root.parent,
                *self._hidden,
                self._cache,
                *data_folders(),
                *map(Path, filter(None, [job.facts["data_file"]])),
            ),
            scratch=scratch.resolve(),
            # A fit that got labels could leave them in a folder that it shares with others.
            compiled=compiled_folder(self._cache, digest([job.facts["source"], job.uses])),
            network=bool(job.facts["network"]),
            by_kernel=KERNEL_WALL,
        )
        artifacts = work / "artifacts"
        return Task(known, self._cache, artifacts, log=artifacts / "log.txt", wall=wall)

    def _score(self, result: Result, work: Path, fitted: Path) -> None:
        """Add the scores of the fit in ``fitted`` to a result."""
        job, artifacts = _with_absolute_paths(result.job), work / "artifacts"
        task = Task(
            job, self._cache, artifacts, fitted.resolve(), artifacts / "log.txt", self._plugins
        )
        limits = Limits(max(SCORE_SECONDS, job.timeout), job.memory)

        def score() -> ProcessOutcome:
            failure = self._prepare_again(job) if (fitted / RAW).is_dir() else None
            return failure or run_limited("score", task, limits, cancelled=self.cancelled)

        _add_scores(result, self._try_twice(job, score))


def _with_absolute_paths(job: Job) -> Job:
    """Return a job with absolute paths, for a process in another current folder."""
    return replace(job, dataset_folder=str(Path(job.dataset_folder).resolve()))


def _has_dataset(job: Job) -> bool:
    return (Path(job.dataset_folder) / "info.json").is_file()


def _write_config(job: Job, artifacts: Path) -> None:
    (artifacts / "config.json").write_text(json.dumps(job.as_dict(), indent=1))


def _fit_result(job: Job, outcome: ProcessOutcome) -> Result:
    """Return the result of a fit process, without scores."""
    result = Result(job, outcome.status, outcome.reason)
    result.stages["fit process"] = outcome.seconds
    result.facts["cpu"] = cpu_kind()
    value = outcome.value
    result.measures["seconds"] = value.get("seconds", outcome.seconds)
    if outcome.peak_memory_mb is not None:
        result.measures["peak_memory_mb"] = outcome.peak_memory_mb
    if outcome.status != "done":
        return result
    result.stages["fit"] = value["seconds"]
    if value["cpu_seconds"] is not None:
        result.measures["cpu_seconds"] = value["cpu_seconds"]
    if value["n_parameters"] is not None:
        result.measures["n_parameters"] = value["n_parameters"]
    result.notes, result.curves = value["notes"], value["curves"]
    result.facts["files"] = value["files"]
    if value["held_out_loss"] is not None:
        result.measures["held_out_loss"] = value["held_out_loss"]
    if "stability" in result.curves:
        result.measures["stability"] = float(result.curves["stability"][1][-1])
    return result


def _stored_fit(job: Job, stored: Result) -> Result:
    """Return the result of a fit of an earlier run, without scores."""
    return Result(
        job,
        "done",
        measures=stored.measures,
        notes=stored.notes,
        curves=stored.curves,
        facts={"fitted": "an earlier run's fit, scored anew"}
        | {name: stored.facts[name] for name in ("cpu",) if name in stored.facts},
    )


def _add_scores(result: Result, outcome: ProcessOutcome) -> None:
    result.stages["score process"] = outcome.seconds
    if outcome.status != "done":
        result.status = outcome.status
        result.reason = f"{SCORING_PREFIX}{outcome.reason}"
        return
    value = outcome.value
    result.metrics, result.missing = value["metrics"], value["missing"]
    result.facts |= value["facts"]
    result.stamps = value["stamps"]
    result.measures["coverage"] = value["coverage"]
