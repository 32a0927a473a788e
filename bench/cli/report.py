"""The verb ``bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import UsageError
from bench.settings import Settings, load_settings

from .options import StoredDatasets, StoredMethods, Umap, flag, option, verb


@verb("results", "tracking_uri", "experiment")
def report_command(
    out: Annotated[
        Path | None, option("FOLDER", "folder to write", show_default="results/reports/all")
    ] = None,
    methods: StoredMethods = None,
    datasets: StoredDatasets = None,
    seeds: Annotated[
        str | None, option("SEEDS", "only these, as in bench run", show_default="all")
    ] = None,
    umap: Umap = True,
    static: Annotated[
        bool, flag("also write figures (SVG, PNG, PDF) and tables (LaTeX …)")
    ] = True,
    *,
    settings: Settings,
) -> None:
    """Write the report of the store or of a part of it."""
    from bench.reports.write import write_report
    from bench.store.mlflow_store import Tracker
    from bench.store.results_table import filter_results, results_frame, search_summaries

    wanted = load_settings({"seeds": seeds}).seeds if seeds is not None else None
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(
            f"{settings.results}: no results there; run 'bench run' first.", code="no_results"
        )
    table = filter_results(results_frame(Tracker(settings)), methods, datasets, wanted)
    folder = out or settings.results / "reports" / "all"
    studies = search_summaries(settings, table)
    page = write_report(table, folder, settings, umap=umap, studies=studies, static=static)
    typer.echo(f"report: {page}")
