"""Jobs and metrics as tables of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..tables.eligible import NOT_RUN
from ..tables.knowledge import job_uses_text
from ..tables.label_free import without_labels
from ..tables.labels import (
    MAIN_METRIC,
    higher_is_better,
    label,
    metric_columns,
    registered_metrics,
)
from .page_table import Cell, Column, PageTable, text_cell, value_cell

if TYPE_CHECKING:
    import pandas as pd

_DIRECTIONS = {True: "higher is better", False: "lower is better", None: "no better or worse"}

Summaries = dict[str, dict[str, Any]]
"""Metric → its row of the summary."""


def summaries_by_job(summary_rows: pd.DataFrame) -> dict[tuple[str, str], Summaries]:
    """Return the rows of a summary by method and dataset, then by metric."""
    summaries: dict[tuple[str, str], Summaries] = {}
    for record in summary_rows.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        summaries.setdefault((row["method"], row["dataset"]), {})[row["metric"]] = row
    return summaries


def job_table(table: pd.DataFrame) -> PageTable:
    """Return one row a job: status, score, time, and a link to its run."""
    names = ("method", "dataset", "status")
    columns = [Column(name, number=False) for name in (*names, "uses")]
    scored = not without_labels(table).all()
    columns += [Column("seed"), *[Column(label(MAIN_METRIC))] * scored, Column("time (s)")]
    page_table = PageTable([*columns, Column("MLflow run", number=False)])
    for record in table[~table["status"].isin(NOT_RUN)].to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        url = row.get("run_url")
        run = str(row.get("run_id") or "–")
        page_table.rows.append([
            *(text_cell(str(row[name])) for name in names),
            text_cell(job_uses_text(row)),
            value_cell("rank", row["seed"]),
            *[value_cell(MAIN_METRIC, row.get(MAIN_METRIC))] * scored,
            value_cell("time (s)", row["seconds"]),
            Cell(run[:8], run, link=url if isinstance(url, str) else ""),
        ])  # fmt: skip
    return page_table


def metric_definitions(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return label, meaning and source of each metric in the table."""
    metrics = registered_metrics()
    keys: dict[str, str] = {}
    for key in metric_columns(table):
        keys.setdefault(key.partition("/")[2], key)
    definitions = []
    for name in [name for name in metrics if name in keys]:
        metric = metrics[name]
        low, high = metric.bounds
        bounds = f"{low:g} to {high:g}".replace("inf", "any")
        meaning = f"{metric.summary}; {bounds}, {_DIRECTIONS[metric.higher_is_better]}."
        definitions.append((label(f"embedding/{name}"), meaning, metric.reference))
    for name in [name for name in keys if name not in metrics]:
        direction = _DIRECTIONS[higher_is_better(keys[name], table)]
        definitions.append((label(f"embedding/{name}"), f"Not built in; {direction}.", ""))
    return definitions
