"""The leaderboard that fits a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME

from .labels import label
from .leaderboard import leaderboard

if TYPE_CHECKING:
    import pandas as pd

_MODALITIES_WITH_PAIRS = (None, MULTIOME)
"""Modality of a row that has scores of paired data; not named if there is one only."""


def short_leaderboard(results: pd.DataFrame) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of the leaderboard by k-means ARI as texts, and notes on methods.

    Paired data add the mean of two scores of unseen cells.
    """
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
                "ARI ± 95 %": _number(mean, 3) + (f" ± {spread:.3f}" if spread == spread else ""),
                **{
                    name: _number(means.get(row["method"]), 3)
                    if row.get("data") in _MODALITIES_WITH_PAIRS
                    else ""
                    for name, means in paired.items()
                },
                "uses": row["uses"],
                "mean rank": _number(row["mean rank"], 1),
                "datasets": row["datasets"],
                "failed": row["failed jobs"] or "",
                "time (s)": _number(row["median time (s)"], 1),
            }
        )
        if row["note"] and row["family"] != "control":
            notes.append(f"{row['method']}: {row['note']}")
    return rows, notes


def _number(value: Any, digits: int) -> str:
    return f"{value:z.{digits}f}" if value == value and value is not None else "–"
