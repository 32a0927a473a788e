"""Commit the results of a job array, and say what is missing."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.cache.data_cache import DataCache
from bench.execute.driver import Driver
from bench.execute.progress_bar import ProgressDisplay
from bench.plan.job import FAILURES, Plan
from bench.store.spool import Spool

from .job_folder import ENDED, LOST, MISSING, RUNNING, WAITING, JobFolder, JobState
from .resources import Request
from .submit_script import Chunk, write_resubmit_script

if TYPE_CHECKING:
    from rich.console import Console

    from bench.settings import Settings


logger = logging.getLogger(__name__)


@dataclass
class SyncSummary:
    """Where the jobs of an array stand after their results were committed."""

    jobs: int = 0
    committed: int = 0
    """Results that were stored just now."""
    counts: Counter[str] = field(default_factory=Counter)
    """Number of jobs by status, or by ``running``, ``lost`` and ``missing``."""
    failed: list[str] = field(default_factory=list)
    """Failed jobs with status and reason."""
    running: list[JobState] = field(default_factory=list)
    lost: list[JobState] = field(default_factory=list)
    """Jobs whose worker ended without a result."""
    seconds_left: float | None = None
    """At the pace so far, with as many workers as run now; ``None`` if nothing runs."""
    unfinished_tasks: list[int] = field(default_factory=list)
    """Tasks with jobs that nobody runs and that have no result."""
    resubmit: Path | None = None
    """Script that submits these tasks."""
    cpus: Counter[str] = field(default_factory=Counter)
    """Number of fits by kind of processor."""
    hosts: Counter[str] = field(default_factory=Counter)


def sync_results(folder: JobFolder, settings: Settings, console: Console) -> SyncSummary:
    """Write the results of an array into the store and return where its jobs stand.

    Jobs that are stored by another run meanwhile count as ended, so that no worker repeats them.
    """
    waiting = [state for state in folder.states() if state.state == WAITING]
    plan = Plan([state.job for state in waiting])
    driver = Driver(settings, DataCache(settings.cache_dir), plan, console)
    driver.open()
    driver.spool = Spool(folder.spool)
    if waiting:
        _commit(waiting, folder, driver)
    _note_stored(folder, driver)
    summary = summarize_folder(folder)
    summary.committed = driver.outcome.fitted
    if summary.unfinished_tasks and "engine" in folder.facts:
        summary.resubmit = write_resubmit_script(
            folder.root, folder.facts["engine"], _chunks(folder), summary.unfinished_tasks
        )
    return summary


def _commit(waiting: list[JobState], folder: JobFolder, driver: Driver) -> None:
    """Write results that wait into the store; an interrupt leaves the others where they are."""
    interrupted = False
    with driver.session(), ProgressDisplay(driver.console, len(waiting)) as display:
        try:
            for state in waiting:
                result = driver.commit(state.job, folder.spool / state.job.score_key, display)
                if folder.end(state.job) is None and result is not None:
                    folder.write_end(state.job, result.status, reason=result.reason)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        logger.warning(f"interrupted: {driver.outcome.fitted} results are stored; sync again")
        raise KeyboardInterrupt


def _note_stored(folder: JobFolder, driver: Driver) -> None:
    """Note the end of jobs that another run has stored as done."""
    missing = [state.job for state in folder.states() if state.state == MISSING]
    stored = driver.store.stored_jobs(job.score_key for job in missing)
    for job in missing:
        if job.score_key in stored and stored[job.score_key].status in ("done", "pruned"):
            folder.write_end(job, stored[job.score_key].status)


def summarize_folder(folder: JobFolder) -> SyncSummary:
    """Return where the jobs of a folder stand; nothing is written."""
    summary, unfinished = SyncSummary(), set()
    times: list[float] = []
    for state in folder.states():
        summary.jobs += 1
        if state.state == RUNNING:
            summary.running.append(state)
        elif state.state == LOST:
            summary.lost.append(state)
        elif state.status in FAILURES:
            summary.failed.append(f"{state.job.name}: {state.status}: {state.reason}")
        summary.counts[state.status if state.state == ENDED else state.state] += 1
        if state.state in (LOST, MISSING) or state.status == "interrupted":
            unfinished.add(state.task)
        end = folder.end(state.job) or {}
        summary.cpus.update(filter(None, [end.get("cpu")]))
        summary.hosts.update(filter(None, [end.get("host")]))
        times += filter(None, [end.get("seconds")])
    if times and summary.running:
        left = len(summary.running) + len(summary.lost) + summary.counts[MISSING]
        summary.seconds_left = sum(times) / len(times) * left / len(summary.running)
    summary.unfinished_tasks = sorted(unfinished)
    return summary


def _chunks(folder: JobFolder) -> list[Chunk]:
    return [
        Chunk(**(one | {"request": Request(**one["request"])})) for one in folder.facts["chunks"]
    ]
