"""The verbs ``bench run`` and ``bench plan``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import UsageError
from bench.plan.build import build_plan, exclusion_lines
from bench.settings import SCHEDULERS, Settings

from .cluster import write_array_of
from .options import (
    ArrayFolder,
    AsJson,
    Assign,
    Datasets,
    Methods,
    ParamsFiles,
    Protocol,
    Report,
    Umap,
    flag,
    option,
    verb,
)
from .output import make_console, print_json, progress_console
from .search import finish_search
from .tables import show

if TYPE_CHECKING:
    from bench.execute.outcome import RunOutcome
    from bench.execute.time_estimate import TimeEstimate
    from bench.plan.job import Plan

_PLAN_SETTINGS = (
    "seeds", "profile", "results", "cache_dir", "jobs", "threads", "device", "timeout",
    "memory", "retry", "plugins", "label_key", "batch_key", "labels", "no_labels", "n_clusters",
    "layer", "markers", "tracking_uri", "experiment", "allow_other_versions",
)  # fmt: skip
_SETTINGS = (*_PLAN_SETTINGS, "engine", "scheduler")


@verb(*_SETTINGS)
def run_command(
    methods: Methods,
    datasets: Datasets,
    assign: Assign = None,
    params: ParamsFiles = None,
    tune: Annotated[
        int | None, option("N", "search that many configurations of each method first")
    ] = None,
    protocol: Protocol = None,
    report: Report = True,
    umap: Umap = True,
    as_json: AsJson = False,
    *,
    flags: dict[str, Any],
) -> None:
    """Run methods × datasets × seeds; finished jobs are kept.

    Progress goes to stderr, the leaderboard to stdout.
    """
    if tune is None and protocol is not None:
        raise UsageError(
            f"--protocol {protocol}: chooses the labels of a search; it needs --tune.",
            code="option_needs_another",
        )
    flags |= {
        "assign": assign or (), "params": params or (), "report": report, "umap": umap,
        "console": progress_console(),
    }  # fmt: skip
    if tune is not None:
        from bench.tuning.search import search

        fit_timeout = flags.pop("timeout", None)
        outcome = search(
            methods, datasets, trials=tune, protocol=protocol or "holdout",
            fit_timeout=fit_timeout, **flags,
        )  # fmt: skip
        finish_search(outcome, as_json=as_json)

    from bench.execute.run import run

    finished = run(methods, datasets, **flags)
    if as_json:
        print_json(_outcome_as_json(finished))
    else:
        _print_outcome(finished)
    raise typer.Exit(finished.exit_code)


@verb(*_PLAN_SETTINGS)
def plan_command(
    methods: Methods,
    datasets: Datasets,
    assign: Assign = None,
    params: ParamsFiles = None,
    array: ArrayFolder = None,
    engine: Annotated[
        str, option("NAME", "scheduler of the array", "--engine", choices=SCHEDULERS)
    ] = "slurm",
    copy: Annotated[
        bool,
        flag("put copies of the data into the array, for machines without this disk", "--copy"),
    ] = False,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Show the jobs of a run and the time they will take.

    With --array the jobs that are not stored are written as a job array; docs/cluster.md.
    """
    from bench.execute.dataset_reading import open_cache
    from bench.execute.time_estimate import summarize_plan

    cache = open_cache(settings)
    if copy and array is None:
        raise UsageError(
            "--copy: copies data into the folder of --array DIR, which is not given.",
            code="option_needs_another",
        )
    if array is not None:
        settings = settings.model_copy(update={"engine": "slurm"})  # GPUs are elsewhere
    plan = build_plan(methods, datasets, assign or (), settings, cache, params or ())
    if array is not None:
        write_array_of(plan, settings, array, engine, copy_data=copy, as_json=as_json)
        return
    rows, time = summarize_plan(plan, settings)
    if as_json:
        print_json({"jobs": rows, "excluded": [asdict(exclusion) for exclusion in plan.excluded],
                    "expected_seconds": time.seconds,
                    "without_earlier_run": time.guessed})  # fmt: skip
        return
    _print_plan(rows, plan, time)


def _outcome_as_json(outcome: RunOutcome) -> dict[str, Any]:
    table = outcome.table
    rows = [] if table is None else json.loads(table.to_json(orient="records"))
    return {
        "fitted": outcome.fitted,
        "reused": outcome.reused,
        "counts": dict(outcome.counts),
        "exit_code": outcome.exit_code,
        "report": str(outcome.report) if outcome.report else None,
        "results": rows,
    }


def _print_outcome(outcome: RunOutcome) -> None:
    from .leaderboard import print_scores

    if outcome.table is not None and (outcome.table["status"] == "done").any():
        print_scores(outcome.table, make_console())
    typer.echo(outcome.summary)
    if outcome.report is not None:
        typer.echo(f"report: {outcome.report}")


def _print_plan(rows: list[dict[str, Any]], plan: Plan, time: TimeEstimate) -> None:
    show(rows, make_console())
    for line in exclusion_lines(plan.excluded):
        typer.echo(line)
    todo = sum(row["state"] != "done" for row in rows)
    jobs = sum(row["jobs"] for row in rows)
    typer.echo(
        f"{jobs} {'job' if jobs == 1 else 'jobs'}; to go: {time}" if todo else "everything is done"
    )
