"""The verb ``bench compare``: the difference of two experiments, paired by job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bench
from bench.errors import DataError, UsageError
from bench.settings import Settings, load_settings

from .options import AsJson, StoredDatasets, StoredMethods, verb
from .output import make_console, print_json

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from bench.reports.tables.compare import Comparison

_SIDE = "results folder; with --results or --tracking-uri an experiment of that store"


@verb("results", "tracking_uri")
def compare_command(
    a: Annotated[str, typer.Argument(help=_SIDE, metavar="A", show_default=False)],
    b: Annotated[str, typer.Argument(help=_SIDE, metavar="B", show_default=False)],
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="to decide by: 'ari' (k-means), 'leiden/ari', …")
    ] = "ari",
    methods: StoredMethods = None,
    datasets: StoredDatasets = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", show_default="reports/compare beside B", help="folder to write"
        ),
    ] = None,
    as_json: AsJson = False,
    *,
    flags: dict[str, Any],
) -> None:
    """Compare two experiments job by job."""
    from bench.reports.page import compare_page
    from bench.reports.tables import compare
    from bench.reports.write import command_line
    from bench.store.results_table import filter_results

    sides = [_side_settings(name, flags) for name in (a, b)]
    first, second = (filter_results(_read_results(side), methods, datasets) for side in sides)
    key = _metric_key(metric, [first, second])
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
        raise DataError(
            f"{folder}: cannot be written: {error.strerror}.", code="not_writable"
        ) from None
    if as_json:
        print_json(compare_page.as_json(found, page))
        return
    if found.of(key):
        make_console().print(_difference_table(found, key))
    for line in [*compare.cautions(found), compare.sentences(found, key)[0], f"page: {page}"]:
        typer.echo(line)


def _side_settings(name: str, flags: dict[str, Any]) -> Settings:
    """Return where one side lies; raises ``UsageError`` if there is no store."""
    config = flags.get("config")
    store = {key: value for key, value in flags.items() if key != "config"}
    if store:
        settings = load_settings(store | {"experiment": name}, config)
    else:
        settings = load_settings({"results": Path(name)}, config)
        # A server named in a settings file would make both sides the same.
        settings = settings.model_copy(update={"tracking_uri": ""})
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(
            f"{settings.results}: no results there (no {settings.database.name}); give the folder "
            "that 'bench run --results' was given.",
            code="no_results",
        )
    return settings


def _read_results(settings: Settings) -> pd.DataFrame:
    from bench.store.mlflow_store import Tracker
    from bench.store.results_table import results_frame

    return results_frame(Tracker(settings, create=False))


def _metric_key(text: str, tables: list[pd.DataFrame]) -> str:
    """Return the column of a metric; raises ``UsageError`` if neither side has it."""
    key = text if "/" in text else f"kmeans/{text}"
    known = sorted({str(c) for table in tables for c in table.columns if "/" in str(c)})
    if key not in known:
        there = ", ".join(known) or "none: no job is done"
        raise UsageError(
            f"--metric {text}: neither side has it; there are: {there}.", code="unknown_name"
        )
    return key


def _difference_table(found: Comparison, metric: str) -> Table:
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
