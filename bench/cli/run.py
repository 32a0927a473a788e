"""run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import UsageError

from .options import (
    AsJson,
    Assign,
    BatchKey,
    Cache,
    Config,
    Datasets,
    Device,
    Experiment,
    Jobs,
    LabelKey,
    MarkersFile,
    Memory,
    Methods,
    ParamsFiles,
    Plugins,
    ProfileName,
    Results,
    Retry,
    Seeds,
    Threads,
    Timeout,
    Uri,
    flags,
    make_console,
    print_json,
)
from .search import finish

if TYPE_CHECKING:
    from rich.console import Console

    from bench.execute.outcome import RunOutcome
    from bench.execute.time_estimate import Expected
    from bench.plan.job import Plan


def run_command(
    methods: Methods,
    datasets: Datasets,
    assign: Assign = None,
    params: ParamsFiles = None,
    tune: Annotated[
        int | None, typer.Option(help="search that many configurations of each first")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="with --tune, whose labels choose; see bench search")
    ] = None,
    seeds: Seeds = None,
    profile: ProfileName = None,
    results: Results = None,
    cache_dir: Cache = None,
    jobs: Jobs = None,
    threads: Threads = None,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    retry: Retry = None,
    plugins: Plugins = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    markers: MarkersFile = None,
    tracking_uri: Uri = None,
    experiment: Experiment = None,
    config: Config = None,
    report: Annotated[bool, typer.Option(help="write the HTML report at the end")] = True,
    umap: Annotated[bool, typer.Option(help="draw UMAPs in the report")] = True,
    as_json: AsJson = False,
) -> None:
    """Run methods × datasets × seeds; what is done is not repeated."""
    console = make_console(stderr=as_json)
    given = flags(
        seeds=seeds, profile=profile, results=results, cache_dir=cache_dir, jobs=jobs,
        threads=threads, device=device, memory=memory, retry=retry, plugins=plugins,
        label_key=label_key, batch_key=batch_key, markers=markers, tracking_uri=tracking_uri,
        experiment=experiment, assign=assign, params=params, config=config,
    )  # fmt: skip
    given |= {"report": report, "umap": umap, "console": console}
    if tune is None and protocol is not None:
        raise UsageError(
            f"--protocol {protocol}: says whose labels choose among searched configurations; it "
            "needs --tune."
        )
    if tune is not None:
        from bench.tuning.search import search

        found = search(
            methods,
            datasets,
            trials=tune,
            protocol=protocol or "holdout",
            fit_timeout=timeout,
            **given,
        )
        finish(found, console, as_json=as_json)
    from bench.execute.driver import run

    outcome = run(methods, datasets, timeout=timeout, **given)
    if as_json:
        print_json(_outcome_json(outcome))
    else:
        _show_outcome(outcome, console)
    raise typer.Exit(outcome.exit_code)


def plan_command(
    methods: Methods,
    datasets: Datasets,
    assign: Assign = None,
    params: ParamsFiles = None,
    seeds: Seeds = None,
    profile: ProfileName = None,
    results: Results = None,
    cache_dir: Cache = None,
    jobs: Jobs = None,
    threads: Threads = None,
    device: Device = None,
    retry: Retry = None,
    plugins: Plugins = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    markers: MarkersFile = None,
    tracking_uri: Uri = None,
    experiment: Experiment = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do, what is done already, and the expected time."""
    from bench.data.cache.data_cache import DataCache
    from bench.execute.time_estimate import preview
    from bench.plan.build import build_plan
    from bench.settings import load_settings

    console = make_console(stderr=as_json)
    settings = load_settings(
        flags(
            seeds=seeds, profile=profile, results=results, cache_dir=cache_dir, jobs=jobs,
            threads=threads, device=device, retry=retry, plugins=plugins, label_key=label_key,
            batch_key=batch_key, markers=markers, tracking_uri=tracking_uri,
            experiment=experiment,
        ),
        config,
    )  # fmt: skip
    store = DataCache(settings.cache_dir)
    plan = build_plan(methods, datasets, assign or (), settings, store)
    rows, time = preview(plan, settings)
    if as_json:
        print_json({"jobs": rows, "left": _left_json(plan), "expected_seconds": time.seconds,
                    "without_earlier_run": time.guessed})  # fmt: skip
        return
    _show_plan(rows, plan, time, console)


def _left_json(plan: Plan) -> list[dict[str, str]]:
    from dataclasses import asdict

    return [asdict(one) for one in plan.left]


def _outcome_json(outcome: RunOutcome) -> dict[str, Any]:
    table = outcome.results
    rows = [] if table is None else json.loads(table.to_json(orient="records"))
    return {
        "fitted": outcome.fitted,
        "reused": outcome.reused,
        "counts": dict(outcome.counts),
        "exit_code": outcome.exit_code,
        "report": str(outcome.report) if outcome.report else None,
        "results": rows,
    }


def _show_outcome(outcome: RunOutcome, console: Console) -> None:
    from .tables import leaderboard_table

    if outcome.results is not None and (outcome.results["status"] == "done").any():
        console.print(leaderboard_table(outcome.results))
    counts = ", ".join(f"{number} {status}" for status, number in sorted(outcome.counts.items()))
    console.print(f"{outcome.fitted} fitted now, {outcome.reused} from the store: {counts}")
    if outcome.report is not None:
        console.print(f"report: {outcome.report}", markup=False, highlight=False)


def _show_plan(rows: list[dict[str, Any]], plan: Plan, time: Expected, console: Console) -> None:
    from bench.plan.build import left_lines

    from .tables import show

    show(rows, console)
    for line in left_lines(plan.left):
        console.print(line, markup=False, highlight=False)
    todo = sum(row["state"] != "done" for row in rows)
    jobs = sum(row["jobs"] for row in rows)
    console.print(
        f"{jobs} {'job' if jobs == 1 else 'jobs'}; to go: {time}" if todo else "everything is done"
    )
