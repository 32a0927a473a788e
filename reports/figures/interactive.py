"""Interactive figures as plain Plotly JSON; the page's script draws them in its own colours.

Text and grid colours are left to the page, so that one figure serves light and dark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..tables.eligible import CONTROL, competing_by_dataset
from ..tables.labels import MAIN, SCALES, higher_is_better, label, metric_columns
from ..tables.leaderboard import dataset_means, leaderboard, tidy
from .colour_scale import between_controls
from .cost_quality import quality
from .drawing import ROW, SCALE, Drawing, _json, between, categories, lay_out, plain, variants

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


def drawings(results: pd.DataFrame, metric: str = MAIN) -> dict[str, list[Drawing]]:
    """Return the figures by section, ``heat``, ``quality`` and ``strip``; without data none."""
    table = tidy(results)
    board = leaderboard(table, metric)
    # With several modalities the controls of the first stand before methods for another.
    board = board.sort_values("family", key=lambda family: family == CONTROL, kind="stable")
    order = [str(name) for name in board["method"].drop_duplicates()]
    keys = [key for key in metric_columns(table) if table[key].notna().any()]
    if metric not in keys:
        return {"heat": [], "quality": [], "strip": []}
    datasets = [d for d in table["dataset"].unique() if _values(table, d, metric).notna().any()]
    return {
        "heat": [_heat(table, [metric, *(k for k in keys if k != metric)], order)],
        "quality": quality(competing_by_dataset(table), datasets, metric),
        "strip": [_strip(table, name, metric, order, i) for i, name in enumerate(datasets)],
    }


def _values(table: pd.DataFrame, dataset: str, metric: str) -> pd.Series:
    return table.loc[table["dataset"] == dataset, metric]


def _heat(table: pd.DataFrame, keys: list[str], order: list[str]) -> Drawing:
    """Return methods × datasets of means, by metric, raw and between the controls."""
    scaled = between_controls(table)
    figures = {}
    for number, key in enumerate(keys):
        figures[f"{number},0"] = _heat_of(table, key, order)
        if scaled[key].notna().any():
            figures[f"{number},1"] = _heat_of(scaled, key, order, scaled=True)
    n_datasets = table["dataset"].nunique()
    return variants(
        "heat", "Mean score of each method on each dataset",
        f"Heat map of {label(keys[0])}: {len(order)} methods by {n_datasets} datasets. "
        "The table above holds the same numbers.",
        [("metric", [label(key) for key in keys]), ("scale", list(SCALES))], figures,
        "The colours span the methods that compete; controls beyond them have the end colours. "
        "Scaled: 0 is the control random, 1 the control truth, on each dataset by itself.",
    )  # fmt: skip


def _heat_of(table: pd.DataFrame, key: str, order: list[str], *, scaled: bool = False) -> Figure:
    controls = set(table.loc[table["family"] == CONTROL, "method"])
    means = dataset_means(table, key).reindex(index=order)
    values = means.to_numpy(dtype=float)
    competing = values[[name not in controls for name in order]]
    low, high = between(competing if np.isfinite(competing).any() else values)
    down = higher_is_better(key, table) is False
    digits = 2 if scaled else 1 if "n_clusters" in key else 3
    name = f"{label(key)}, scaled" if scaled else label(key)
    rows = [plain(one) for one in order]
    figure = go.Figure(
        go.Heatmap(
            z=values.tolist(), x=[plain(one) for one in means.columns], y=rows,
            colorscale=SCALE, reversescale=down, zmin=low, zmax=high, xgap=2, ygap=2,
            texttemplate=f"%{{z:.{digits}f}}", textfont={"color": "#111111"}, hoverongaps=False,
            hovertemplate="%{y} on %{x}: %{z:.4f}<extra></extra>",
            colorbar={"title": {"text": name, "side": "right"}, "thickness": 12},
        )
    )  # fmt: skip
    gaps = np.argwhere(np.isnan(values))
    figure.add_trace(
        go.Scatter(
            x=[plain(means.columns[j]) for _, j in gaps], y=[rows[i] for i, _ in gaps],
            mode="text", text=["no value"] * len(gaps), showlegend=False, hoverinfo="skip",
        )
    )  # fmt: skip
    lay_out(figure, 110 + ROW * len(order))
    figure.update_yaxes(autorange="reversed", showgrid=False, **categories(order))
    figure.update_xaxes(side="top", showgrid=False, **categories(list(means.columns)))
    return figure


def _strip(
    table: pd.DataFrame, dataset: str, metric: str, order: list[str], number: int
) -> Drawing:
    """Return all seeds of each method on one dataset, and their mean as a bar."""
    rows = table[(table["dataset"] == dataset) & table[metric].notna()]
    present = [name for name in order if name in set(rows["method"])]
    figure = go.Figure()
    means = [float(rows.loc[rows["method"] == name, metric].mean()) for name in present]
    figure.add_trace(
        go.Scatter(
            x=means, y=[plain(name) for name in present], mode="markers", name="mean over seeds",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": "#D55E00"}},
            hovertemplate="%{y}: mean %{x:.4f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=rows[metric].tolist(), y=[plain(name) for name in rows["method"]], mode="markers",
            name="one seed", customdata=[f"{seed:.0f}" for seed in rows["seed"]],
            marker={"size": 9, "color": "#2a8fd0", "opacity": 0.75},
            hovertemplate="%{y}: %{x:.4f} (seed %{customdata})<extra></extra>",
        )
    )  # fmt: skip
    height = 120 + ROW * len(present)
    lay_out(figure, height)
    figure.update_yaxes(autorange="reversed", **categories(present))
    figure.update_xaxes(title=label(metric), automargin=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return Drawing(
        f"strip-{number}", dataset,
        f"Strip plot of {label(metric)} on {dataset}: one point a seed for {len(present)} "
        "methods, and their means.", _json(figure), height,
    )  # fmt: skip
