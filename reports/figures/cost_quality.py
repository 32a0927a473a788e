"""Scores against fitting time and peak memory, with the Pareto front."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from ..tables.eligible import competing_by_dataset
from ..tables.labels import higher_is_better, label
from .drawing import LEGEND, Drawing, axis_label, escape_tags, make_drawing, set_layout
from .figure_data import COSTS, cost_points_by_dataset, least_told, pareto_front

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

# Okabe and Ito's colours without yellow and black, which vanish on white or on black.
FAMILY_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
GREY = "#8a8a8a"
_LETTER, _LINE = 6.5, 15.0
"""Width of a letter and height of a line in pixels."""
_WIDTH, _HEIGHT = 900.0, 380.0
_MOST_OVERLAP = 0.15
"""Share of a label that others may cover."""


def cost_drawings(table: pd.DataFrame, metric: str) -> list[Drawing]:
    """Return one drawing to choose dataset and cost; empty if no cost was measured."""
    rows = competing_by_dataset(table)
    families = sorted(set(rows["family"]) - {""})
    higher = higher_is_better(metric, table) is not False
    points = {cost: cost_points_by_dataset(table, metric, cost) for cost in COSTS}
    datasets = list(
        dict.fromkeys(dataset for by_dataset in points.values() for dataset in by_dataset)
    )
    figures = {}
    for j, (cost, (_, title, unit)) in enumerate(COSTS.items()):
        x_range = _log_range(rows, metric, cost)
        for dataset, own in points[cost].items():
            figure = _figure(own, pareto_front(least_told(own), higher=higher), families, x_range)
            _label_axes(figure, title, label(metric), unit)
            figures[datasets.index(dataset), j] = figure
    if not figures:
        return []
    return [make_drawing(
        "quality", "Quality against cost",
        f"Scatter plot of {label(metric)} against fitting time in seconds or peak memory in MiB, "
        "one labelled point a method, with the Pareto front.",
        {f"{i},{j}": figures[i, j] for i, j in sorted(figures)},
        [("dataset", datasets), ("cost", [name for name, _, _ in COSTS.values()])],
        note="The dashed line is the Pareto front: by their means, no method is both cheaper and "
        "better than one on it. It joins methods that were told nothing about the types. Controls "
        "are not shown, since they learn nothing. Point at a mark for its numbers. Where marks "
        "crowd, some names are hidden.",
    )]  # fmt: skip


def _figure(
    points: pd.DataFrame, front: pd.DataFrame, families: list[str], x_range: list[float]
) -> Figure:
    """Return the points, one trace a family, and their Pareto front."""
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=front["cost"].tolist(), y=front["mean"].tolist(), mode="lines", hoverinfo="skip",
            name="Pareto front", line={"dash": "dash", "width": 1.5, "color": GREY, "shape": "hv"},
        )
    )  # fmt: skip
    labels, sides = _place_labels(points, x_range)
    labelled = points.assign(label=labels, side=sides)
    for family, part in labelled.groupby("family", sort=True):
        texts = [
            [escape_tags(name), _half_width_text(half)]
            for name, half in zip(part["method"], part["half"], strict=True)
        ]
        figure.add_trace(
            go.Scatter(
                x=part["cost"].tolist(), y=part["mean"].tolist(), text=part["label"].tolist(),
                textposition=part["side"].tolist(), mode="markers+text", cliponaxis=False,
                name=escape_tags(str(family)) or "other", customdata=texts,
                error_y={
                    "array": part["half"].fillna(0).tolist(), "thickness": 1,
                    "color": "rgba(128,128,128,0.5)",
                },
                marker=_marker(families.index(str(family)) if family else -1),
            )
        )  # fmt: skip
    set_layout(figure, 500)
    narrow = x_range[1] - x_range[0] < 2
    figure.update_xaxes(type="log", range=x_range, dtick="D2" if narrow else 1)
    figure.update_layout(legend=LEGEND)
    return figure


def _label_axes(figure: Figure, cost_title: str, score: str, unit: str) -> None:
    figure.update_traces(
        hovertemplate=f"%{{customdata[0]}}<br>%{{x:.3g}} {unit}<br>"
        f"{score} %{{y:.3f}}%{{customdata[1]}}<extra></extra>",
        selector={"mode": "markers+text"},
    )
    figure.update_xaxes(title=cost_title, automargin=True)
    figure.update_yaxes(title=f"{score}, mean ± 95 % interval", automargin=True)


def _half_width_text(half: float) -> str:
    return " (one seed)" if math.isnan(half) else f" ± {half:.3f}"


def _log_range(table: pd.DataFrame, metric: str, cost: str) -> list[float]:
    """Return the range of the cost axis, with room for the labels of the outermost points."""
    values = table.loc[table[metric].notna(), cost]
    values = values[values > 0]
    if values.empty:
        return [-1.0, 1.0]
    low, high = math.log10(values.min()), math.log10(values.max())
    room = 0.15 + 0.12 * (high - low)
    return [low - room, high + room]


def _marker(number: int) -> dict[str, Any]:
    colour = FAMILY_COLOURS[number % len(FAMILY_COLOURS)] if number >= 0 else GREY
    symbol = MARKERS[number % len(MARKERS)] if number >= 0 else "x"
    return {"size": 10, "color": colour, "symbol": symbol}


def _place_labels(points: pd.DataFrame, x_range: list[float]) -> tuple[list[str], list[str]]:
    """Return the label of each point and its side of the mark.

    Greedy: the side of six with the least overlap, in pixels of a page of usual width. A label
    that others would still cover is empty.
    """
    low = float((points["mean"] - points["half"].fillna(0)).min())
    high = float((points["mean"] + points["half"].fillna(0)).max())
    left, right = x_range
    x = [(math.log10(cost) - left) / (right - left) * _WIDTH for cost in points["cost"]]
    y = [(mean - low) / ((high - low) or 1.0) * _HEIGHT for mean in points["mean"]]
    taken = [(a - 6, b - 6, a + 6, b + 6) for a, b in zip(x, y, strict=True)]
    labels, sides = [], []
    for name, a, b in zip(points["method"], x, y, strict=True):
        text = axis_label(name, 24)
        boxes = {side: _label_box(side, a, b, len(text)) for side in _SIDES}
        overlaps = {
            side: sum(_overlap(box, other) for other in taken) for side, box in boxes.items()
        }
        side = min(_SIDES, key=overlaps.__getitem__)
        free = overlaps[side] < _MOST_OVERLAP * _LETTER * len(text) * _LINE
        if free:
            taken.append(boxes[side])
        labels.append(text if free else "")
        sides.append(side)
    return labels, sides


_SIDES = {
    "middle right": (1, 0), "top center": (0, 1), "bottom center": (0, -1),
    "middle left": (-1, 0), "top right": (1, 1), "bottom right": (1, -1),
}  # fmt: skip
_LabelBox = tuple[float, float, float, float]


def _label_box(side: str, x: float, y: float, letters: int) -> _LabelBox:
    """Return left, low, right and high edge of a label beside a mark, in pixels."""
    width, (dx, dy) = _LETTER * letters, _SIDES[side]
    left, low = x + dx * (width + 14) / 2 - width / 2, y + dy * _LINE - _LINE / 2
    return left, low, left + width, low + _LINE


def _overlap(first: _LabelBox, second: _LabelBox) -> float:
    """Return the common area of two boxes in square pixels."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return width * height if width > 0 and height > 0 else 0.0
