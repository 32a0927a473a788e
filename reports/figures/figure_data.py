"""The numbers behind the figures, shared by the interactive and the static drawings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from ..tables.eligible import CONTROL, competing_by_dataset
from ..tables.labels import MAIN_METRIC
from ..tables.leaderboard import dataset_means, leaderboard
from ..tables.statistics import t_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .umaps import UmapPanel

COSTS = {
    "seconds": ("fitting time", "fitting time, median over seeds (s, log scale)", "s"),
    "peak_memory_mb": ("peak memory", "peak memory, median over seeds (MiB, log scale)", "MiB"),
}
"""Column → name, axis title, unit."""


def method_order(table: pd.DataFrame, metric: str = MAIN_METRIC) -> list[str]:
    """Return the methods by rank, controls last."""
    board = leaderboard(table, metric)
    # With several modalities the controls of the first stand before the methods of the second.
    board = board.sort_values("family", key=lambda family: family == CONTROL, kind="stable")
    return [str(name) for name in board["method"].drop_duplicates()]


def control_names(table: pd.DataFrame) -> set[str]:
    """Return the names of the controls."""
    return set(table.loc[table["family"] == CONTROL, "method"])


@dataclass(frozen=True)
class ScoreMatrix:
    """Means over seeds, methods × datasets, with the ends of their colour scale."""

    means: pd.DataFrame
    low: float
    high: float


def score_matrix(table: pd.DataFrame, metric: str, order: list[str]) -> ScoreMatrix:
    """Return the mean scores; the methods, without the controls, set the colour scale."""
    means = dataset_means(table, metric).reindex(index=order).astype(float)
    methods = means[~means.index.isin(control_names(table))].to_numpy()
    values = methods if np.isfinite(methods).any() else means.to_numpy()
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    # A scale from a value to the same value has no colours.
    return (
        ScoreMatrix(means, low, high) if low < high else ScoreMatrix(means, low - 0.5, low + 0.5)
    )


def seed_scores(table: pd.DataFrame, metric: str = MAIN_METRIC) -> dict[str, pd.DataFrame]:
    """Return the jobs with a score by dataset."""
    valued = table[table[metric].notna()]
    return {str(name): rows for name, rows in valued.groupby("dataset", sort=False)}


def cost_points(rows: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    """Return one row a method: family, mean score, half width over seeds, median cost."""
    done = rows[rows[metric].notna() & (rows["status"] == "done") & (rows[cost] > 0)]
    points = []
    for method, part in done.groupby("method"):
        interval = t_interval(part[metric])
        points.append({
            "method": str(method), "family": part["family"].iloc[0], "mean": interval.mean,
            "half": interval.half_width, "cost": float(part[cost].median()),
            "told": part["told"].iloc[0],
        })  # fmt: skip
    return pd.DataFrame(points, columns=["method", "family", "mean", "half", "cost", "told"])


def cost_points_by_dataset(table: pd.DataFrame, metric: str, cost: str) -> dict[str, pd.DataFrame]:
    """Return the points of the competing methods for each dataset with a cost."""
    groups = competing_by_dataset(table).groupby("dataset", sort=False)
    points = {str(name): cost_points(rows, metric, cost) for name, rows in groups}
    return {name: part for name, part in points.items() if len(part)}


def pareto_front(points: pd.DataFrame, *, higher: bool = True) -> pd.DataFrame:
    """Return the points that no other point beats in both cost and mean, cheapest first."""
    sign = 1 if higher else -1
    ordered = points.assign(_gain=sign * points["mean"])
    ordered = ordered.sort_values(["cost", "_gain"], ascending=[True, False], kind="stable")
    best_before = ordered["_gain"].cummax().shift(fill_value=-math.inf)
    return ordered[ordered["_gain"] > best_before].drop(columns="_gain")


def least_told(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points of methods that were told the least about the types."""
    return points[points["told"] == points["told"].min()]


def cluster_counts(panel: UmapPanel) -> dict[str, pd.DataFrame]:
    """Return types × clusters of each clustering of a job; empty without true types."""
    cells = pd.read_parquet(Path(panel.source) / "clusters.parquet")
    if "type" not in cells:
        return {}
    names = cells.columns.difference(["type", "batch"], sort=False)
    return {str(name): type_by_cluster(cells["type"], cells[name]) for name in names}


def type_by_cluster(types: pd.Series, clusters: pd.Series) -> pd.DataFrame:
    """Return numbers of cells, types × clusters, with the best one-to-one match on the diagonal.

    Types run from the most to the fewest cells; clusters without a matching type come last.
    """
    row, names = pd.factorize(types.astype(str).to_numpy(), sort=True)
    column, numbers = pd.factorize(clusters.astype(str).to_numpy(), sort=True)
    table = np.zeros((len(names), len(numbers)), int)
    np.add.at(table, (row, column), 1)
    counts = pd.DataFrame(table, names, numbers)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    rows, columns = linear_sum_assignment(counts.to_numpy(), maximize=True)
    matched = [columns[i] for i in rows.argsort(kind="stable")]
    rest = sorted(set(range(counts.shape[1])) - set(matched))
    return counts.iloc[:, [*matched, *rest]]


def type_shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the percentage of each type's cells in each cluster."""
    return counts.div(counts.sum(axis=1), axis=0) * 100


def method_panels(table: pd.DataFrame, panels: Sequence[UmapPanel]) -> list[UmapPanel]:
    """Return the panels whose files exist, without those of controls."""
    controls = control_names(table)
    return [panel for panel in panels if not panel.missing and panel.method not in controls]


def curves_by_job(
    table: pd.DataFrame, curves: pd.DataFrame | None
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return the training curves of the jobs of a table by dataset and method.

    ``curves`` has one row a step, and may hold other jobs.
    """
    if curves is None or curves.empty:
        return {}
    jobs = table.set_index("run_id")[["dataset", "method"]]
    return {
        (str(jobs.at[run, "dataset"]), str(jobs.at[run, "method"])): rows
        for run, rows in curves[curves["run_id"].isin(jobs.index)].groupby("run_id", sort=False)
    }
