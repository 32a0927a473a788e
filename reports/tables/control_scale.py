"""Scores between the controls: ``random`` is 0, ``truth`` is 1."""

from __future__ import annotations

import math

import pandas as pd

from bench.scoring.aggregates import CORRECTION, PREFIX

from .labels import SCALED, higher_is_better, metric_columns
from .leaderboard import tidy

_MIXING = (*CORRECTION, f"{PREFIX}/batch_correction")
_LEAST_SPAN = 1e-9
"""Controls closer than this define no scale."""


def scale_between_controls(results: pd.DataFrame) -> pd.DataFrame:
    """Return the table with each metric scaled on its dataset: ``random`` is 0, ``truth`` is 1.

    The ends are the controls' means over seeds, so more is better for every scaled metric.
    Controls scored on the same cells (holdout or all) have priority. A scaled value is NaN if a
    control has no value, both controls are equal, or the metric has no direction. Scores of how
    well batches are mixed have no such scale: ``random`` mixes them as well as can be.
    """
    table = tidy(results).copy()
    for key in metric_columns(table):
        low, high = (_control_means(table, control, key) for control in ("random", "truth"))
        span = (high - low).where((high - low).abs() > _LEAST_SPAN)
        has_scale = higher_is_better(key, table) is not None and key not in _MIXING
        table[key] = (table[key] - low) / span if has_scale else math.nan
    table.attrs[SCALED] = True
    return table


def _control_means(table: pd.DataFrame, control: str, key: str) -> pd.Series:
    """Return the mean of a control for each row, of its dataset and if possible its cells."""
    held_out = (table["protocol"] == "holdout").rename("held_out")
    rows = table[table["method_name"] == control]
    by_cells = rows.groupby(["dataset", held_out])[key].mean().to_dict()
    places = zip(table["dataset"], held_out, strict=True)
    own = pd.Series([by_cells.get(place, math.nan) for place in places], table.index, dtype=float)
    return own.fillna(table["dataset"].map(rows.groupby("dataset")[key].mean()))
