"""Tables and cards in the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import make_console, print_json

Row = dict[str, Any]
_SUMMARY = "summary"
_SUMMARY_WIDTH = 34
"""Least width of summaries: a narrow terminal shows fewer of the other columns."""
_GAP = 2


def show(content: list[Row] | Row, console: Console) -> None:
    """Print rows as a table, or a card as lines with tables below."""
    if isinstance(content, list):
        hidden = _hidden_columns(content, console.width)
        shown = [{k: v for k, v in row.items() if k not in hidden} for row in content]
        console.print(format_table(shown))
        if hidden:
            name = next(iter(content[0]))
            console.print(
                f"{', '.join(hidden)}: in a wider terminal, or bench {name}s NAME", style="dim"
            )
        return
    tables = {key: rows for key, rows in content.items() if _isformat_table(rows)}
    console.print(_lines({key: v for key, v in content.items() if key not in tables}))
    for key, rows in tables.items():
        if not rows:
            continue
        console.print(f"\n{_words(key)}", style="bold", highlight=False)
        # Addresses and checksums are too long for columns.
        for part in map(_lines, rows) if key == "files" else [format_table(rows)]:
            console.print(part)


def _hidden_columns(rows: list[Row], width: int) -> list[str]:
    """Return the columns that make room for the summaries, the widest ones first."""
    if not any(_SUMMARY in row for row in rows):
        return []
    keys = dict.fromkeys(key for row in rows for key in row)
    widths = {key: max(len(str(row.get(key, ""))) for row in rows) for key in keys}
    first, *others = [key for key in keys if widths[key] and key != _SUMMARY]
    widths = {key: max(len(key), widths[key]) + _GAP for key in (first, *others)}
    widest, hidden = sorted(others, key=lambda key: -widths[key]), []
    while widest and width - sum(widths.values()) < _SUMMARY_WIDTH:
        hidden.append(widest.pop(0))
        del widths[hidden[-1]]
    return [key for key in others if key in hidden]


def _isformat_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _lines(facts: Row) -> Table:
    """Return names and values side by side; long texts wrap beside their name."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for key, value in facts.items():
        texts = value if isinstance(value, list) else [value]
        lines = "\n".join(_format_value(text) for text in texts)
        grid.add_row(Text(_words(key), style="bold"), Text(lines))
    return grid


def format_table(rows: list[Row]) -> Table:
    """Return rows as a table without its empty columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = [key for key in keys if any(row.get(key, "") != "" for row in rows)]
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(*(Text(str(row.get(column, ""))) for column in columns))
    return table


def print_content(content: list[Row] | Row, *, as_json: bool) -> None:
    """Print rows or a card as JSON or for a reader."""
    if as_json:
        print_json(content)
    else:
        show(content, make_console())
