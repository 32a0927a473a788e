"""Scores against fitting time and peak memory, with the Pareto front."""

from __future__ import annotations

import math
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from ..tables.eligible import competing_by_dataset
from ..tables.labels import MAIN_METRIC, higher_is_better, label
from .drawing import N_STYLES, Axis, Drawing, legend, line, mark, plot
from .figure_data import COSTS, cost_points_by_dataset, least_told, pareto_front

if TYPE_CHECKING:
    import pandas as pd


def cost_drawings(table: pd.DataFrame, metric: str = MAIN_METRIC) -> list[Drawing]:
    """Return one drawing to choose dataset and cost; empty if no cost was measured."""
    families = sorted(set(competing_by_dataset(table)["family"]) - {""})
    higher = higher_is_better(metric, table) is not False
    points = {cost: cost_points_by_dataset(table, metric, cost) for cost in COSTS}
    datasets = list(dict.fromkeys(name for by_dataset in points.values() for name in by_dataset))
    figures = {
        (datasets.index(dataset), number): _figure(own, cost, metric, families, higher=higher)
        for number, cost in enumerate(COSTS)
        for dataset, own in points[cost].items()
    }
    if not figures:
        return []
    return [Drawing(
        "quality", "Quality against cost", f"{label(metric)} against time or memory of a fit.",
        {f"{i},{j}": figures[i, j] for i, j in sorted(figures)},
        [("dataset", datasets), ("cost", [name for name, _, _ in COSTS.values()])],
        note="The dashed line is the Pareto front: by their means, no method is both cheaper and "
        "better than one on it. It joins methods that were told nothing about the types. Controls "
        "are not shown, since they learn nothing. Where marks crowd, some names are hidden; point "
        "at a mark for its name and numbers.",
    )]  # fmt: skip


def _figure(
    points: pd.DataFrame, cost: str, metric: str, families: list[str], *, higher: bool
) -> str:
    """Return one named mark a method with its interval, and the front."""
    _, title, unit = COSTS[cost]
    halves = points["half"].fillna(0)
    x = Axis.around(points["cost"], title, log=True, room=0.12)
    y = Axis.around(
        [*(points["mean"] - halves), *(points["mean"] + halves)],
        f"{label(metric)}, mean and 95 % interval",
    )
    front = pareto_front(least_told(points), higher=higher)
    corners = [
        (x.place(cost), 100 - y.place(mean))
        for cost, mean in zip(front["cost"], front["mean"], strict=True)
    ]
    marks = [
        line(a, b, c, b, "front") + line(c, b, c, d, "front")
        for (a, b), (c, d) in pairwise(corners)
    ]
    for point in points.to_dict("records"):
        name, mean, half = point["method"], point["mean"], point["half"]
        at, height = x.place(point["cost"]), 100 - y.place(mean)
        style = families.index(point["family"]) % N_STYLES if point["family"] in families else 0
        spread = "one seed" if math.isnan(half) else f"± {half:.3f}"
        text = f"{name}: {point['cost']:.3g} {unit}, {label(metric)} {mean:.3f}, {spread}"
        if not math.isnan(half):
            low, high = (100 - y.place(mean + sign * half) for sign in (-1, 1))
            marks.append(line(at, low, at, high, "interval"))
        marks.append(mark(at, height, text, style))
        marks.append(f'<text x="{at}%" y="{height}%">{escape(name)}</text>')
    alt = f"{label(metric)} of {len(points)} methods against {title}"
    return legend(list(enumerate(families))) + plot(x, y, marks, alt, height=400)
