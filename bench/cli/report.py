"""report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import UsageError

from .options import Config, Experiment, Results, Uri, flags, make_console


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
    from bench.reports.write import write_report
    from bench.settings import load_settings
    from bench.store.mlflow_store import Tracker
    from bench.store.results_table import frame, narrow, searches

    console = make_console()
    settings = load_settings(
        flags(seeds=seeds, results=results, tracking_uri=tracking_uri, experiment=experiment),
        config,
    )
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(f"{settings.results}: no results there; run 'bench run' first.")
    wanted = settings.seeds if seeds is not None else None
    table = narrow(frame(Tracker(settings)), methods, datasets, wanted)
    folder = out or settings.results / "reports" / "all"
    studies = searches(settings, table)
    page = write_report(table, folder, settings, umap=umap, studies=studies, static=static)
    console.print(f"report: {page}", markup=False, highlight=False)
