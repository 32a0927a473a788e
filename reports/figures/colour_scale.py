"""Scores between the controls: ``random`` is 0, ``truth`` is 1."""

from __future__ import annotations

import math

import pandas as pd

from ..tables.labels import SCALED, higher_is_better, metric_columns
from ..tables.leaderboard import tidy

_SAME = 1e-9
"""Controls closer than this frame no scale."""


def between_controls(results: pd.DataFrame) -> pd.DataFrame:
    """Return the table with each metric scaled on its dataset: ``random`` is 0, ``truth`` is 1.

    The controls' means over seeds are the ends of the scale, so that more is better in all of it.
    Where there are controls of the same cells (holdout or all) only they count. A metric is
    missing where a control has no value, where both are equal, or where it has no better or worse.
    """
    table = tidy(results).copy()
    for key in metric_columns(table):
        low, high = (_end(table, control, key) for control in ("random", "truth"))
        span = (high - low).where((high - low).abs() > _SAME)
        better = higher_is_better(key, table) is not None
        table[key] = (table[key] - low) / span if better else math.nan
    table.attrs[SCALED] = True
    return table


def _end(table: pd.DataFrame, control: str, key: str) -> pd.Series:
    """Return the mean of a control for each row: of the same dataset and, if it can be, cells."""
    held = (table["protocol"] == "holdout").rename("held")
    rows = table[table["method_name"] == control]
    of_cells = rows.groupby(["dataset", held])[key].mean().to_dict()
    places = zip(table["dataset"], held, strict=True)
    own = pd.Series([of_cells.get(place, math.nan) for place in places], table.index, dtype=float)
    return own.fillna(table["dataset"].map(rows.groupby("dataset")[key].mean()))
