"""The verb ``bench compare``: the difference of two experiments, paired by job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bench
from bench.cli.options import AsJson, Config, Results, Uri, flags, make_console, plain, print_json
from bench.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from bench.reports.tables.compare import Comparison
    from bench.settings import Settings

_SIDE = "results folder; with --results or --tracking-uri an experiment of that store"


def compare_command(
    a: Annotated[str, typer.Argument(help=_SIDE, metavar="A", show_default=False)],
    b: Annotated[str, typer.Argument(help=_SIDE, metavar="B", show_default=False)],
    metric: Annotated[
        str, typer.Option(help="to decide by: 'ari' (k-means), 'leiden/ari', …")
    ] = "ari",
    methods: Annotated[str | None, typer.Option("--methods", "-m", help="globs")] = None,
    datasets: Annotated[str | None, typer.Option("--datasets", "-d", help="globs")] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder to write \\[reports/compare beside B]")
    ] = None,
    results: Results = None,
    tracking_uri: Uri = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compare two experiments job by job: what changed from A to B, and by how much."""
    from bench.reports.page import compare_page
    from bench.reports.tables import compare
    from bench.reports.write import command_line
    from bench.store.results_table import narrow

    sides = [_settings(one, results, tracking_uri, config) for one in (a, b)]
    first, second = (narrow(_table(side), methods, datasets) for side in sides)
    key = _metric(metric, [first, second])
    found = compare.compare(first, second, (a, b))
    folder = out or sides[1].results / "reports" / "compare"
    provenance = {"aebench": bench.__version__} | {
        f"{name}, store": f"{side.tracking_uri or side.database}, experiment {side.experiment}"
        for name, side in zip("AB", sides, strict=True)
    }
    try:
        page = compare_page.write(
            found, folder, metric=key, command=command_line(), provenance=provenance
        )
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}.") from None
    if as_json:
        print_json(compare_page.as_json(found, page))
        return
    console = make_console()
    if found.of(key):
        console.print(_shown(found, key))
    for line in [*compare.cautions(found), compare.sentences(found, key)[0], f"page: {page}"]:
        plain(console)(line)


def _settings(side: str, results: Path | None, uri: str | None, config: Path | None) -> Settings:
    """Return where one side lies; raises ``UsageError`` if there is no store."""
    from bench.settings import load_settings

    if results is None and uri is None:
        settings = load_settings(flags(results=Path(side)), config)
        # A server named in a settings file would make both sides the same.
        settings = settings.model_copy(update={"tracking_uri": ""})
    else:
        given = flags(results=results, tracking_uri=uri, experiment=side)
        settings = load_settings(given, config)
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(
            f"{settings.results}: no results there (no {settings.database.name}); give the folder "
            "that 'bench run --results' was given."
        )
    return settings


def _table(settings: Settings) -> pd.DataFrame:
    from bench.store.mlflow_store import Tracker
    from bench.store.results_table import frame

    return frame(Tracker(settings, create=False))


def _metric(text: str, tables: list[pd.DataFrame]) -> str:
    """Return the column of a metric; raises ``UsageError`` if neither side has it."""
    key = text if "/" in text else f"kmeans/{text}"
    known = sorted({str(c) for table in tables for c in table.columns if "/" in str(c)})
    if key not in known:
        there = ", ".join(known) or "none: no job is done"
        raise UsageError(f"--metric {text}: neither side has it; there are: {there}.")
    return key


def _shown(found: Comparison, metric: str) -> Table:
    """Return the differences in one metric as a table for the terminal."""
    from rich import box
    from rich.table import Table

    from bench.reports.tables.compare import signed
    from bench.reports.tables.labels import label

    table = Table(box=box.SIMPLE, title=f"{label(metric)}: B − A", title_justify="left")
    for name in ("method", "dataset"):
        table.add_column(name, overflow="fold")
    for name in ("pairs", "A", "B", "B − A", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in found.of(metric):
        ends = "–" if one.n < 2 else f"{signed(one.low)} to {signed(one.high)}"
        table.add_row(
            one.method, one.dataset, str(one.n), f"{one.a:.3f}", f"{one.b:.3f}",
            signed(one.difference), ends, one.verdict,
        )  # fmt: skip
    return table
