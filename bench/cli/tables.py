"""Tables and cards of methods and datasets; nothing heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME, Method
from bench.registry import datasets, methods

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from bench.settings import Settings

Row = dict[str, Any]
_BOTH = (None, MULTIOME)
"""Modality of a row that has scores of paired data; not named if there is one only."""
_SUMMARY_WIDTH = 110
"""Narrower terminals show no summaries."""


def method_table(plugins: tuple[str, ...] = ()) -> list[Row]:
    """Return one row a method."""
    rows = []
    for entry in methods(plugins):
        cls = entry.cls
        if cls is None or entry.unavailable:
            rows.append({"method": entry.name, "summary": f"unavailable: {entry.unavailable}"})
            continue
        rows.append(
            {
                "method": entry.name,
                "family": cls.family,
                "data": ", ".join(sorted(cls.modalities)),
                "cost": cls.cost,
                "uses": ", ".join(sorted(_uses(cls))),
                "summary": cls.summary,
            }
        )
    return rows


def _uses(cls: type[Method]) -> frozenset[str]:
    """Return what a method uses beyond counts with its default parameters."""
    if cls.uses is Method.uses:
        return frozenset()  # without its parameters, whose model costs time to build
    return cls(cls.Params()).uses()


def method_card(name: str, plugins: tuple[str, ...] = ()) -> Row:
    """Return all facts about one method."""
    from bench.data.card import plain_docstring, preset_rows

    entry = methods(plugins).entry(name)
    cls = methods(plugins).get(name)
    return {
        "method": name,
        "summary": cls.summary,
        "description": plain_docstring(cls.__doc__),
        "family": cls.family,
        "data": ", ".join(sorted(cls.modalities)),
        "uses": ", ".join(sorted(_uses(cls))) or "counts only",
        "cost": cls.cost,
        "device": "cpu or cuda" if cls.gpu else "cpu",
        "version": cls.version,
        "reference": cls.reference,
        "origin": entry.origin,
        "parameters": cls.Params.describe(),
        "presets": preset_rows(cls.Params.presets),
    }


def dataset_table(settings: Settings) -> list[Row]:
    """Return one row a dataset, with where its data are."""
    from bench.data.manage import dataset_location
    from bench.data.user_datasets import user_datasets
    from bench.messages import format_size

    registered, own = datasets(settings.plugins).entries, user_datasets(settings.cache_dir)
    rows: list[Row] = []
    for name in sorted({*registered, *own}):
        entry = registered.get(name)
        if entry is not None and (entry.cls is None or entry.unavailable):
            rows.append({"dataset": name, "summary": f"unavailable: {entry.unavailable}"})
            continue
        card = entry.cls.card if entry is not None and entry.cls else own[name].card
        at = dataset_location(name, settings)
        size = (
            f" ({format_size(at['bytes'])})" if at["state"] == "to fetch" and at["bytes"] else ""
        )
        rows.append(
            {
                "dataset": name,
                "data": card.modality,
                "cells": card.n_cells or "",
                "features": card.n_features or "",
                "types": card.n_types or "",
                "state": at["state"] + size,
                "summary": card.summary,
            }
        )
    return rows


def show(content: list[Row] | Row, console: Console) -> None:
    """Print rows as a table, or a card as lines with tables below."""
    if isinstance(content, list):
        wide = console.width >= _SUMMARY_WIDTH
        rows = content if wide else [_without(row, "summary") for row in content]
        console.print(_table(rows))
        if not wide and any("summary" in row for row in content):
            name = next(iter(content[0]))
            console.print(f"What each is: a wider terminal, or bench {name}s NAME", style="dim")
        return
    tables = {key: rows for key, rows in content.items() if _is_table(rows)}
    console.print(_lines({key: v for key, v in content.items() if key not in tables}))
    for key, rows in tables.items():
        if not rows:
            continue
        console.print(f"\n{_words(key)}", style="bold", highlight=False)
        # Addresses and checksums are too long for columns.
        for part in map(_lines, rows) if key == "files" else [_table(rows)]:
            console.print(part)


def _without(row: Row, key: str) -> Row:
    return {name: value for name, value in row.items() if name != key}


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _lines(facts: Row) -> Table:
    """Return names and values side by side; long texts wrap beside their name."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for key, value in facts.items():
        texts = value if isinstance(value, list) else [value]
        shown = "\n".join(_shown(one) for one in texts)
        grid.add_row(Text(_words(key), style="bold"), Text(shown))
    return grid


def leaderboard_table(results: pd.DataFrame) -> Table:
    """Return the leaderboard by k-means ARI as a rich table that fits a narrow terminal.

    Paired data add the mean of two scores of unseen cells.
    """
    from rich.text import Text

    from bench.reports.tables.labels import label
    from bench.reports.tables.leaderboard import leaderboard

    def number(value: Any, digits: int) -> str:
        return f"{value:z.{digits}f}" if value == value and value is not None else "–"

    paired = {}
    for key in ("paired/match_auroc", "paired/translation_auroc_genes"):
        if key in results and results[key].notna().any():
            board = leaderboard(results[results[key].notna()], key)
            paired[label(key)] = dict(zip(board["method"], board[label(key)], strict=True))
    rows, notes = [], []
    for row in leaderboard(results).astype(object).to_dict("records"):
        mean, spread = row["ARI (k-means)"], row["± 95 %"]
        ranked = row["rank"] == row["rank"] and row["rank"] is not None
        rows.append(
            {
                "rank": str(row["rank"]) if ranked else "–",
                "method": row["method"],
                **({"data": row["data"]} if "data" in row else {}),
                "ARI ± 95 %": number(mean, 3) + (f" ± {spread:.3f}" if spread == spread else ""),
                **{
                    name: number(means.get(row["method"]), 3) if row.get("data") in _BOTH else ""
                    for name, means in paired.items()
                },
                "mean rank": number(row["mean rank"], 1),
                "datasets": row["datasets"],
                "failed": row["failed jobs"] or "",
                "time (s)": number(row["median time (s)"], 1),
            }
        )
        if row["note"] and row["family"] != "control":
            notes.append(f"{row['method']}: {row['note']}")
    table = _table(rows)
    # As text: brackets of names would be read as rich's own markup.
    table.caption, table.caption_justify = Text("\n".join(notes), style="table.caption"), "left"
    return table


def _table(rows: list[Row]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = [key for key in keys if any(row.get(key, "") != "" for row in rows)]
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(*(Text(str(row.get(column, ""))) for column in columns))
    return table
