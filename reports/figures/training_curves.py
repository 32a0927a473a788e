"""Training curves, for the seed with the median score of each method and dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..tables.leaderboard import tidy
from .drawing import Drawing, lay_out, plain, variants
from .umaps import median_row

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

MAX_POINTS = 300
_FIRST = ("loss", "held_out_loss")
_COLOURS = ("#2a8fd0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#8a8a8a")


def wanted(results: pd.DataFrame) -> list[str]:
    """Return the run ids of the jobs whose curves a page shows."""
    done = tidy(results)
    if "run_id" not in done:
        return []
    done = done[done["status"] == "done"]
    groups = done.groupby(["dataset", "method"], sort=False)
    return [str(median_row(rows)["run_id"]) for _, rows in groups]


def drawing(results: pd.DataFrame, curves: pd.DataFrame | None) -> list[Drawing]:
    """Return one drawing with a variant a dataset and method; none without curves.

    ``curves`` has the columns ``run_id``, ``name``, ``step`` and ``value``.
    """
    if curves is None or curves.empty:
        return []
    jobs = tidy(results).set_index("run_id")
    names = {str(r): (str(jobs.at[r, "dataset"]), str(jobs.at[r, "method"])) for r in jobs.index}
    groups = [(names[str(r)], rows) for r, rows in curves.groupby("run_id", sort=False)]
    datasets = list(dict.fromkeys(dataset for (dataset, _), _ in groups))
    methods = list(dict.fromkeys(method for (_, method), _ in groups))
    figures = {
        f"{datasets.index(dataset)},{methods.index(method)}": _figure(rows)
        for (dataset, method), rows in groups
    }
    return [variants(
        "curves", "Training",
        "Line plot of the training and held-out loss by epoch, for the chosen dataset and method.",
        [("dataset", datasets), ("method", methods)], figures,
        "The seed with the median score. Click a name to show or hide its curve. Losses of "
        "different methods measure different things and cannot be compared.",
    )]  # fmt: skip


def thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return at most 300 points of a curve, first and last among them, none averaged."""
    ordered = rows.sort_values("step", kind="stable")
    if len(ordered) <= MAX_POINTS:
        return ordered
    return ordered.iloc[np.linspace(0, len(ordered) - 1, MAX_POINTS).round().astype(int)]


def _figure(rows: pd.DataFrame) -> Figure:
    figure = go.Figure()
    names = sorted(rows["name"].unique(), key=lambda name: (name not in _FIRST, name))
    shown = [name for name in names if name in _FIRST] or names[:1]
    for number, name in enumerate(names):
        curve = thinned(rows[rows["name"] == name])
        text = plain(str(name).replace("_", " "))
        figure.add_trace(
            go.Scatter(
                x=curve["step"].tolist(), y=[float(f"{v:.6g}") for v in curve["value"]],
                mode="lines", name=text, visible=True if name in shown else "legendonly",
                line={"color": _COLOURS[number % len(_COLOURS)], "width": 2},
                hovertemplate=f"{text}, epoch %{{x}}: %{{y:.5g}}<extra></extra>",
            )
        )  # fmt: skip
    lay_out(figure, 400)
    figure.update_xaxes(title="epoch or iteration", automargin=True)
    figure.update_yaxes(title="value (as the method defines it)", automargin=True)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, showlegend=True
    )
    return figure
