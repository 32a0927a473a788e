"""The command line: thin verbs over the Python API."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import cli_gate, cli_score
from bench.cli_compare import compare_command
from bench.cli_data import data_app
from bench.cli_fit import fit_command
from bench.cli_regulate import regulate_command
from bench.cli_search import finish, search_command
from bench.cli_transform import transform_command
from bench.cli_ui import ui_command
from bench.errors import BenchError, UsageError
from bench.options import (
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
    plain,
    print_json,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bench.jobs import Plan
    from bench.plan import Expected
    from bench.run import RunOutcome

app = typer.Typer(
    name="bench",
    help="Benchmark single-cell representation methods: fair, resumable, tracked in MLflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _program() -> None:
    """Keep the verb a word of its own, also where it is the only one."""


cli_gate.mount(app)
cli_score.mount(app)
app.add_typer(data_app, name="data")
app.command("fit")(fit_command)
app.command("transform")(transform_command)
app.command("regulate")(regulate_command)
app.command("compare")(compare_command)
app.command("search")(search_command)
app.command("ui")(ui_command)


@app.command("run")
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
        from bench.search.command import search

        found = search(
            methods,
            datasets,
            trials=tune,
            protocol=protocol or "holdout",
            fit_timeout=timeout,
            **given,
        )
        finish(found, console, as_json=as_json)
    from bench.run import run

    outcome = run(methods, datasets, timeout=timeout, **given)
    if as_json:
        print_json(_outcome_json(outcome))
    else:
        _show_outcome(outcome, console)
    raise typer.Exit(outcome.exit_code)


@app.command("plan")
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
    from bench.plan import build_plan, preview
    from bench.settings import load_settings
    from bench.store import Store

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
    store = Store(settings.cache_dir)
    plan = build_plan(methods, datasets, assign or (), settings, store, plain(console))
    rows, time = preview(plan, settings)
    if as_json:
        print_json({"jobs": rows, "left": _left_json(plan), "expected_seconds": time.seconds,
                    "without_earlier_run": time.guessed})  # fmt: skip
        return
    _show_plan(rows, plan, time, console)


@app.command("methods")
def methods_command(
    name: Annotated[str | None, typer.Argument(help="show one method in full")] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List the methods, or show one: parameters, bounds, search ranges, what it uses."""
    from bench.listing import method_card, method_table

    _list(name, plugins, as_json, method_card, method_table)


@app.command("datasets")
def datasets_command(
    name: Annotated[str | None, typer.Argument(help="show one dataset in full")] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets, or show one: what it is, its labels, its citation."""
    from bench.cards import dataset_card
    from bench.listing import dataset_table

    _list(name, plugins, as_json, dataset_card, dataset_table)


@app.command("report")
def report_command(
    out: Annotated[
        Path | None, typer.Option(help="folder to write \\[results/reports/all]")
    ] = None,
    methods: Annotated[
        str | None, typer.Option("--methods", "-m", help="names as shown, or globs")
    ] = None,
    datasets: Annotated[
        str | None, typer.Option("--datasets", "-d", help="names as shown, or globs")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="'3': only 0, 1, 2; '7,11': those two; '7,': only 7 \\[all]"),
    ] = None,
    results: Results = None,
    tracking_uri: Uri = None,
    experiment: Experiment = None,
    config: Config = None,
    umap: Annotated[bool, typer.Option(help="draw UMAPs")] = True,
    static: Annotated[
        bool, typer.Option(help="also write figures (SVG, PNG, PDF) and tables (LaTeX …)")
    ] = True,
) -> None:
    """Write the report of everything in the store, or of a part of it."""
    from bench.report import write_report
    from bench.results import frame, narrow, searches
    from bench.settings import load_settings
    from bench.tracking import Tracker

    console = make_console()
    settings = load_settings(
        flags(seeds=seeds, results=results, tracking_uri=tracking_uri, experiment=experiment),
        config,
    )
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(f"{settings.results}: no results there; run 'bench run' first.")
    wanted = settings.seeds if seeds is not None else None
    table = narrow(frame(Tracker(settings)), methods, datasets, wanted, plain(console))
    folder = out or settings.results / "reports" / "all"
    studies = searches(settings, table)
    page = write_report(
        table, folder, settings, plain(console), umap=umap, studies=studies, static=static
    )
    console.print(f"report: {page}", markup=False, highlight=False)


@app.command("test-method")
def conformance_command(
    name: Annotated[str, typer.Argument(help="a method, a plugin file, or all")],
    plugins: Plugins = None,
) -> None:
    """Check that a method keeps the contract; exit 1 if a check fails."""
    from bench.listing import conformance

    if name.endswith(".py"):
        plugins, name = [*(plugins or []), name], name
    if not conformance(name, tuple(map(str, plugins or ())), make_console()):
        raise typer.Exit(1)


@app.command("doctor")
def doctor_command() -> None:
    """Show versions, machine, folders and what is unavailable."""
    from bench.jobs import device_class
    from bench.provenance import git_commit, machine, versions
    from bench.registry import datasets, methods
    from bench.settings import load_settings

    settings = load_settings({})
    lines = {
        "machine": machine(),
        "device": device_class("auto"),
        "git commit": git_commit() or "not a checkout",
        "results": str(settings.results.resolve()),
        "cache": str(settings.cache_dir),
        "limits": f"{settings.timeout:g} s, {settings.memory:g} GiB a job",
        **versions(),
    }
    for entry in [*methods(), *datasets()]:
        if entry.unavailable:
            lines[f"unavailable: {entry.name}"] = entry.unavailable
    for name, value in lines.items():
        typer.echo(f"{name:24s} {value}")


def main() -> None:
    """Run the command line; errors on purpose end in one line and their exit code."""
    import signal

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        _only(sys.argv[1:2])
        app(standalone_mode=True)
    except BenchError as error:
        typer.echo(f"bench: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("bench: interrupted", err=True)
        sys.exit(130)


def _only(verb: list[str]) -> None:
    """Leave out the other verbs: Typer would build the options of all of them at every start."""
    commands = [one for one in app.registered_commands if [one.name] == verb]
    groups = [one for one in app.registered_groups if [one.name] == verb]
    if commands or groups:
        app.registered_commands, app.registered_groups = commands, groups


def _list(
    name: str | None, plugins: list[str] | None, as_json: bool, card: Any, table: Any
) -> None:
    files = tuple(plugins or ())
    content = card(name, files) if name else table(files)
    if as_json:
        print_json(content)
    else:
        from bench.listing import show

        show(content, make_console())


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
    from bench.listing import leaderboard_table

    if outcome.results is not None and (outcome.results["status"] == "done").any():
        console.print(leaderboard_table(outcome.results))
    counts = ", ".join(f"{number} {status}" for status, number in sorted(outcome.counts.items()))
    console.print(f"{outcome.fitted} fitted now, {outcome.reused} from the store: {counts}")
    if outcome.report is not None:
        console.print(f"report: {outcome.report}", markup=False, highlight=False)


def _show_plan(rows: list[dict[str, Any]], plan: Plan, time: Expected, console: Console) -> None:
    from bench.listing import show
    from bench.plan import left_lines

    show(rows, console)
    for line in left_lines(plan.left):
        console.print(line, markup=False, highlight=False)
    todo = sum(row["state"] != "done" for row in rows)
    jobs = sum(row["jobs"] for row in rows)
    console.print(
        f"{jobs} {'job' if jobs == 1 else 'jobs'}; to go: {time}" if todo else "everything is done"
    )


if __name__ == "__main__":
    main()
