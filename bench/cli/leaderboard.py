"""The leaderboard in the terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from bench.contract import MULTIOME
from bench.reports.tables.labels import label
from bench.reports.tables.leaderboard import leaderboard

from .tables import format_table

_MODALITIES_WITH_PAIRS = (None, MULTIOME)
"""Modality of a row that has scores of paired data; not named if there is one only."""


def leaderboard_table(results: pd.DataFrame) -> Table:
    """Return the leaderboard by k-means ARI as a rich table that fits a narrow terminal.

    Paired data add the mean of two scores of unseen cells.
    """

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
                    name: number(means.get(row["method"]), 3)
                    if row.get("data") in _MODALITIES_WITH_PAIRS
                    else ""
                    for name, means in paired.items()
                },
                "uses": row["uses"],
                "mean rank": number(row["mean rank"], 1),
                "datasets": row["datasets"],
                "failed": row["failed jobs"] or "",
                "time (s)": number(row["median time (s)"], 1),
            }
        )
        if row["note"] and row["family"] != "control":
            notes.append(f"{row['method']}: {row['note']}")
    table = format_table(rows)
    # As text: brackets of names would be read as rich's own markup.
    table.caption, table.caption_justify = Text("\n".join(notes), style="table.caption"), "left"
    return table
