"""The tables of the page: cells with text, sort key, bar and tip."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..tables.labels import number_text

if TYPE_CHECKING:
    from ..tables.verdict import Sentence

CONTROLS = "Controls: not competing, never ranked"
_DIGITS = {"rank": 0, "time (s)": 1, "peak memory (MiB)": 0, "mean rank": 2, "median time (s)": 1}


@dataclass
class Column:
    """Heading of a column; an ``extra`` column is hidden until the reader asks for it."""

    text: str
    number: bool = True
    extra: bool = False
    tip: str = ""
    group: str = ""
    """Heading above neighbouring columns; also the colour of their bars."""
    descending: bool = False
    """Whether the first click sorts the largest value first."""


@dataclass
class Cell:
    """Text of a cell and its sort key; cells without a key are sorted last."""

    text: str
    sort: str = ""
    tip: str = ""
    link: str = ""
    spread: str = ""
    """Interval behind the text, hidden until the reader asks for it."""
    bar: float | None = None
    """Length of the bar in percent."""


@dataclass
class PageTable:
    """A table of blocks of rows."""

    columns: list[Column]
    rows: list[list[Cell]] = field(default_factory=list)
    """The rows of the block without a heading."""
    blocks: dict[str, list[list[Cell]]] = field(default_factory=dict)
    """Further rows by heading, such as those of the controls."""
    answers: list[Sentence] = field(default_factory=list)
    """What the table shows."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    """Notes below the table → the methods, or on the page of a method the data, they are on."""

    def add(self, cells: list[Cell], heading: str = "") -> None:
        """Add a row to the block of a heading."""
        (self.blocks.setdefault(heading, []) if heading else self.rows).append(cells)

    @property
    def all_rows(self) -> list[list[Cell]]:
        """The rows of all blocks."""
        return [*self.rows, *(row for rows in self.blocks.values() for row in rows)]

    @property
    def groups(self) -> list[tuple[str, int, bool]]:
        """Headings above columns: text, number of columns, and whether they are extra."""
        found: list[tuple[str, int, bool]] = []
        for column in self.columns:
            if found and found[-1][::2] == (column.group, column.extra):
                found[-1] = column.group, found[-1][1] + 1, column.extra
            else:
                found.append((column.group, 1, column.extra))
        return found if any(name for name, _, _ in found) else []


@dataclass
class SelectableTable:
    """A table with selectors; ``tables`` by option numbers, ``0,2`` for example."""

    selectors: list[tuple[str, list[str]]]
    tables: dict[str, PageTable]


def text_cell(text: str, tip: str = "") -> Cell:
    """Return a cell that is sorted by its text."""
    return Cell(text, text, tip)


def value_cell(column: str, value: Any, tip: str = "") -> Cell:
    """Return the cell of a text or a number, with the digits of its column."""
    if isinstance(value, str):
        return text_cell(value, tip)
    number = math.nan if value is None or value != value else float(value)
    if math.isnan(number):
        return Cell("–", tip=tip)
    return Cell(number_text(number, _DIGITS.get(column, 3)), repr(number), tip)
