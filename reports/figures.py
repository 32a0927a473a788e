"""Interactive figures as plain Plotly JSON; the page's script draws them in its own colours.

Text and grid colours are left to the page, so that one figure serves light and dark.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .names import MAIN, higher_is_better, label, metric_columns
from .statistics import t_interval
from .tables import CONTROL, dataset_means, leaderboard, tidy

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from plotly.graph_objects import Figure

ROW = 28
"""Pixels of a method's row."""
# Okabe and Ito's colours without yellow and black, which vanish on white or on black.
FAMILIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
GREY = "#8a8a8a"
# The light half of ColorBrewer's YlGnBu: safe for colour-blind readers, and black numbers are
# legible on all of it, whatever the page's background.
SCALE = (
    (0.0, "#ffffd9"),
    (0.25, "#edf8b1"),
    (0.5, "#c7e9b4"),
    (0.75, "#7fcdbb"),
    (1.0, "#41b6c4"),
)
_LETTER, _LINE = 6.5, 15.0
_WIDTH, _HEIGHT = 900.0, 380.0
_COVERED = 0.15
"""Share of a label that may be covered."""


@dataclass
class Drawing:
    """One figure of the page."""

    key: str
    title: str
    alt: str
    json: str
    height: int
    choices: list[tuple[str, list[int]]] = field(default_factory=list)
    """Label → numbers of the traces to show; empty: nothing to choose."""
    note: str = ""


def drawings(results: pd.DataFrame, metric: str = MAIN) -> dict[str, list[Drawing]]:
    """Return the figures by section, ``heat``, ``time`` and ``strip``; without data none."""
    table = tidy(results)
    order = [str(name) for name in leaderboard(table, metric)["method"].drop_duplicates()]
    keys = [key for key in metric_columns(table) if table[key].notna().any()]
    if metric not in keys:
        return {"heat": [], "time": [], "strip": []}
    datasets = [d for d in table["dataset"].unique() if _values(table, d, metric).notna().any()]
    return {
        "heat": [_heat(table, [metric, *(k for k in keys if k != metric)], order)],
        "time": _time(table[table["family"] != CONTROL], datasets, metric),
        "strip": [_strip(table, name, metric, order, i) for i, name in enumerate(datasets)],
    }


def _values(table: pd.DataFrame, dataset: str, metric: str) -> pd.Series:
    return table.loc[table["dataset"] == dataset, metric]


def _heat(table: pd.DataFrame, keys: list[str], order: list[str]) -> Drawing:
    """Return methods × datasets of means; two traces a metric, values and gaps."""
    import numpy as np
    import plotly.graph_objects as go

    controls = set(table.loc[table["family"] == CONTROL, "method"])
    figure, choices = go.Figure(), []
    for number, key in enumerate(keys):
        means = dataset_means(table, key).reindex(index=order)
        values = means.to_numpy(dtype=float)
        competing = values[[name not in controls for name in order]]
        low, high = _span(competing if np.isfinite(competing).any() else values)
        columns = [_plain(name) for name in means.columns]
        figure.add_trace(
            go.Heatmap(
                z=values.tolist(), x=columns, y=[_plain(name) for name in order],
                colorscale=SCALE, reversescale=higher_is_better(key) is False,
                zmin=low, zmax=high, visible=number == 0, xgap=2,
                ygap=2, texttemplate="%{z:.1f}" if "n_clusters" in key else "%{z:.3f}",
                textfont={"color": "#111111"}, hoverongaps=False,
                hovertemplate="%{y} on %{x}: %{z:.4f}<extra></extra>",
                colorbar={"title": {"text": label(key), "side": "right"}, "thickness": 12},
            )
        )  # fmt: skip
        gaps = [(order[i], means.columns[j]) for i, j in np.argwhere(np.isnan(values))]
        figure.add_trace(
            go.Scatter(
                x=[_plain(c) for _, c in gaps], y=[_plain(m) for m, _ in gaps], mode="text",
                text=["no value"] * len(gaps), visible=number == 0, showlegend=False,
                hoverinfo="skip",
            )
        )  # fmt: skip
        choices.append((label(key), [2 * number, 2 * number + 1]))
    height = 110 + ROW * len(order)
    _lay_out(figure, height)
    figure.update_yaxes(autorange="reversed", showgrid=False, **_categories(order))
    figure.update_xaxes(side="top", showgrid=False, **_categories(list(means.columns)))
    return Drawing(
        "heat", "Mean score of each method on each dataset",
        f"Heat map of {label(keys[0])}: {len(order)} methods by {means.shape[1]} datasets. "
        "The table above holds the same numbers.", _json(figure), height, choices,
        "The colours span the methods that compete; controls beyond them have the end colours.",
    )  # fmt: skip


def _span(values: np.ndarray) -> tuple[float, float]:
    """Return smallest and largest value; a scale of one value would have no colours."""
    import numpy as np

    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _time(table: pd.DataFrame, datasets: list[str], metric: str) -> list[Drawing]:
    """Return quality against fitting time, one group of traces a dataset; empty without times."""
    import plotly.graph_objects as go

    figure = go.Figure()
    families = sorted(set(table["family"]) - {""})
    choices: list[tuple[str, list[int]]] = []
    for dataset in datasets:
        points = _points(table[table["dataset"] == dataset], metric, _log_range(table, metric))
        if points.empty:
            continue
        start = len(figure.data)
        for family, part in points.groupby("family", sort=True):
            number = families.index(family) if family else -1
            figure.add_trace(
                go.Scatter(
                    x=part["seconds"].tolist(), y=part["mean"].tolist(),
                    text=part["label"].tolist(),
                    textposition=part["place"].tolist(), mode="markers+text",
                    name=str(family) or "other", visible=not choices,
                    cliponaxis=False, customdata=[
                        [_plain(name), _plus_minus(half)]
                        for name, half in zip(part["method"], part["half"], strict=True)
                    ],
                    error_y={
                        "array": part["half"].fillna(0).tolist(), "thickness": 1,
                        "color": "rgba(128,128,128,0.5)",
                    },
                    marker=_marker(number),
                    hovertemplate="%{customdata[0]}<br>%{x:.3g} s<br>%{y:.3f}%{customdata[1]}",
                )
            )  # fmt: skip
        choices.append((dataset, list(range(start, len(figure.data)))))
    if not choices:
        return []
    _lay_out(figure, 500)
    figure.update_xaxes(
        type="log", title="fitting time, median over seeds (s, log scale)", automargin=True,
        range=_log_range(table, metric), dtick="D1" if _decades(table, metric) < 1 else 1,
    )  # fmt: skip
    figure.update_yaxes(title=f"{label(metric)}, mean ± 95 % interval", automargin=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return [Drawing(
        "time", "Quality against time",
        f"Scatter plot of {label(metric)} against fitting time in seconds, one labelled point a "
        "method.", _json(figure), 500, choices,
        "Controls are left out: they learn nothing. Point at a mark for its numbers; where marks "
        "crowd, some names show only then.",
    )]  # fmt: skip


def _plus_minus(half: float) -> str:
    return " (one seed)" if math.isnan(half) else f" ± {half:.3f}"


def _timed(table: pd.DataFrame, metric: str) -> pd.Series:
    seconds = table.loc[table[metric].notna(), "seconds"]
    return seconds[seconds > 0]


def _decades(table: pd.DataFrame, metric: str) -> float:
    low, high = _log_range(table, metric)
    return high - low - 0.6


def _log_range(table: pd.DataFrame, metric: str) -> list[float]:
    """Return the range of the time axis, with room for the labels of the outermost points."""
    seconds = _timed(table, metric)
    if seconds.empty:
        return [-1.0, 1.0]
    low, high = math.log10(seconds.min()), math.log10(seconds.max())
    room = 0.3 + 0.12 * (high - low)
    return [low - room, high + room]


def _marker(number: int) -> dict[str, Any]:
    colour = FAMILIES[number % len(FAMILIES)] if number >= 0 else GREY
    symbol = MARKERS[number % len(MARKERS)] if number >= 0 else "x"
    return {"size": 10, "color": colour, "symbol": symbol}


def _points(rows: pd.DataFrame, metric: str, x_range: list[float]) -> pd.DataFrame:
    """Return one row a method: mean, half width, seconds, and its label with the place of it."""
    import pandas as pd

    found = []
    for method, part in rows[rows[metric].notna() & (rows["seconds"] > 0)].groupby("method"):
        interval = t_interval(part[metric])
        found.append(
            {"method": str(method), "family": part["family"].iloc[0], "mean": interval.mean}
            | {"half": interval.half_width, "seconds": float(part["seconds"].dropna().median())}
        )
    columns = ["method", "family", "mean", "half", "seconds"]
    points = pd.DataFrame(found, columns=columns)
    labels, places = _labels(points, x_range)
    return points.assign(label=labels, place=places)


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
    x = [(math.log10(s) - left) / (right - left) * _WIDTH for s in points["seconds"]]
    y = [(v - low) / ((high - low) or 1.0) * _HEIGHT for v in points["mean"]]
    taken = [(a - 6, b - 6, a + 6, b + 6) for a, b in zip(x, y, strict=True)]
    labels, places = [], []
    for name, a, b in zip(points["method"], x, y, strict=True):
        short = _short(name, 24)
        boxes = {place: _box(place, a, b, len(short)) for place in _SIDES}
        costs = {p: sum(_overlap(box, o) for o in taken) for p, box in boxes.items()}
        place = min(_SIDES, key=costs.__getitem__)
        fits = costs[place] < _COVERED * _LETTER * len(short) * _LINE
        if fits:
            taken.append(boxes[place])
        labels.append(short if fits else "")
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


def _strip(
    table: pd.DataFrame, dataset: str, metric: str, order: list[str], number: int
) -> Drawing:
    """Return all seeds of each method on one dataset, and their mean as a bar."""
    import plotly.graph_objects as go

    rows = table[(table["dataset"] == dataset) & table[metric].notna()]
    present = [name for name in order if name in set(rows["method"])]
    figure = go.Figure()
    means = [float(rows.loc[rows["method"] == name, metric].mean()) for name in present]
    figure.add_trace(
        go.Scatter(
            x=means, y=[_plain(name) for name in present], mode="markers", name="mean over seeds",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": "#D55E00"}},
            hovertemplate="%{y}: mean %{x:.4f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=rows[metric].tolist(), y=[_plain(name) for name in rows["method"]], mode="markers",
            name="one seed", customdata=[f"{seed:.0f}" for seed in rows["seed"]],
            marker={"size": 9, "color": "#2a8fd0", "opacity": 0.75},
            hovertemplate="%{y}: %{x:.4f} (seed %{customdata})<extra></extra>",
        )
    )  # fmt: skip
    height = 120 + ROW * len(present)
    _lay_out(figure, height)
    figure.update_yaxes(autorange="reversed", **_categories(present))
    figure.update_xaxes(title=label(metric), automargin=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return Drawing(
        f"strip-{number}", dataset,
        f"Strip plot of {label(metric)} on {dataset}: one point a seed for {len(present)} "
        "methods, and their means.", _json(figure), height,
    )  # fmt: skip


def _lay_out(figure: Figure, height: int) -> None:
    figure.update_layout(
        template="none", height=height, margin={"l": 10, "r": 10, "t": 40, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", hovermode="closest",
    )  # fmt: skip


def _categories(names: list[str]) -> dict[str, Any]:
    """Return the settings of an axis of names in this order; only what is shown is shortened."""
    plain = [_plain(name) for name in names]
    return {
        "type": "category", "categoryorder": "array", "categoryarray": plain, "tickvals": plain,
        "ticktext": [_short(name) for name in names], "automargin": True, "zeroline": False,
        "tickcolor": "rgba(0,0,0,0)",
    }  # fmt: skip


def _short(text: Any, most: int = 28) -> str:
    """Return a label short enough for an axis."""
    text = str(text)
    return _plain(text if len(text) <= most else text[: most - 1] + "…")


def _plain(text: Any) -> str:
    """Return a text that Plotly, which reads some HTML tags, shows as it is."""
    text = str(text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(figure: Figure) -> str:
    """Return the figure as JSON that may stand in a script element."""
    content = json.loads(figure.to_json())
    return json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e")
