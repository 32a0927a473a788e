"""Every two methods compared: over seeds on one dataset, and over all datasets."""

from __future__ import annotations

import math
from itertools import combinations

import pandas as pd

from ..tables.claims import Standing, over_datasets, within_datasets
from ..tables.labels import MAIN, higher_is_better, label
from ..tables.leaderboard import complete_block, tidy
from .score_grid import Cell, Choice, Column, Grid

ALL = "all datasets"
_COLUMNS = ("on", "method", "against", "difference", "low", "high", "reliable", "why")


def pairs(results: pd.DataFrame, metric: str = MAIN) -> pd.DataFrame:
    """Return one row for each two competing methods, on each dataset and on all of a modality.

    ``difference`` is the mean of method − against, the better one first. ``low`` and ``high`` end
    an interval that holds for all pairs of the report at once
    (:mod:`bench.reports.tables.claims`); ``reliable`` says that it leaves zero out. Where nothing
    can be claimed the ends are NaN and ``why`` says the reason.
    """
    table = tidy(results)
    if metric not in table or higher_is_better(metric, table) is None:
        return pd.DataFrame(columns=list(_COLUMNS))
    rows = [
        row
        for dataset, standing in within_datasets(table, metric).items()
        for row in _rows(dataset, standing, "one seed")
    ]
    modalities = [name for name in table["modality"].unique() if name] or [""]
    for modality in modalities:
        own = table[table["modality"] == modality] if modality else table
        block = complete_block(own, metric)
        if block.shape[1] > 1:
            standing = over_datasets(own, block, metric, n_modalities=len(modalities))
            name = f"{ALL} ({modality})" if len(modalities) > 1 else ALL
            rows += _rows(name, standing, f"{block.shape[1]} datasets are too few")
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _rows(on: str, standing: Standing, nothing: str) -> list[dict[str, object]]:
    """Return the rows of one standing; ``nothing`` is the reason where no claim is possible."""
    rows: list[dict[str, object]] = []
    for first, second in combinations(standing.order, 2):
        delta, half, why = standing.means[first] - standing.means[second], math.nan, nothing
        failed = [name for name in (first, second) if name in standing.failed]
        compared = standing.comparisons
        if failed:
            why = f"failed seeds: {', '.join(failed)}"
        elif compared is not None:
            half = compared.interval(first, second)[1]
            why = nothing if math.isnan(half) else ""
        rows.append({
            "on": on, "method": first, "against": second, "difference": delta,
            "low": delta - half, "high": delta + half,
            "reliable": standing.beats(first, second) or standing.beats(second, first), "why": why,
        })  # fmt: skip
    return rows


def choice(results: pd.DataFrame, metric: str = MAIN) -> Choice | None:
    """Return the pairs by dataset, those over all datasets first; ``None`` if there are none."""
    found = pairs(results, metric)
    names = sorted(found["on"].unique(), key=lambda name: not name.startswith(ALL))
    if not names:
        return None
    grids = {str(i): _grid(found[found["on"] == name], metric) for i, name in enumerate(names)}
    return Choice([("on", names)], grids)


def _grid(rows: pd.DataFrame, metric: str) -> Grid:
    grid = Grid([
        Column("method", number=False),
        Column("against", number=False),
        Column(f"difference of {label(metric)}", tip="mean of method − against"),
        Column("interval", number=False, tip="holds for all pairs of the report at once"),
        Column("reliable", number=False, tip="the interval leaves zero out"),
    ])  # fmt: skip
    for row in rows.to_dict("records"):
        low, high, delta, why = row["low"], row["high"], row["difference"], row["why"]
        known = low == low
        interval = f"{low:+.3f} to {high:+.3f}" if known else "–"
        reliable = "–" if not known else "yes" if row["reliable"] else "no"
        grid.rows.append([
            Cell(row["method"], row["method"]),
            Cell(row["against"], row["against"]),
            Cell(f"{delta:+.3f}", repr(float(delta))),
            Cell(interval, repr(low) if known else "", why),
            Cell(reliable, reliable, why),
        ])  # fmt: skip
    return grid
