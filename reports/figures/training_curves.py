"""Training curves, for the seed with the median score of each method and dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..tables.leaderboard import tidy
from .drawing import N_STYLES, Axis, Drawing, curve, legend, plot
from .figure_data import curves_by_job
from .umaps import median_row

if TYPE_CHECKING:
    import pandas as pd

MAX_POINTS = 120
LOSSES = ("loss", "held_out_loss")


def median_run_ids(results: pd.DataFrame) -> list[str]:
    """Return the run of the median score for each dataset and method."""
    table = tidy(results)
    if "run_id" not in table:
        return []
    groups = table[table["status"] == "done"].groupby(["dataset", "method"], sort=False)
    return [str(median_row(rows)["run_id"]) for _, rows in groups]


def curve_drawings(results: pd.DataFrame, curves: pd.DataFrame | None) -> list[Drawing]:
    """Return one drawing to choose dataset, method and curves; empty without curves.

    ``curves`` has the columns ``run_id``, ``name``, ``step`` and ``value``.
    """
    by_job = curves_by_job(tidy(results), curves)
    if not by_job:
        return []
    datasets, methods = (list(dict.fromkeys(names)) for names in zip(*by_job, strict=True))
    figures, kinds = {}, ("losses", "parts of the loss")
    for (dataset, method), rows in by_job.items():
        is_loss = rows["name"].isin(LOSSES)
        for number, own in enumerate((rows[is_loss], rows[~is_loss])):
            if len(own):
                key = f"{datasets.index(dataset)},{methods.index(method)},{number}"
                figures[key] = _figure(own, f"{kinds[number]} of {method} on {dataset}")
    return [Drawing(
        "curves", "Training", "Training curves by epoch.", figures,
        [("dataset", datasets), ("method", methods), ("curves", kinds)],
        note="Shown is the seed with the median score. Losses of different methods measure "
        "different things: do not compare them.",
    )]  # fmt: skip


def thin_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Return at most :data:`MAX_POINTS` points of a curve, among them its first and last."""
    ordered = rows.sort_values("step", kind="stable")
    if len(ordered) <= MAX_POINTS:
        return ordered
    return ordered.iloc[np.linspace(0, len(ordered) - 1, MAX_POINTS).round().astype(int)]


def _figure(rows: pd.DataFrame, what: str) -> str:
    names = sorted(rows["name"].unique(), key=lambda name: (name not in LOSSES, name))
    x = Axis(float(rows["step"].min()), float(rows["step"].max()) or 1.0, "epoch or iteration")
    y = Axis.around(rows["value"], "value, as the method defines it")
    marks = []
    for number, name in enumerate(names):
        own = thin_curve(rows[rows["name"] == name])
        places = [x.place(v) for v in own["step"]], [100 - y.place(v) for v in own["value"]]
        marks.append(curve(*places, f"curve s{number % N_STYLES}"))
    keys = [(number % N_STYLES, str(name).replace("_", " ")) for number, name in enumerate(names)]
    return legend(keys) + plot(x, y, marks, f"Line plot of the {what}", height=320)
