"""The comparison of two experiments: files and table in the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import typer
from rich import box
from rich.table import Table

import bench
from bench.errors import DataError, UsageError
from bench.provenance import command_line
from bench.reports.page.compare_page import comparison_json, write_comparison
from bench.reports.tables.compare import (
    Comparison,
    change_sentences,
    compare_results,
    comparison_warnings,
    interval_ends,
    signed_number,
)
from bench.reports.tables.labels import label
from bench.settings import Settings
from bench.store.result_store import ResultStore
from bench.store.results_table import selected_results

from .output import make_console, print_json


def compare_stores(
    names: tuple[str, str],
    sides: tuple[Settings, Settings],
    *,
    metric: str,
    methods: str | None,
    datasets: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the page that compares two experiments and print their differences."""
    first, second = (_read_results(side, methods, datasets) for side in sides)
    key = _metric_key(metric, [first, second])
    comparison = compare_results(first, second, names)
    folder = out or sides[1].results / "reports" / "compare"
    provenance = {"aebench": bench.__version__} | {
        f"{name}, store": f"{side.public_name}, experiment {side.experiment}"
        for name, side in zip("AB", sides, strict=True)
    }
    try:
        page = write_comparison(
            comparison, folder, metric=key, command=command_line(), provenance=provenance
        )
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written: {error.strerror}.", code="not_writable"
        ) from None
    if as_json:
        print_json(comparison_json(comparison, page))
        return
    if comparison.differences_in(key):
        make_console().print(_difference_table(comparison, key))
    summary = change_sentences(comparison, key)[0]
    for line in [*comparison_warnings(comparison), summary, f"page: {page}"]:
        typer.echo(line)


def _read_results(settings: Settings, methods: str | None, datasets: str | None) -> pd.DataFrame:
    store = ResultStore(settings)
    store.require_experiment()
    return selected_results(store, methods, datasets)


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


def _difference_table(comparison: Comparison, metric: str) -> Table:
    """Return the differences in one metric as a table for the terminal."""
    table = Table(box=box.SIMPLE, title=f"{label(metric)}: B − A", title_justify="left")
    for name in ("method", "dataset"):
        table.add_column(name, overflow="fold")
    for name in ("pairs", "A", "B", "B − A", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for difference in comparison.differences_in(metric):
        table.add_row(
            difference.method, difference.dataset, str(difference.n),
            f"{difference.a:.3f}", f"{difference.b:.3f}",
            signed_number(difference.difference), interval_ends(difference), difference.verdict,
        )  # fmt: skip
    return table
