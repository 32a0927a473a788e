"""Run the trials of one study as jobs until the budget is spent."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from bench.execute.engines import open_executor
from bench.execute.progress_bar import ProgressDisplay

from .objective import objective_values
from .study import SpaceExhausted, Study, Trial
from .winner import best_trial

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.execute.driver import Driver
    from bench.execute.engines import Executor
    from bench.plan.job import Job
    from bench.store.result import Result

    from .objective import Objective
    from .study_spec import StudySpec

logger = logging.getLogger(__name__)


class TrialLoop:
    """Runs the trials of one study."""

    def __init__(self, driver: Driver, spec: StudySpec, study: Study, run: str) -> None:
        self._driver, self._spec, self._study, self._run = driver, spec, study, run
        self._objectives = spec.options.objectives
        self._interrupted: list[Trial] = []
        self._running: dict[int, Job] = {}
        self._pruned: set[int] = set()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._display: ProgressDisplay
        self._executor: Executor
        self.note = ""
        """The reason why the study ended before its number of trials; empty if it did not."""

    def restore(self) -> None:
        """Restore the finished trials of a study with a damaged journal from the store."""
        for number, params, stored in self._driver.tracker.trials(self._study.name):
            self._study.restore(number, params)
            self._tell(number, stored.status, stored.values, stored.reason)

    def run(self) -> None:
        """Run trials until the budget is spent, those of a killed driver first."""
        self._interrupted = self._study.interrupted_trials()
        n_done = len(self._study.trials()) - len(self._interrupted)
        settings, total = self._driver.settings, self._spec.options.trials
        if self._interrupted:
            logger.info(f"{len(self._interrupted)} trials of an interrupted search are run again")
        with ProgressDisplay(
            self._driver.console, total or 0, done=n_done, describe=self._describe
        ) as self._display:
            driver = self._driver
            with open_executor(
                settings, driver.cache.root, driver.spool, driver.tracker, self._stop_reason
            ) as self._executor:
                self._start_trials()
                for job, folder in self._executor.as_completed():
                    self._end(job, folder)
                    self._start_trials()

    def ask(self, size: int) -> list[Job]:
        """Return the jobs of at most ``size`` trials to run, unfinished trials first.

        Results in the store of unfinished trials are first passed to the study.
        """
        self._interrupted = self._study.interrupted_trials()
        jobs: list[Job] = []
        while len(jobs) < size and (trial := self._next_trial()) is not None:
            job = self._spec.job(trial, self._run, self._driver.cache)
            if not self._tell_stored(job):
                jobs.append(job)
        return jobs

    def _start_trials(self) -> None:
        """Start trials until all workers are busy or the budget is spent."""
        while len(self._running) < self._driver.settings.jobs:
            trial = self._next_trial()
            if trial is None:
                return
            self._start(trial)

    def _next_trial(self) -> Trial | None:
        if self._interrupted:
            return self._interrupted.pop(0)
        options = self._spec.options
        if options.trials is not None and len(self._study.trials()) >= options.trials:
            return None
        if options.timeout is not None and time.monotonic() - self._began > options.timeout:
            self.note = f"the {options.timeout:g} s of --timeout are over"
            return None
        try:
            return self._study.ask()
        except SpaceExhausted as reason:
            self.note = str(reason)
            return None

    def _start(self, trial: Trial) -> None:
        """Submit the job of a trial, unless it is in the store."""
        job = self._spec.job(trial, self._run, self._driver.cache)
        if self._tell_stored(job):
            return
        self._running[trial.number] = job
        fitted = self._driver.tracker.fits([job.fit_key]).get(job.fit_key)
        failed = {} if fitted else self._driver.prepare(self._executor, [job])
        if failed:
            self._end(job, self._driver.add_failure(job, failed[job.prepared_key]))
        else:
            self._executor.submit(job, fitted=fitted)

    def _tell_stored(self, job: Job) -> bool:
        """Pass the result of a job to the study if it is in the store; returns whether it is."""
        stored = self._driver.tracker.find(job.score_key)
        if stored is None or stored.status == "interrupted":
            return False
        self._tell(job.study["trial"], stored.status, stored.values, stored.reason)
        return True

    def _end(self, job: Job, folder: Path | None) -> None:
        """Commit a finished trial and pass its values to the study."""
        self._running.pop(job.study["trial"])
        result = self._driver.commit(job, folder, self._display)
        if result is not None:
            self._tell(
                job.study["trial"], result.status, result.metrics | result.measures, result.reason
            )
            return
        stored = self._driver.tracker.find(job.score_key)
        if stored is None:  # cancelled: the trial stays open for the next command
            raise KeyboardInterrupt
        # A driver that was started meanwhile has committed it.
        self._tell(job.study["trial"], stored.status, stored.values, stored.reason)

    def _tell(
        self, number: int, status: str, job_values: Mapping[str, float], reason: str
    ) -> None:
        """Store the result of a trial in the study; an interrupted trial stays unfinished."""
        if status == "interrupted":
            return
        values: list[float] | None = None
        if status == "done":
            result = objective_values(self._objectives, job_values)
            if isinstance(result, str):
                status, reason = "failed", result
            else:
                values = result
        self._study.tell(number, status, values, reason, job_values.get("seconds"))

    def _describe(self, result: Result) -> str:
        """Return a line with the time and values of a trial, and the best value so far."""
        seconds = f"{result.measures['seconds']:.1f} s"
        values = objective_values(self._objectives, result.metrics | result.measures)
        if isinstance(values, str):
            return f"{seconds}, {values}"
        named = zip(self._objectives, values, strict=True)
        text = ", ".join(f"{one.name} {_round(one, value)}" for one, value in named)
        ended = Trial(result.job.study["trial"], {}, result.status, tuple(values))
        others = [one for one in self._study.trials() if one.number != ended.number]
        best = best_trial([*others, ended], self._objectives)
        assert best is not None
        so_far = f"best so far {_round(self._objectives[0], best.values[0])}"
        return f"{seconds}, {text} ({self._spec.options.protocol}); {so_far}"

    def _stop_reason(self, job: Job, report: dict[str, Any]) -> str | None:
        """Show the step of a trial; returns a reason to stop it if the pruner decides so."""
        self._display.show_step(job, report)
        values, number = report["values"], int(job.study["trial"])
        loss = values.get("held_out_loss", values.get("loss"))
        if not job.study["prunable"] or loss is None or number in self._pruned:
            return None
        if not self._study.should_prune(number, int(report["step"]), float(loss)):
            return None
        with self._lock:
            self._pruned.add(number)
        return f"loss {loss:.4g} at step {report['step']}: stopped by {self._spec.options.pruner}"


def _round(objective: Objective, value: float) -> str:
    """Return a value as in tables: scores with three decimals."""
    return f"{value:z.3f}" if objective.metric else f"{value:.4g}"
