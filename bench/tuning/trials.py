"""The trials of one study: ask, run as jobs, tell, until the budget is used."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.execute.driver import Driver
from bench.execute.local_executor import LocalExecutor
from bench.execute.progress_bar import ProgressDisplay
from bench.plan.job import Job
from bench.store.result import Result

from .objective import values_of
from .study import Study, Trial, UsedUp
from .study_spec import Spec
from .winner import best


class Loop:
    """Runs one study with the jobs of a driver."""

    def __init__(self, driver: Driver, spec: Spec, study: Study, run: str) -> None:
        self._driver, self._spec, self._study, self._run = driver, spec, study, run
        self._fits = driver.tracker.fits()
        self._waiting: list[Trial] = []
        self._running: dict[int, Job] = {}
        self._stopped: set[int] = set()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._display: ProgressDisplay
        self._executor: LocalExecutor
        self.note = ""
        """Why the study ended before its number of trials; empty if it did not."""

    def run(self) -> None:
        """Run trials until the budget is used; those of a killed driver first."""
        self._waiting = self._study.recover()
        before = len(self._study.trials()) - len(self._waiting)
        settings, total = self._driver.settings, self._spec.options.trials
        if self._waiting:
            self._driver.console.print(
                f"{len(self._waiting)} trials of an interrupted search are taken up again"
            )
        with ProgressDisplay(
            self._driver.console, total or 0, done=before, describe=self._describe
        ) as self._display:
            self._executor = LocalExecutor(
                settings.jobs, settings.threads, self._driver.cache.root, self._driver.spool,
                self._hear,
            )  # fmt: skip
            try:
                self._fill()
                for job, folder in self._executor.as_completed():
                    self._end(job, folder)
                    self._fill()
            except BaseException:
                self._executor.cancel()
                raise
            self._executor.close()

    # -- asking ----------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start trials until all workers are busy or the budget is used."""
        while len(self._running) < self._driver.settings.jobs:
            trial = self._next()
            if trial is None:
                return
            self._start(trial)

    def _next(self) -> Trial | None:
        if self._waiting:
            return self._waiting.pop(0)
        options = self._spec.options
        if options.trials is not None and len(self._study.trials()) >= options.trials:
            return None
        if options.timeout is not None and time.monotonic() - self._began > options.timeout:
            self.note = f"the {options.timeout:g} s of --timeout are over"
            return None
        try:
            return self._study.ask()
        except UsedUp as reason:
            self.note = str(reason)
            return None

    def _start(self, trial: Trial) -> None:
        """Submit the job of a trial, unless a killed driver has finished it."""
        job = self._spec.job(trial, self._run, self._driver.cache)
        before = self._driver.tracker.find(job.score_key)
        if before is not None:
            self._tell(job, before.status, before.values, before.reason)
            return
        self._running[trial.number] = job
        fitted = self._fits.get(job.fit_key)
        broken = {} if fitted else self._driver.prepare(self._executor, [job])
        if broken:
            self._end(job, self._driver.add_failure(job, broken[job.prepared_key]))
        else:
            self._executor.submit(job, fitted=fitted)

    # -- telling ---------------------------------------------------------------------------

    def _end(self, job: Job, folder: Path | None) -> None:
        """Commit a finished trial, then tell the study."""
        self._running.pop(job.study["trial"])
        result = self._driver.commit(job, folder, self._display)
        if result is not None:
            self._tell(job, result.status, result.metrics | result.measures, result.reason)
            return
        taken = self._driver.tracker.find(job.score_key)
        if taken is None:  # cancelled: the trial stays open for the next command
            raise KeyboardInterrupt
        # Another driver that starts now has committed it.
        self._tell(job, taken.status, taken.values, taken.reason)

    def _tell(self, job: Job, status: str, found: Mapping[str, float], reason: str) -> None:
        values: list[float] | None = None
        if status == "done":
            given = values_of(self._spec.options.objectives, found)
            if isinstance(given, str):
                status, reason = "failed", given
            else:
                values = given
        seconds = found.get("seconds")
        self._study.tell(job.study["trial"], status, values, reason, seconds)

    def _describe(self, result: Result) -> str:
        """Return the time and values of a trial, and the best before it."""
        seconds = f"{result.measures['seconds']:.1f} s"
        objectives = self._spec.options.objectives
        given = values_of(objectives, result.metrics | result.measures)
        if isinstance(given, str):
            return f"{seconds}, {given}"
        shown = zip(objectives, given, strict=True)
        text = ", ".join(f"{one.name} {value:.4g}" for one, value in shown)
        leader = best(self._study.trials(), objectives)
        before = f"; best so far {leader.values[0]:.4g}" if leader else ""
        return f"{seconds}, {text} ({self._spec.options.protocol}){before}"

    # -- stopping early --------------------------------------------------------------------

    def _hear(self, job: Job, news: dict[str, Any]) -> str | None:
        """Show the news of a trial; returns why it should stop, if the pruner says so."""
        self._display.show_step(job, news)
        values, number = news["values"], int(job.study["trial"])
        loss = values.get("held_out_loss", values.get("loss"))
        if not job.study["judged"] or loss is None or number in self._stopped:
            return None
        if not self._study.hopeless(number, int(news["step"]), float(loss)):
            return None
        with self._lock:
            self._stopped.add(number)
        return f"loss {loss:.4g} at step {news['step']}: stopped by {self._spec.options.pruner}"
