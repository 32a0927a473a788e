"""The driver: from selectors to committed results.

configuration → plan → preparation → jobs → commit → table and report.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from bench.data.cache.dataset_files import CellLabels
from bench.errors import StoreError, UsageError
from bench.plan.build import exclusion_lines
from bench.plan.job import FAILURES, Job, Plan, write_plan
from bench.provenance import command_line
from bench.scoring.holdout import write_split
from bench.scoring.metrics import plugin_metrics
from bench.store.disk_errors import disk_errors
from bench.store.result import InvalidResult, Result
from bench.store.result_store import ResultStore
from bench.store.results_table import finished_rows, results_frame
from bench.store.spool import Spool

from .engines import open_executor
from .outcome import RunOutcome
from .progress_bar import ProgressDisplay
from .rescore import add_scores
from .server_start import warm_up
from .time_estimate import TimeEstimate, estimate_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from rich.console import Console

    from bench.data.cache.data_cache import DataCache
    from bench.settings import Settings
    from bench.store.mlflow_store import Tracker
    from bench.store.result_store import StoredJob

    from .engines import Executor
    from .limited_process import ProcessOutcome

logger = logging.getLogger(__name__)

_OTHER_DRIVER_SECONDS = 1.0
_NOT_STORABLE = "its result cannot be stored"


class Driver:
    """Carries out one plan against one store."""

    def __init__(self, settings: Settings, cache: DataCache, plan: Plan, console: Console) -> None:
        self.settings, self.cache, self.plan, self.console = settings, cache, plan, console
        self.outcome = RunOutcome(plan, settings)
        self._locks: dict[str, FileLock] = {}
        self._session = ""
        self._ended: Counter[str] = Counter()
        """Jobs of this session by status."""

    @cached_property
    def tracker(self) -> Tracker:
        """The store for writing, opened once there is something to write."""
        from bench.store.mlflow_store import Tracker  # MLflow is slow to import

        return Tracker(self.settings)

    @property
    def store(self) -> ResultStore:
        """The store for reading; that for writing once it is open."""
        return self.__dict__.get("tracker") or self._reading_store

    @cached_property
    def _reading_store(self) -> ResultStore:
        try:
            store = ResultStore(self.settings)
            store.experiments()
        except StoreError:
            return self.tracker  # makes a half-made database anew
        return store

    def open(self) -> None:
        """Open the store and commit the results of an interrupted run."""
        with disk_errors(self.settings.results):
            if not self.settings.tracking_uri and not self.settings.database.exists():
                # No job can be done yet: load the libraries while the store is created.
                warm_up(self.settings.threads)
                _ = self.tracker  # the store is created
            self.spool = Spool(self.settings.results / "spool")
            self._commit_spool()

    def run_plan(self) -> RunOutcome:
        """Run the jobs of the plan that are not stored, and return the outcome.

        Raises ``UsageError`` if every combination is excluded.
        """
        if not self.plan.jobs:
            reasons = "; ".join(exclusion_lines(self.plan.excluded))
            raise UsageError(f"nothing can be run: {reasons}.", code="nothing_to_run")
        todo, stored = self.jobs_to_run()
        estimate = estimate_time(todo, self.store, self.settings)
        self._log_plan(todo, stored, estimate)
        self.write_splits(todo)
        if todo:
            with self.session():
                self._run_jobs(todo, estimate)
        self.outcome.table = results_frame(self.store, self.plan)
        self.outcome.counts = Counter(self.outcome.table["status"])
        if interrupted := self.outcome.counts["interrupted"]:
            jobs = "job was" if interrupted == 1 else "jobs were"
            logger.warning(f"{interrupted} {jobs} interrupted; run the same command to go on")
        return self.outcome

    def jobs_to_run(self) -> tuple[list[Job], dict[str, StoredJob]]:
        """Return the jobs of the plan that are not stored, and those that are, by score key."""
        stored = self.store.stored_jobs(job.score_key for job in self.plan.jobs)
        unique = {job.score_key: job for job in reversed(self.plan.jobs)}
        todo = [job for job in reversed(unique.values()) if self._must_run(job, stored)]
        self.outcome.reused = len(unique) - len(todo)
        return todo, stored

    def write_splits(self, jobs: list[Job]) -> None:
        """Write the split of each dataset that jobs score by the protocol ``holdout``."""
        for job in {job.dataset_folder: job for job in jobs if job.protocol == "holdout"}.values():
            folder = Path(job.dataset_folder)
            identity = job.facts["counts_digest"]
            write_split(self.cache.root, folder, CellLabels(folder).types, identity)

    def _commit_spool(self) -> None:
        """Commit results that were computed and not committed."""
        self.spool.remove_abandoned()
        for folder in self.spool.pending():
            try:
                if self.tracker.commit(folder):
                    logger.info(f"committed a result of an interrupted run: {folder.name}")
            except InvalidResult as error:
                rejected = self.spool.reject(folder)
                logger.warning(f"not fit for the store, kept in {rejected}: {error}")

    def _must_run(self, job: Job, stored: dict[str, StoredJob]) -> bool:
        """Return whether a job is not stored, or its failure is to be tried again."""
        before = stored.get(job.score_key)
        if before is None or before.status == "interrupted":
            return True
        if before.status in ("done", "pruned"):
            return False
        raised_limit = (before.status == "timeout" and job.timeout > before.timeout) or (
            before.status == "oom" and job.memory > before.memory
        )
        return raised_limit or self.settings.retry in (before.status, "all")

    def _log_plan(
        self, todo: list[Job], stored: dict[str, StoredJob], estimate: TimeEstimate
    ) -> None:
        for line in exclusion_lines(self.plan.excluded):
            logger.info(line)
        statuses = [stored[j.score_key].status for j in self.plan.jobs if j.score_key in stored]
        if not todo:
            jobs = "the job is" if len(statuses) == 1 else f"all {len(statuses)} jobs are"
            logger.info(f"nothing to fit: {jobs} in the store")
        else:
            logger.info(
                f"{len(todo)} {'job' if len(todo) == 1 else 'jobs'} to run, "
                f"{self.outcome.reused} in the store; {self.settings.jobs} at a time, {estimate}"
            )
        failed = sum(status in FAILURES and status != "interrupted" for status in statuses)
        if failed and self.settings.retry == "none":
            logger.warning(f"{failed} of the stored jobs failed; --retry all runs them again")

    @contextlib.contextmanager
    def session(self) -> Iterator[str]:
        """Open the MLflow run under which the jobs of this command are stored; yields its id.

        An interrupt ends it in order and is noted in the outcome. Inside a session the same one
        is yielded.
        """
        if self._session:
            yield self._session
            return
        tags: dict[str, str] = {"profile": self.settings.profile}
        self._session = self.tracker.start_session(command_line(), tags, _plan_name(self.plan))
        self.outcome.session = self._session
        status = "FINISHED"
        try:
            with disk_errors(self.settings.results):
                yield self._session
        except StoreError as error:
            status = "FAILED"
            raise StoreError(f"{error}{self._waiting_results()}", code=error.code) from None
        except KeyboardInterrupt:
            self.outcome.interrupted, status = True, "KILLED"
            self._commit_spool()
            logger.warning(
                f"interrupted: {self.outcome.fitted} jobs are kept; run the same command to go on"
            )
        finally:
            for lock in self._locks.values():
                lock.release()
            # After a fault of the store this fails for the same reason.
            broken = (StoreError, OSError) if status == "FAILED" else ()
            with contextlib.suppress(*broken):
                self._end_session(status)
            self._session = ""

    def _waiting_results(self) -> str:
        """Return the sentence about results that were computed and could not be stored."""
        try:
            waiting = len(self.spool.pending())
        except OSError:
            return ""
        jobs = "1 finished job waits" if waiting == 1 else f"{waiting} finished jobs wait"
        return f" {jobs} in {self.spool.root} and will be stored then." if waiting else ""

    def _end_session(self, status: str) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-plan-") as folder:
            path = Path(folder) / "plan.json"
            write_plan(self.plan, path)
            self.tracker.end_session(self._session, status, self._ended, path)

    def _run_jobs(self, todo: list[Job], estimate: TimeEstimate) -> None:
        """Prepare the data, then run the jobs; those that another driver has locked come last."""
        settings, fits = self.settings, self.tracker.fits(job.fit_key for job in todo)
        with (
            ProgressDisplay(self.console, len(todo), estimate.seconds) as display,
            open_executor(
                settings, self.cache.root, self.spool, self.tracker, display.show_step
            ) as executor,
        ):
            failed = self.prepare(executor, [job for job in todo if job.fit_key not in fits])
            for job in todo:
                if job.prepared_key in failed:
                    self.commit(job, self.add_failure(job, failed[job.prepared_key]), display)
                else:
                    executor.submit(job, partial(self._claim, job), fits.get(job.fit_key))
            elsewhere: list[Job] = []
            for job, folder in executor.as_completed():
                if folder is None and job.score_key not in self._locks:
                    elsewhere.append(job)
                else:
                    self.commit(job, folder, display)
            for job in elsewhere:
                claim = partial(self._claim, job, cancelled=executor.cancelled)
                executor.submit(job, claim, fits.get(job.fit_key))
            for job, folder in executor.as_completed():
                self.commit(job, folder, display)

    def prepare(self, executor: Executor, todo: list[Job]) -> dict[str, ProcessOutcome]:
        """Apply each recipe once; returns prepared key → outcome of those that failed."""
        needed = {job.prepared_key: job for job in todo}
        missing = [j for key, j in needed.items() if not self.cache.is_prepared(key)]
        failed = {}
        for job, outcome in executor.prepare(missing):
            if outcome.status == "cancelled":
                raise KeyboardInterrupt
            if outcome.status != "done":
                failed[job.prepared_key] = outcome
        return failed

    def add_failure(self, job: Job, preparation: ProcessOutcome) -> Path:
        """Store a job whose preparation failed in the spool; returns its folder."""
        reason = f"preparation: {preparation.reason}"
        return self.spool.add_failure(job, reason, preparation.status)

    def _claim(self, job: Job, *, cancelled: Event | None = None) -> bool:
        """Lock a job against other drivers; false if one has locked it or has done it.

        With ``cancelled`` it waits until the other driver has done it, or until this event is
        set.
        """
        folder = self.settings.results / "locks"
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / f"{job.score_key}.lock", thread_local=False)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if cancelled is None or cancelled.wait(_OTHER_DRIVER_SECONDS):
                    return False
        self._locks[job.score_key] = lock
        before = self.tracker.find(job.score_key)
        return self._must_run(job, {job.score_key: before} if before else {})

    def commit(self, job: Job, folder: Path | None, display: ProgressDisplay) -> Result | None:
        """Write a finished job into the store and show it; returns its result.

        ``folder`` is its place in the spool, ``None`` if another driver has run it.
        """
        result = None
        if folder is not None:
            # Another driver that starts now may take it for the rest of an interrupted run and
            # commit it first.
            try:
                result = self._commit_folder(job, folder)
            except FileNotFoundError:
                if self.tracker.find(job.score_key) is None:
                    raise
            self.outcome.fitted += 1
        if result is not None:
            self._ended[result.status] += 1
        lock = self._locks.pop(job.score_key, None)
        if lock is not None:
            lock.release()
        display.show_end(job, result)
        return result

    def _commit_folder(self, job: Job, folder: Path) -> Result:
        """Write a result into the store; one that it refuses counts as failed."""
        result = None
        try:
            result = Result.read(folder)
            result.session, result.job = self._session, job
            result.write(folder)
            self.tracker.commit(folder)
            return result
        except InvalidResult as error:
            rejected = self.spool.reject(folder)
            if result is not None and result.reason.startswith(_NOT_STORABLE):
                raise  # the store refuses the job itself, not its result
            reason = f"{_NOT_STORABLE}, it is kept in {rejected}: {error}"
            return self._commit_folder(job, self.spool.add_failure(job, reason))


def _plan_name(plan: Plan) -> str:
    """Return the methods and datasets of a plan in one line; empty for a plan without jobs."""
    methods, datasets = (
        ", ".join(dict.fromkeys(getattr(job, name) for job in plan.jobs))
        for name in ("method", "dataset")
    )
    return f"{methods} on {datasets}" if plan.jobs else ""


def add_plugin_metrics(driver: Driver) -> None:
    """Add the metrics of plugins to the finished jobs of a run and to its table."""
    outcome, settings = driver.outcome, driver.settings
    chosen = plugin_metrics(settings.plugins)
    if not chosen or outcome.interrupted:
        return
    assert outcome.table is not None
    rows = finished_rows(outcome.table)
    for text in add_scores(rows, chosen, settings, driver.tracker, driver.console).problems:
        logger.warning(f"not scored: {text}")
    outcome.table = results_frame(driver.store, outcome.plan)
