"""The verb ``bench score``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bench.cli.options import (
    AsJson,
    Cache,
    Config,
    Experiment,
    Jobs,
    Memory,
    Results,
    Threads,
    Uri,
    flags,
    make_console,
    plain,
    print_json,
)


def score_command(
    methods: Annotated[str | None, typer.Option("--methods", "-m", help="globs")] = None,
    datasets: Annotated[str | None, typer.Option("--datasets", "-d", help="globs")] = None,
    metrics: Annotated[str | None, typer.Option(help="names or globs \\[all]")] = None,
    plugins: Annotated[
        list[str] | None, typer.Option("--plugin", help="file with metrics of yours")
    ] = None,
    results: Results = None,
    cache_dir: Cache = None,
    jobs: Jobs = None,
    threads: Threads = None,
    memory: Memory = None,
    tracking_uri: Uri = None,
    experiment: Experiment = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compute metrics that finished fits lack or have in an older version; fits nothing."""
    from bench.execute.rescore import score

    console = make_console(stderr=as_json)
    told = score(
        methods, datasets, metrics, config=config, console=console,
        **flags(
            results=results, cache_dir=cache_dir, jobs=jobs, threads=threads, memory=memory,
            plugins=plugins, tracking_uri=tracking_uri, experiment=experiment,
        ),
    )  # fmt: skip
    if as_json:
        print_json(asdict(told) | {"exit_code": told.exit_code})
        raise typer.Exit(told.exit_code)
    say = plain(console)
    for key, number in sorted(told.added.items()):
        say(f"added {key} to {number} fits")
    for text, number in sorted(told.missing.items()):
        say(f"missing in {number} fits: {text}")
    for name, number in sorted(told.changed.items()):
        say(f"{name}: its source changed since {number} of these fits; scored as they are")
    for text in told.problems:
        say(f"not scored: {text}")
    scored = told.fits - told.current - len(told.problems)
    say(f"{told.fits} finished fits: {scored} scored now, {told.current} had it all")
    raise typer.Exit(told.exit_code)
