"""Quality against what it costs: seconds and peak memory, with the Pareto front."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go

from ..tables.labels import higher_is_better, label
from ..tables.statistics import t_interval
from .drawing import Drawing, lay_out, plain, short, variants

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Okabe and Ito's colours without yellow and black, which vanish on white or on black.
FAMILIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
GREY = "#8a8a8a"
COSTS = {
    "seconds": ("fitting time", "fitting time, median over seeds (s, log scale)", "s"),
    "peak_memory_mb": ("peak memory", "peak memory, median over seeds (MiB, log scale)", "MiB"),
}
"""Column → what it is called, axis title, unit."""
_LETTER, _LINE = 6.5, 15.0
_WIDTH, _HEIGHT = 900.0, 380.0
_COVERED = 0.15
"""Share of a label that may be covered."""


def quality(table: pd.DataFrame, datasets: list[str], metric: str) -> list[Drawing]:
    """Return one drawing with a variant a dataset and cost; none if nothing was measured."""
    figures = {}
    families = sorted(set(table["family"]) - {""})
    for i, dataset in enumerate(datasets):
        for j, cost in enumerate(COSTS):
            x_range = _log_range(table, metric, cost)
            found = points(table[table["dataset"] == dataset], metric, cost)
            if not found.empty:
                best = front(found, higher=higher_is_better(metric, table) is not False)
                figures[f"{i},{j}"] = _figure(found, best, families, metric, cost, x_range)
    if not figures:
        return []
    costs = [name for name, _, _ in COSTS.values()]
    return [variants(
        "quality", "Quality against cost",
        f"Scatter plot of {label(metric)} against fitting time in seconds or peak memory in MiB, "
        "one labelled point a method, with the Pareto front.",
        [("dataset", datasets), ("cost", costs)], figures,
        "The dashed line is the Pareto front: no method beside it is both cheaper and better by "
        "its mean. Controls are left out: they learn nothing. Point at a mark for its numbers; "
        "where marks crowd, some names show only then.",
    )]  # fmt: skip


def _figure(
    found: pd.DataFrame,
    best: pd.DataFrame,
    families: list[str],
    metric: str,
    cost: str,
    x_range: list[float],
) -> Figure:
    """Return the points with their front ``best``."""
    _, title, unit = COSTS[cost]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=best["cost"].tolist(), y=best["mean"].tolist(), mode="lines", hoverinfo="skip",
            name="Pareto front", line={"dash": "dash", "width": 1.5, "color": GREY, "shape": "hv"},
        )
    )  # fmt: skip
    labels, places = _labels(found, x_range)
    found = found.assign(label=labels, place=places)
    for family, part in found.groupby("family", sort=True):
        texts = [
            [plain(name), _plus_minus(half)]
            for name, half in zip(part["method"], part["half"], strict=True)
        ]
        figure.add_trace(
            go.Scatter(
                x=part["cost"].tolist(), y=part["mean"].tolist(), text=part["label"].tolist(),
                textposition=part["place"].tolist(), mode="markers+text", cliponaxis=False,
                name=plain(family) or "other", customdata=texts,
                error_y={
                    "array": part["half"].fillna(0).tolist(), "thickness": 1,
                    "color": "rgba(128,128,128,0.5)",
                },
                marker=_marker(families.index(str(family)) if family else -1),
                hovertemplate=(
                    f"%{{customdata[0]}}<br>%{{x:.3g}} {unit}<br>"
                    f"{label(metric)} %{{y:.3f}}%{{customdata[1]}}<extra></extra>"
                ),
            )
        )  # fmt: skip
    lay_out(figure, 500)
    narrow = x_range[1] - x_range[0] < 2
    figure.update_xaxes(
        type="log", title=title, automargin=True, range=x_range, dtick="D2" if narrow else 1
    )
    figure.update_yaxes(title=f"{label(metric)}, mean ± 95 % interval", automargin=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return figure


def front(found: pd.DataFrame, *, higher: bool = True) -> pd.DataFrame:
    """Return the points that no other one beats in both cost and mean, cheapest first."""
    sign = 1 if higher else -1
    ordered = found.assign(_gain=sign * found["mean"])
    ordered = ordered.sort_values(["cost", "_gain"], ascending=[True, False], kind="stable")
    before = ordered["_gain"].cummax().shift(fill_value=-math.inf)
    return ordered[ordered["_gain"] > before].drop(columns="_gain")


def points(rows: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    """Return one row a method: family, mean, half width over seeds and median cost."""
    kept = rows[rows[metric].notna() & (rows["status"] == "done") & (rows[cost] > 0)]
    found = []
    for method, part in kept.groupby("method"):
        interval = t_interval(part[metric])
        found.append(
            {"method": str(method), "family": part["family"].iloc[0], "mean": interval.mean}
            | {"half": interval.half_width, "cost": float(part[cost].median())}
        )
    return pd.DataFrame(found, columns=["method", "family", "mean", "half", "cost"])


def _plus_minus(half: float) -> str:
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
    colour = FAMILIES[number % len(FAMILIES)] if number >= 0 else GREY
    symbol = MARKERS[number % len(MARKERS)] if number >= 0 else "x"
    return {"size": 10, "color": colour, "symbol": symbol}


def _labels(points: pd.DataFrame, x_range: list[float]) -> tuple[list[str], list[str]]:
    """Return labels and where each goes, so that they overlap neither labels nor marks.

    Greedy in pixels of a page of usual width: the least bad of six places; a label that would
    still be covered is left to the pointer.
    """
    if points.empty:
        return [], []
    low = float((points["mean"] - points["half"].fillna(0)).min())
    high = float((points["mean"] + points["half"].fillna(0)).max())
    left, right = x_range
    x = [(math.log10(s) - left) / (right - left) * _WIDTH for s in points["cost"]]
    y = [(v - low) / ((high - low) or 1.0) * _HEIGHT for v in points["mean"]]
    taken = [(a - 6, b - 6, a + 6, b + 6) for a, b in zip(x, y, strict=True)]
    labels, places = [], []
    for name, a, b in zip(points["method"], x, y, strict=True):
        text = short(name, 24)
        boxes = {place: _box(place, a, b, len(text)) for place in _SIDES}
        costs = {p: sum(_overlap(box, o) for o in taken) for p, box in boxes.items()}
        place = min(_SIDES, key=costs.__getitem__)
        fits = costs[place] < _COVERED * _LETTER * len(text) * _LINE
        if fits:
            taken.append(boxes[place])
        labels.append(text if fits else "")
        places.append(place)
    return labels, places


def _box(place: str, x: float, y: float, letters: int) -> tuple[float, float, float, float]:
    """Return left, low, right and high edge of a label beside a mark, in pixels."""
    wide, (dx, dy) = _LETTER * letters, _SIDES[place]
    left, low = x + dx * (wide + 14) / 2 - wide / 2, y + dy * _LINE - _LINE / 2
    return left, low, left + wide, low + _LINE


_SIDES = {
    "middle right": (1, 0), "top center": (0, 1), "bottom center": (0, -1),
    "middle left": (-1, 0), "top right": (1, 1), "bottom right": (1, -1),
}  # fmt: skip
_Box = tuple[float, float, float, float]


def _overlap(one: _Box, two: _Box) -> float:
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    return wide * high if wide > 0 and high > 0 else 0.0
