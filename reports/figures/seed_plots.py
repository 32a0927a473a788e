"""The score of every seed, one figure a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tables.labels import MAIN_METRIC, label
from .drawing import Axis, Drawing, line, mark, row_plot
from .figure_data import control_names, method_order, seed_scores

if TYPE_CHECKING:
    import pandas as pd


def seed_drawings(table: pd.DataFrame, metric: str = MAIN_METRIC) -> list[Drawing]:
    """Return one drawing to choose the dataset; empty without scores."""
    by_dataset = seed_scores(table, metric)
    if not by_dataset:
        return []
    figures = {
        str(number): _figure(dataset, rows, metric, method_order(rows, metric))
        for number, (dataset, rows) in enumerate(by_dataset.items())
    }
    return [Drawing(
        "seeds", "Every seed",
        f"{label(metric)} of all seeds.", figures, [("dataset", list(by_dataset))],
        note="A dot is one seed, the bar their mean. Methods stand in the order of their ranks "
        "on the dataset, controls last: random uses no information, truth the true types.",
    )]  # fmt: skip


def _figure(dataset: str, rows: pd.DataFrame, metric: str, order: list[str]) -> str:
    axis = Axis.around(rows[metric], label(metric))
    controls = control_names(rows)
    lines = []
    for method in order:
        own = rows[rows["method"] == method]
        mean = axis.place(float(own[metric].mean()))
        marks = [
            mark(axis.place(value), 50, f"{method}, seed {seed:.0f}: {value:.4f}",
                 more="control" * (method in controls))
            for seed, value in zip(own["seed"], own[metric], strict=True)
        ]  # fmt: skip
        marks.append(line(mean, 15, mean, 85, "mean"))
        lines.append((method, "".join(marks)))
    alt = f"{label(metric)} on {dataset}: one dot a seed of {len(order)} methods, with their means"
    return row_plot(axis, lines, alt)
