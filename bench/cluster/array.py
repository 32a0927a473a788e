"""Write the jobs of a plan as a job array: numbered tasks and a script that submits them."""

from __future__ import annotations

import contextlib
import logging
import shutil
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.cache.data_cache import DataCache
from bench.digests import source_digest, source_files
from bench.errors import UsageError
from bench.execute.driver import Driver
from bench.execute.local_executor import LocalExecutor

from .job_folder import JobFolder, QueuedJob
from .local_data import copy_job_data
from .resources import JobCost, group_jobs, job_costs, task_request
from .submit_script import Chunk, write_submit_script
from .versions import environment_versions

if TYPE_CHECKING:
    from rich.console import Console

    from bench.plan.job import Job, Plan
    from bench.settings import Settings

logger = logging.getLogger(__name__)


@dataclass
class ArrayPlan:
    """What was written."""

    folder: Path
    jobs: int = 0
    stored: int = 0
    """Jobs of the plan that are in the store."""
    tasks: int = 0
    chunks: tuple[Chunk, ...] = ()
    expected_seconds: float = 0.0
    """Sum over the jobs."""


def write_array(
    plan: Plan,
    settings: Settings,
    console: Console,
    root: Path,
    engine: str,
    *,
    copy_data: bool = False,
) -> ArrayPlan:
    """Write the jobs of a plan that are not stored as a job array.

    Recipes are carried out here, once, so that no worker waits for another.

    Parameters
    ----------
    root
        A new folder for the array.
    engine
        ``slurm``, ``pbs``, ``lsf`` or ``sge``.
    copy_data
        Whether the folder gets copies of the data and plugins, for machines that see neither the
        cache nor the files of this one.

    Raises
    ------
    UsageError
        If there are files in the folder, or a plugin cannot be copied.
    """
    driver = Driver(settings, DataCache(settings.cache_dir), plan, console)
    driver.open()
    todo, _ = driver.jobs_to_run()
    summary = ArrayPlan(root, len(todo), driver.outcome.reused)
    if not todo:
        return summary
    copied = {"cache": "cache"} if copy_data else {}
    folder = JobFolder.create(root, folder_facts(settings, driver.cache.root) | copied)
    _prepare(driver, todo)
    fits = driver.store.fits(job.fit_key for job in todo)
    groups = group_jobs(
        job_costs(todo, driver.store, settings), 60 * settings.engine_options.task_minutes
    )
    groups.sort(key=task_request)  # tasks with equal requests stand side by side
    writer = _TaskWriter(folder, fits, driver.cache.root if copy_data else None)
    for number, group in enumerate(groups, 1):
        folder.add_task(number, [writer.queued(cost.job) for cost in group])
    summary.tasks, summary.chunks = len(groups), _chunks(groups, settings)
    summary.expected_seconds = sum(cost.expected for group in groups for cost in group)
    write_submit_script(folder.root, engine, summary.chunks, settings.engine_options)
    folder.add_facts(engine=engine, chunks=[asdict(chunk) for chunk in summary.chunks])
    return summary


def folder_facts(settings: Settings, cache: Path, *, live: bool = False) -> dict[str, object]:
    """Return what a folder of jobs says about its driver.

    ``live``: a driver waits for the results, which go to its own spool.
    """
    results = settings.results.resolve()
    return {
        "results": str(results),
        "experiment": settings.experiment,
        "cache": str(cache.resolve()),
        "spool": str(results / "spool") if live else "spool",
        "scratch": settings.engine_options.scratch,
        "versions": environment_versions(),
        "allow_other_versions": settings.allow_other_versions,
        "live": live,
    }


def _prepare(driver: Driver, todo: list[Job]) -> None:
    """Prepare the data of jobs; what fails here fails on a worker, too, and is a result there."""
    settings = driver.settings
    driver.write_splits(todo)
    with LocalExecutor(
        settings.jobs, settings.threads, driver.cache.root, driver.spool
    ) as executor:
        for outcome in driver.prepare(executor, todo).values():
            logger.warning(f"preparation: {outcome.reason}")


def _chunks(groups: list[list[JobCost]], settings: Settings) -> tuple[Chunk, ...]:
    """Return ranges of tasks with equal requests, each at most as long as an array may be."""
    most = settings.engine_options.max_array_size - 1  # the first index of ours is 1
    chunks: list[Chunk] = []
    requests = [task_request(group) for group in groups]
    for request, same in groupby(enumerate(requests, 1), key=lambda item: item[1]):
        numbers = [number for number, _ in same]
        for start in range(0, len(numbers), most):
            part = numbers[start : start + most]
            chunks.append(Chunk(len(chunks) + 1, part[0], part[-1], request))
    return tuple(chunks)


class _TaskWriter:
    """Makes jobs of a plan jobs of the folder, with copies of their files if asked for."""

    def __init__(self, folder: JobFolder, fits: dict[str, Path], cache: Path | None) -> None:
        self._folder, self._fits, self._cache = folder, fits, cache
        self._plugins: dict[str, str] = {}

    def queued(self, job: Job) -> QueuedJob:
        """Return a job as its worker gets it."""
        fitted = self._fits.get(job.fit_key)
        if self._cache is None:
            return QueuedJob(job, fitted)
        copy_job_data(job, self._cache, self._folder.root / "cache")
        if fitted is not None:
            shutil.copytree(fitted, self._folder.root / "fitted" / job.fit_key, dirs_exist_ok=True)
            fitted = Path("fitted") / job.fit_key
        plugin = Path(self._copied_plugin(job)) if job.origin.endswith(".py") else None
        return QueuedJob(job, fitted, plugin)

    def _copied_plugin(self, job: Job) -> str:
        """Copy the files of a plugin; returns its path in the folder of the array."""
        if job.origin in self._plugins:
            return self._plugins[job.origin]
        own = Path(job.origin).resolve()
        parent = own.parent.parent if own.name == "__init__.py" else own.parent
        target = self._folder.root / "plugins" / str(len(self._plugins) + 1)
        with contextlib.suppress(ValueError):  # a file elsewhere: the digest differs
            for path in source_files(job.origin, tuple(job.facts["own_files"])):
                copy = target / path.relative_to(parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        copied = target / own.relative_to(parent)
        if not copied.is_file() or (
            source_digest(str(copied), tuple(job.facts["own_files"])) != job.facts["source"]
        ):
            raise UsageError(
                f"{job.origin}: needs files outside of {parent}, which --copy does not take; put "
                "them beside it.",
                code="files_elsewhere",
            )
        self._plugins[job.origin] = str(copied.relative_to(self._folder.root))
        return self._plugins[job.origin]
