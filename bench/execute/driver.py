"""The driver: from selectors to committed results.

configuration → plan → preparation → jobs → commit → table and report.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from rich.console import Console

from bench.data.cache.data_cache import DataCache
from bench.execute.outcome import RunOutcome
from bench.execute.report import make_report
from bench.execute.time_estimate import expected
from bench.plan.build import build_plan, left_lines
from bench.plan.job import FAILURES, Job, Plan, write_plan
from bench.scoring.metrics import Metric, plugin_metrics
from bench.settings import Settings, load_settings
from bench.store.result import Refused, Result
from bench.store.results_table import frame
from bench.store.spool import Spool

from .limited_process import warm_up
from .local_executor import LocalExecutor
from .progress_bar import Display
from .rescore import add_scores

if TYPE_CHECKING:
    from threading import Event

    from bench.store.mlflow_store import Committed

    from .limited_process import Outcome

logger = logging.getLogger(__name__)

_OTHER_DRIVER_SECONDS = 1.0
_REFUSED = "its result cannot be stored"


def run(
    methods: str,
    datasets: str,
    *,
    assign: Sequence[str] = (),
    params: Sequence[Path] = (),
    config: Path | None = None,
    report: bool = True,
    umap: bool = True,
    console: Console | None = None,
    **flags: Any,
) -> RunOutcome:
    """Run the grid methods × datasets × seeds and return its results.

    ``methods`` and ``datasets`` are selectors (``"all"``, ``"vae,tag:baseline"``), ``assign``
    holds texts such as ``"vae.n_latent=16"``, ``params`` files of parameters by method, such as
    the ``best.yaml`` of a search, ``flags`` are fields of
    :class:`bench.settings.Settings`. Jobs that are done are not repeated. Raises ``BenchError``
    for wrong usage or input; a job that fails is a result, not an error.
    """
    console = console or Console()
    settings = load_settings(flags, config)
    store = DataCache(settings.cache_dir)
    plan = build_plan(methods, datasets, assign, settings, store, params)
    outcome = Driver(settings, store, plan, console).run()
    extra = plugin_metrics(settings.plugins)
    if extra and not outcome.interrupted:
        add_to_run(outcome, extra, settings, console)
    if report and not outcome.interrupted:
        outcome.report = make_report(outcome, settings, console, umap=umap)
    return outcome


class Driver:
    """Carries out one plan against one store."""

    def __init__(self, settings: Settings, store: DataCache, plan: Plan, console: Console) -> None:
        self.settings, self.store, self.plan, self.console = settings, store, plan, console
        self.outcome = RunOutcome(plan)
        self._locks: dict[str, Any] = {}
        self._session = ""

    def run(self) -> RunOutcome:
        """Commit what waits, run what is missing, and return the outcome."""
        self.open()
        return self.run_plan()

    def open(self) -> None:
        """Open the store and commit what an interrupted run has left."""
        if not self.settings.tracking_uri and not self.settings.database.exists():
            # Nothing can be done yet: load the libraries while the store is being made.
            warm_up(self.settings.threads)
        from bench.store.mlflow_store import Tracker

        self.tracker = Tracker(self.settings)
        self.spool = Spool(self.settings.results / "spool")
        self._commit_waiting()

    def run_plan(self) -> RunOutcome:
        """Run what is missing of the plan, and return the outcome."""
        known = self.tracker.committed()
        todo = self._todo(known)
        self.outcome.reused = len({job.score_key for job in self.plan.jobs}) - len(todo)
        self._announce(todo, known)
        if todo:
            with self.session():
                self._execute(todo)
        self.outcome.results = frame(self.tracker, self.plan)
        self.outcome.counts = Counter(self.outcome.results["status"])
        return self.outcome

    def _commit_waiting(self) -> None:
        self.spool.sweep()
        for folder in self.spool.waiting():
            try:
                if self.tracker.commit(folder):
                    logger.info(f"committed a result of an interrupted run: {folder.name}")
            except Refused as error:
                kept = self.spool.set_aside(folder)
                logger.info(f"not fit for the store, kept in {kept}: {error}")

    def _todo(self, known: dict[str, Committed]) -> list[Job]:
        """Return the jobs to run, each key once."""
        jobs = {job.score_key: job for job in reversed(self.plan.jobs)}
        return [job for job in reversed(jobs.values()) if self._wanted(job, known)]

    def _wanted(self, job: Job, known: dict[str, Committed]) -> bool:
        before = known.get(job.score_key)
        if before is None or before.status in ("done", "pruned"):
            return before is None
        raised = (before.status == "timeout" and job.timeout > before.timeout) or (
            before.status == "oom" and job.memory > before.memory
        )
        return raised or self.settings.retry in (before.status, "all")

    def _announce(self, todo: list[Job], known: dict[str, Committed]) -> None:
        for line in left_lines(self.plan.left):
            logger.info(line)
        stored = [known[j.score_key].status for j in self.plan.jobs if j.score_key in known]
        failed = sum(status in FAILURES for status in stored)
        if not todo:
            logger.info(f"nothing to fit: all {len(stored)} jobs are in the store")
        else:
            time = expected(todo, self.tracker, self.settings)
            logger.info(
                f"{len(todo)} {'job' if len(todo) == 1 else 'jobs'} to run, "
                f"{self.outcome.reused} in the store; {self.settings.jobs} at a time, {time}"
            )
        if failed and self.settings.retry == "none":
            logger.info(f"{failed} of the stored jobs failed; --retry all runs them again")

    @contextlib.contextmanager
    def session(self) -> Iterator[str]:
        """Hold a run in MLflow that what is done inside hangs under; its id is given.

        An interrupt ends it in order and is noted in the outcome. A session inside another is
        the same one.
        """
        if self._session:
            yield self._session
            return
        command = shlex.join(["bench", *sys.argv[1:]]) if sys.argv[0] else "bench.run(...)"
        self._session = self.tracker.start_session(command, {"profile": self.settings.profile})
        status = "FINISHED"
        try:
            yield self._session
        except KeyboardInterrupt:
            self.outcome.interrupted, status = True, "KILLED"
            self._commit_waiting()
            self.console.print(
                f"interrupted: {self.outcome.fitted} jobs are kept; run the same command to go on"
            )
        finally:
            for lock in self._locks.values():
                lock.release()
            self._end_session(status)
            self._session = ""

    def _end_session(self, status: str) -> None:
        counts = Counter(c.status for c in self.tracker.committed().values())
        with tempfile.TemporaryDirectory(prefix="bench-plan-") as folder:
            path = Path(folder) / "plan.json"
            write_plan(self.plan, path)
            self.tracker.end_session(self._session, status, counts, path)

    def _execute(self, todo: list[Job]) -> None:
        seconds = expected(todo, self.tracker, self.settings).seconds
        fits = self.tracker.fits()
        with Display(self.console, len(todo), self.settings.jobs, seconds) as display:
            executor = LocalExecutor(
                self.settings.jobs, self.settings.threads, self.store.root, self.spool,
                display.news,
            )  # fmt: skip
            try:
                self._run_jobs(executor, todo, fits, display)
            except BaseException:
                executor.cancel()
                raise
            executor.close()

    def _run_jobs(
        self, executor: LocalExecutor, todo: list[Job], fits: dict[str, Path], display: Display
    ) -> None:
        """Prepare, then run the jobs; those that another driver is at come last."""
        broken = self.prepare(executor, [job for job in todo if job.fit_key not in fits])
        for job in todo:
            if job.prepared_key in broken:
                self.take(job, self.not_prepared(job, broken[job.prepared_key]), display)
            else:
                executor.submit(job, partial(self._claim, job), fits.get(job.fit_key))
        elsewhere: list[Job] = []
        for job, folder in executor.as_completed():
            if folder is None and job.score_key not in self._locks:
                elsewhere.append(job)
            else:
                self.take(job, folder, display)
        for job in elsewhere:
            claim = partial(self._claim, job, wait=executor.cancelled)
            executor.submit(job, claim, fits.get(job.fit_key))
        for job, folder in executor.as_completed():
            self.take(job, folder, display)

    def prepare(self, executor: LocalExecutor, todo: list[Job]) -> dict[str, Outcome]:
        """Prepare each recipe once; returns prepared key → how it ended for those that failed."""
        needed = {job.prepared_key: job for job in todo}
        missing = [j for key, j in needed.items() if not self.store.prepared_ready(key)]
        broken = {}
        for job, ended in executor.prepare(missing):
            if ended.status == "cancelled":
                raise KeyboardInterrupt
            if ended.status != "done":
                broken[job.prepared_key] = ended
        return broken

    def not_prepared(self, job: Job, ended: Outcome) -> Path:
        """Write the result of a job whose preparation failed; returns its folder in the spool."""
        return self.spool.failed(job, f"preparation: {ended.reason}", ended.status)

    def _claim(self, job: Job, *, wait: Event | None = None) -> bool:
        """Lock a job against other drivers; false if one has it or has done it meanwhile.

        ``wait``: until the other has done it, or this event is set.
        """
        folder = self.settings.results / "locks"
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / f"{job.score_key}.lock", thread_local=False)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if wait is None or wait.wait(_OTHER_DRIVER_SECONDS):
                    return False
        self._locks[job.score_key] = lock
        before = self.tracker.find(job.score_key)
        return self._wanted(job, {job.score_key: before} if before else {})

    def take(self, job: Job, folder: Path | None, display: Display) -> Result | None:
        """Commit one finished job and show it; returns its result."""
        result = None
        if folder is not None:
            # Another driver that starts now may take it for the rest of an interrupted run and
            # commit it first.
            with contextlib.suppress(FileNotFoundError):
                result = self._commit(job, folder)
            self.outcome.fitted += 1
        lock = self._locks.pop(job.score_key, None)
        if lock is not None:
            lock.release()
        display.ended(job, result)
        return result

    def _commit(self, job: Job, folder: Path) -> Result:
        """Write a finished job into the store; one that it refuses counts as failed."""
        result = None
        try:
            result = Result.read(folder)
            result.session = self._session
            result.write(folder)
            self.tracker.commit(folder)
            return result
        except Refused as error:
            kept = self.spool.set_aside(folder)
            if result is not None and result.reason.startswith(_REFUSED):
                raise  # it is the job itself that the store refuses, not what came of it
            reason = f"{_REFUSED}, it is kept in {kept}: {error}"
            return self._commit(job, self.spool.failed(job, reason))


def add_to_run(
    outcome: RunOutcome, wanted: dict[str, Metric], settings: Settings, console: Console
) -> None:
    """Add metrics of plugins to the finished jobs of a run and to its table."""
    from bench.store.mlflow_store import Tracker

    tracker = Tracker(settings)
    assert outcome.results is not None
    rows = [
        {str(name): value for name, value in row.items()}
        for row in outcome.results.to_dict("records")
        if row["status"] == "done"
    ]
    for text in add_scores(rows, wanted, settings, tracker, console).problems:
        console.print(f"not scored: {text}", markup=False, highlight=False)
    outcome.results = frame(tracker, outcome.plan)
