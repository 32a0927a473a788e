"""The verbs of job arrays: ``bench worker``, ``bench sync`` and ``bench status``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cluster.job_folder import JobFolder
from bench.errors import UsageError
from bench.messages import did_you_mean, format_duration
from bench.settings import SCHEDULERS, load_settings

from .options import AsJson, argument, flag, option, verb
from .output import make_console, print_json, progress_console
from .tables import show

if TYPE_CHECKING:
    from bench.cluster.job_folder import JobState
    from bench.cluster.sync import SyncSummary
    from bench.plan.job import Plan
    from bench.settings import Settings

Folder = Annotated[Path, argument("DIR", "folder of 'bench plan --array', or of a run's engine")]
_MOST_LINES = 20


def write_array_of(
    plan: Plan,
    settings: Settings,
    folder: Path,
    engine: str,
    *,
    copy_data: bool = False,
    as_json: bool,
) -> None:
    """Write the jobs of a plan that are not stored as a job array, and say how to submit it."""
    from bench.cluster.array import write_array

    if engine not in SCHEDULERS:
        raise UsageError(
            f"--engine {engine}: no such scheduler.{did_you_mean(engine, list(SCHEDULERS))}",
            code="unknown_name",
        )
    array = write_array(plan, settings, progress_console(), folder, engine, copy_data=copy_data)
    if as_json:
        print_json(asdict(array))
        return
    if not array.jobs:
        typer.echo(f"nothing to run: all {array.stored} jobs are in the store")
        return
    rows = [
        {
            "tasks": f"{chunk.first}-{chunk.last}", "device": chunk.request.device,
            "threads": chunk.request.threads, "memory": f"{chunk.request.memory_gib} GiB",
            "time": chunk.request.clock, "script": chunk.script,
        }
        for chunk in array.chunks
    ]  # fmt: skip
    show(rows, make_console())
    typer.echo(
        f"{array.jobs} jobs in {array.tasks} tasks, {array.stored} in the store; "
        f"about {format_duration(array.expected_seconds)} of fits"
    )
    typer.echo(f"submit them:         {folder / 'submit.sh'}")
    typer.echo(f"store what is done:  bench sync {folder}")


def worker_command(
    task: Annotated[Path, argument("DIR/N", "folder of the array and number of the task")],
    scratch: Annotated[
        str,
        option("FOLDER", "disk of this machine for data and temporary files", show_default="DIR"),
    ] = "",
    allow_other_versions: Annotated[
        bool,
        flag("run with other versions of packages than the driver's", "--allow-other-versions"),
    ] = False,
) -> None:
    """Run one task of a job array.

    Jobs that have ended, or that another worker runs, are left out. Results go to the spool of the
    array; 'bench sync' stores them.
    """
    from bench.cluster.worker import run_task

    if not task.name.isdigit():
        raise UsageError(
            f"{task}: expected the folder of an array and the number of a task, such as {task}/7.",
            code="invalid_value",
        )
    folder, number = JobFolder(task.parent), int(task.name)
    run_task(folder, number, scratch=scratch, allow_other_versions=allow_other_versions)


@verb("results", "cache_dir", "tracking_uri", "experiment")
def sync_command(
    folder: Folder,
    as_json: AsJson = False,
    config: Annotated[
        Path | None, option("FILE", "settings file", show_default="bench.toml")
    ] = None,
    *,
    flags: dict[str, Any],
) -> None:
    """Store the results of a job array.

    It says what is missing, failed or running. Results go to the folder and experiment that the
    array was planned for.
    """
    from bench.cluster.sync import sync_results

    jobs = JobFolder(folder)
    planned = {"results": jobs.facts["results"], "experiment": jobs.facts["experiment"]}
    settings = load_settings(planned | flags, config)
    summary = sync_results(jobs, settings, progress_console())
    if as_json:
        print_json(_as_json(summary))
    else:
        typer.echo(f"{summary.committed} results stored now")
        _print_summary(summary)
    raise typer.Exit(3 if summary.failed else 0)


def status_command(
    folder: Folder,
    follow: Annotated[
        str | None, option("JOB", "show the log of a job: number of a task, or part of a name")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where the jobs of an array stand; nothing is written."""
    from bench.cluster import job_log, sync

    jobs = JobFolder(folder)
    if follow is not None:
        job = job_log.find_job(jobs, follow)
        typer.echo(job.name, err=True)
        end = job_log.follow_log(jobs, job, lambda new: typer.echo(new, nl=False))
        typer.echo(f"{job.name}: {end}", err=True)
        return
    summary = sync.summarize_folder(jobs)
    if as_json:
        print_json(_as_json(summary))
    else:
        _print_summary(summary)


def _as_json(summary: SyncSummary) -> dict[str, Any]:
    return {
        "jobs": summary.jobs,
        "committed": summary.committed,
        "counts": dict(summary.counts),
        "failed": summary.failed,
        "running": [_row(state) for state in summary.running],
        "lost": [_row(state) for state in summary.lost],
        "seconds_left": summary.seconds_left,
        "unfinished_tasks": summary.unfinished_tasks,
        "resubmit": summary.resubmit and str(summary.resubmit),
        "cpus": dict(summary.cpus),
        "hosts": dict(summary.hosts),
    }


def _row(state: JobState) -> dict[str, Any]:
    claim = state.claim
    step = f"{claim['step']}/{claim['total'] or '?'}" if "step" in claim else ""
    return {
        "task": state.task, "job": state.job.name, "host": claim.get("host", ""),
        "for": format_duration(state.seconds), "step": step,
    }  # fmt: skip


def _print_summary(summary: SyncSummary) -> None:
    counts = ", ".join(f"{number} {name}" for name, number in sorted(summary.counts.items()))
    left = ""
    if summary.seconds_left is not None:
        left = f"; about {format_duration(summary.seconds_left)} left with the workers that run"
    typer.echo(f"{summary.jobs} jobs: {counts or 'none'}{left}")
    for title, states in (("running", summary.running), ("lost", summary.lost)):
        if states:
            typer.echo(f"\n{title}:")
            show([_row(state) for state in states[:_MOST_LINES]], make_console())
            _print_more(len(states))
    if summary.failed:
        typer.echo("\nfailed:")
        for line in summary.failed[:_MOST_LINES]:
            typer.echo(f"  {line}")
        _print_more(len(summary.failed))
    if len(summary.cpus) > 1:
        kinds = ", ".join(f"{name} ({number} fits)" for name, number in summary.cpus.items())
        typer.echo(f"\nseveral kinds of processor, last digits may differ: {kinds}")
    if summary.resubmit is not None:
        number = len(summary.unfinished_tasks)
        tasks = "1 task has" if number == 1 else f"{number} tasks have"
        typer.echo(
            f"\n{tasks} jobs without a result; unless they wait in the queue: {summary.resubmit}"
        )


def _print_more(number: int) -> None:
    if number > _MOST_LINES:
        typer.echo(f"  … and {number - _MOST_LINES} more (--json shows all)")
