"""The verb ``bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.settings import Settings, load_settings

from .options import StoredDatasets, StoredMethods, Umap, flag, option, verb


@verb("results", "tracking_uri", "experiment", "plugins")
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
    site: Annotated[
        Path | None, option("DIR", "write a site of many pages into this folder instead")
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Write the report of the store or of a part of it."""
    from bench.execute.mlflow_report import add_umap_pictures
    from bench.reports.write import copy_as_latest, write_report, write_report_site
    from bench.store.result_store import ResultStore, require_results
    from bench.store.results_table import search_summaries, selected_results

    wanted = load_settings({"seeds": seeds}).seeds if seeds is not None else None
    require_results(settings)
    store = ResultStore(settings)
    store.require_experiment()
    table = selected_results(store, methods, datasets, wanted)
    studies = search_summaries(settings, table)
    if site is not None:
        index = write_report_site(table, site, settings, umap=umap, studies=studies)
        typer.echo(f"site: {index}")
        return
    folder = out or settings.results / "reports" / "all"
    page = write_report(table, folder, settings, umap=umap, studies=studies, static=static)
    if out is None:
        copy_as_latest(page, settings)
        add_umap_pictures(table, settings)
    typer.echo(f"report: {page}")
