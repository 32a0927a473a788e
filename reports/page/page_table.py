"""The tables of the page: cells with text, sort key and tooltip."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from ..figures.drawing import script_text
from ..tables.labels import number_text

_DIGITS = {
    "rank": 0, "failed jobs": 0, "median time (s)": 1, "peak memory (MiB)": 0, "mean rank": 2,
}  # fmt: skip


@dataclass
class Column:
    """Heading of a column; an ``extra`` column is hidden until the reader asks for it."""

    text: str
    number: bool = True
    extra: bool = False
    tip: str = ""


@dataclass
class Cell:
    """Text of a cell and its sort key; cells without a key are sorted last."""

    text: str
    sort: str = ""
    tip: str = ""
    link: str = ""


@dataclass
class PageTable:
    """A table whose controls stand in a block of their own."""

    columns: list[Column]
    rows: list[list[Cell]] = field(default_factory=list)
    controls: list[list[Cell]] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)


@dataclass
class SelectableTable:
    """A table with selectors; ``tables`` by option numbers, ``0,2`` for example."""

    selectors: list[tuple[str, list[str]]]
    tables: dict[str, PageTable]

    @property
    def first(self) -> PageTable:
        """The table that is shown first."""
        return next(iter(self.tables.values()))

    @property
    def content(self) -> str:
        """All tables as JSON for a script element."""
        tables = {
            key: {
                "columns": [{"text": c.text, "number": c.number} for c in table.columns],
                "rows": [[_cell_values(cell) for cell in row] for row in table.rows],
                "controls": [[_cell_values(cell) for cell in row] for row in table.controls],
            }
            for key, table in self.tables.items()
        }
        return script_text(json.dumps(tables, separators=(",", ":")))


def _cell_values(cell: Cell) -> list[str]:
    """Return text, sort key, tip and link without the empty ones at the end."""
    values = [cell.text, cell.sort, cell.tip, cell.link]
    while values and not values[-1]:
        values.pop()
    return values


def text_cell(text: str, tip: str = "") -> Cell:
    """Return a cell that is sorted by its text."""
    return Cell(text, text, tip)


def value_cell(column: str, value: Any) -> Cell:
    """Return the cell of a text or a number, with the digits of its column."""
    if isinstance(value, str):
        return text_cell(value)
    number = math.nan if value is None or value != value else float(value)
    if math.isnan(number):
        return Cell("–")
    return Cell(number_text(number, _DIGITS.get(column, 3)), repr(number))
