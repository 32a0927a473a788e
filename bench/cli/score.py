"""The verb ``bench score``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from .options import AsJson, StoredDatasets, StoredMethods, option, verb
from .output import print_json, progress_console


@verb("results", "cache_dir", "jobs", "threads", "memory", "plugins", "tracking_uri", "experiment")
def score_command(
    methods: StoredMethods = None,
    datasets: StoredDatasets = None,
    metrics: Annotated[
        str | None, option("NAMES", "metrics, by name or glob", show_default="all")
    ] = None,
    as_json: AsJson = False,
    *,
    flags: dict[str, Any],
) -> None:
    """Add missing metrics to finished fits, and those of an older version; fit nothing."""
    from bench.execute.rescore import rescore_fits

    summary = rescore_fits(methods, datasets, metrics, console=progress_console(), **flags)
    if as_json:
        print_json(asdict(summary) | {"exit_code": summary.exit_code})
        raise typer.Exit(summary.exit_code)
    for key, number in sorted(summary.added.items()):
        typer.echo(f"added {key} to {number} fits")
    for text, number in sorted(summary.missing.items()):
        typer.echo(f"missing in {number} fits: {text}")
    for name, number in sorted(summary.changed.items()):
        typer.echo(f"{name}: its source changed since {number} of these fits; scored as they are")
    for text in summary.problems:
        typer.echo(f"not scored: {text}")
    scored = summary.fits - summary.current - len(summary.problems)
    typer.echo(f"{summary.fits} finished fits: {scored} scored now, {summary.current} had it all")
    raise typer.Exit(summary.exit_code)
