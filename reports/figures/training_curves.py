"""Training curves, for the seed with the median score of each method and dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..tables.leaderboard import tidy
from .drawing import LEGEND, Drawing, escape_tags, make_drawing, set_layout
from .figure_data import curves_by_job
from .umaps import median_row

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

MAX_POINTS = 300
LOSSES = ("loss", "held_out_loss")
_COLOURS = ("#2a8fd0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#8a8a8a")


def median_run_ids(results: pd.DataFrame) -> list[str]:
    """Return the run of the median score for each dataset and method."""
    table = tidy(results)
    if "run_id" not in table:
        return []
    groups = table[table["status"] == "done"].groupby(["dataset", "method"], sort=False)
    return [str(median_row(rows)["run_id"]) for _, rows in groups]


def curve_drawings(results: pd.DataFrame, curves: pd.DataFrame | None) -> list[Drawing]:
    """Return one drawing to choose dataset and method; empty without curves.

    ``curves`` has the columns ``run_id``, ``name``, ``step`` and ``value``.
    """
    by_job = curves_by_job(tidy(results), curves)
    if not by_job:
        return []
    datasets, methods = (list(dict.fromkeys(names)) for names in zip(*by_job, strict=True))
    figures = {
        f"{datasets.index(dataset)},{methods.index(method)}": _figure(rows)
        for (dataset, method), rows in by_job.items()
    }
    return [make_drawing(
        "curves", "Training",
        "Line plot of the training and held-out loss by epoch, for the chosen dataset and method.",
        figures, [("dataset", datasets), ("method", methods)],
        note="Shown is the seed with the median score. Click a name to show or hide its curve. "
        "Losses of different methods measure different things: do not compare them.",
    )]  # fmt: skip


def thin_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Return at most 300 points of a curve, among them its first and last."""
    ordered = rows.sort_values("step", kind="stable")
    if len(ordered) <= MAX_POINTS:
        return ordered
    return ordered.iloc[np.linspace(0, len(ordered) - 1, MAX_POINTS).round().astype(int)]


def _figure(rows: pd.DataFrame) -> Figure:
    figure = go.Figure()
    names = sorted(rows["name"].unique(), key=lambda name: (name not in LOSSES, name))
    visible = [name for name in names if name in LOSSES] or names[:1]
    for number, name in enumerate(names):
        curve = thin_curve(rows[rows["name"] == name])
        text = escape_tags(str(name).replace("_", " "))
        figure.add_trace(
            go.Scatter(
                x=curve["step"].tolist(), y=[float(f"{v:.6g}") for v in curve["value"]],
                mode="lines", name=text, visible=True if name in visible else "legendonly",
                line={"color": _COLOURS[number % len(_COLOURS)], "width": 2},
                hovertemplate=f"{text}, epoch %{{x}}: %{{y:.5g}}<extra></extra>",
            )
        )  # fmt: skip
    set_layout(figure, 400)
    figure.update_xaxes(title="epoch or iteration", automargin=True)
    figure.update_yaxes(title="value (as the method defines it)", automargin=True)
    figure.update_layout(legend=LEGEND, showlegend=True)
    return figure
