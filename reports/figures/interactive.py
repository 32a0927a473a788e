"""Interactive figures of the scores: a heat map, quality against cost, and every seed.

The page sets the colours of text and grid, so one figure serves light and dark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..tables.control_scale import scale_between_controls
from ..tables.labels import MAIN_METRIC, SCALE_NAMES, higher_is_better, label, metric_columns
from ..tables.leaderboard import tidy
from .cost_quality import cost_drawings
from .drawing import (
    LEGEND,
    ROW,
    SCALE,
    Drawing,
    category_axis,
    escape_tags,
    make_drawing,
    set_layout,
)
from .figure_data import method_order, score_matrix, seed_scores

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


def score_drawings(results: pd.DataFrame, metric: str = MAIN_METRIC) -> dict[str, list[Drawing]]:
    """Return the figures by section: ``heat``, ``quality`` and ``strip``; empty without scores."""
    table = tidy(results)
    keys = metric_columns(table)
    if metric not in keys:
        return {"heat": [], "quality": [], "strip": []}
    order = method_order(table, metric)
    seeds = seed_scores(table, metric)
    return {
        "heat": [_heat_map(table, [metric, *(key for key in keys if key != metric)], order)],
        "quality": cost_drawings(table, metric),
        "strip": [
            _strip_plot(f"strip-{number}", dataset, rows, metric, order)
            for number, (dataset, rows) in enumerate(seeds.items())
        ],
    }


def _heat_map(table: pd.DataFrame, keys: list[str], order: list[str]) -> Drawing:
    """Return mean scores, methods × datasets, by metric and scale."""
    scaled = scale_between_controls(table)
    figures = {}
    for number, key in enumerate(keys):
        figures[f"{number},0"] = _heat_map_figure(table, key, order)
        if scaled[key].notna().any():
            figures[f"{number},1"] = _heat_map_figure(scaled, key, order, scaled=True)
    n_datasets = table["dataset"].nunique()
    return make_drawing(
        "heat", "Mean score of each method on each dataset",
        f"Heat map of {label(keys[0])}: {len(order)} methods by {n_datasets} datasets. "
        "The table above holds the same numbers.",
        figures, [("metric", [label(key) for key in keys]), ("scale", SCALE_NAMES)],
        note="The competing methods set the colour range. Controls outside it take the colour of "
        "the nearer end. Scaled: on each dataset the control random is 0 and the control truth "
        "is 1.",
    )  # fmt: skip


def _heat_map_figure(
    table: pd.DataFrame, key: str, order: list[str], *, scaled: bool = False
) -> Figure:
    matrix = score_matrix(table, key, order)
    values = matrix.means.to_numpy()
    digits = 2 if scaled else 1 if "n_clusters" in key else 3
    rows = [escape_tags(name) for name in order]
    columns = [escape_tags(name) for name in matrix.means.columns]
    colour_bar = {"text": f"{label(key)}, scaled" if scaled else label(key), "side": "right"}
    figure = go.Figure(
        go.Heatmap(
            z=values.tolist(), x=columns, y=rows, colorscale=SCALE,
            reversescale=higher_is_better(key, table) is False, zmin=matrix.low,
            zmax=matrix.high, xgap=2, ygap=2, texttemplate=f"%{{z:.{digits}f}}",
            textfont={"color": "#111111"}, hoverongaps=False,
            hovertemplate="%{y} on %{x}: %{z:.4f}<extra></extra>",
            colorbar={"title": colour_bar, "thickness": 12},
        )
    )  # fmt: skip
    gaps = np.argwhere(np.isnan(values))
    figure.add_trace(
        go.Scatter(
            x=[columns[j] for _, j in gaps], y=[rows[i] for i, _ in gaps], mode="text",
            text=["no value"] * len(gaps), showlegend=False, hoverinfo="skip",
        )
    )  # fmt: skip
    set_layout(figure, 110 + ROW * len(order))
    figure.update_yaxes(autorange="reversed", showgrid=False, **category_axis(order))
    figure.update_xaxes(side="top", showgrid=False, **category_axis(list(matrix.means.columns)))
    return figure


def _strip_plot(
    key: str, dataset: str, rows: pd.DataFrame, metric: str, order: list[str]
) -> Drawing:
    """Return the scores of all seeds on one dataset, with a bar at each method's mean."""
    means = {str(name): float(own.mean()) for name, own in rows.groupby("method")[metric]}
    methods = [name for name in order if name in means]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[means[name] for name in methods], y=[escape_tags(name) for name in methods],
            mode="markers", name="mean over seeds",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": "#D55E00"}},
            hovertemplate="%{y}: mean %{x:.4f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=rows[metric].tolist(), y=[escape_tags(name) for name in rows["method"]],
            mode="markers", name="one seed", customdata=[f"{seed:.0f}" for seed in rows["seed"]],
            marker={"size": 9, "color": "#2a8fd0", "opacity": 0.75},
            hovertemplate="%{y}: %{x:.4f} (seed %{customdata})<extra></extra>",
        )
    )  # fmt: skip
    set_layout(figure, 120 + ROW * len(methods))
    figure.update_yaxes(autorange="reversed", **category_axis(methods))
    figure.update_xaxes(title=label(metric), automargin=True)
    figure.update_layout(legend=LEGEND | {"y": 1.0})
    alt = f"Strip plot of {label(metric)} on {dataset}: one point a seed for {len(methods)} "
    return make_drawing(key, dataset, alt + "methods, and their means.", {"": figure})
