"""The leaderboard in the terminal."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.reports.tables.label_free import (
    digits,
    label_free_table,
    sentence,
    without_labels,
)
from bench.reports.tables.leaderboard import tidy
from bench.reports.tables.short_leaderboard import short_leaderboard

from .tables import format_table


def print_scores(results: pd.DataFrame, console: Console) -> None:
    """Print the leaderboard of the data with labels, and the scores of those without."""
    table = tidy(results)
    unlabelled = without_labels(table)
    if (table[~unlabelled]["status"] == "done").any():
        console.print(leaderboard_table(table[~unlabelled]))
    if text := sentence(table):
        console.print(Text(text))
        console.print(_label_free_table(table))


def _label_free_table(results: pd.DataFrame) -> Table:
    """Return the scores of data without labels as a rich table, the reasons of gaps below."""
    rows, notes = [], []
    for row in label_free_table(results).to_dict("records"):
        note = row.pop("note")
        notes += [f"{row['method']}: {note}"] * bool(note)
        rows.append({"method": row.pop("method")} | {str(name): row[name] for name in row})
        for name, value in rows[-1].items():
            if isinstance(value, float):
                rows[-1][name] = "–" if value != value else f"{value:,.{digits(name)}f}"
    if len({row["dataset"] for row in rows}) == 1:
        rows = [{name: value for name, value in row.items() if name != "dataset"} for row in rows]
    table = format_table(rows)
    table.caption, table.caption_justify = Text("\n".join(notes), style="table.caption"), "left"
    return table


def leaderboard_table(results: pd.DataFrame) -> Table:
    """Return the leaderboard by k-means ARI as a rich table that fits a narrow terminal."""
    rows, notes = short_leaderboard(results)
    table = format_table(rows)
    # As text: brackets of names would be read as rich's own markup.
    table.caption, table.caption_justify = Text("\n".join(notes), style="table.caption"), "left"
    return table
