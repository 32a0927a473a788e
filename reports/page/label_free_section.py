"""The scores of data without labels on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..tables.label_free import TEXTS, digits, label_free_table, meanings
from ..tables.labels import number_text
from .page_table import Cell, Column, PageTable, text_cell

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LabelFreeSection:
    """A table that ranks nothing, and what each column can tell."""

    table: PageTable
    meanings: list[tuple[str, str]]


def label_free_section(results: pd.DataFrame) -> LabelFreeSection:
    """Return the scores of all data without labels."""
    found = label_free_table(results)
    texts = dict(meanings(found))
    columns = [
        Column(name, number=name not in TEXTS, tip=texts.get(name, "")) for name in found.columns
    ]
    table = PageTable(columns)
    for row in found.to_dict("records"):
        table.rows.append([_cell(str(name), value) for name, value in row.items()])
    return LabelFreeSection(table, list(texts.items()))


def _cell(heading: str, value: str | float) -> Cell:
    if isinstance(value, str):
        return text_cell(value)
    return Cell("–") if value != value else Cell(number_text(value, digits(heading)), repr(value))
