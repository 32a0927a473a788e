"""Leaderboards, scores, jobs and metrics as tables of the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..tables.claims import Standing, within_datasets
from ..tables.control_scale import scale_between_controls
from ..tables.eligible import CONTROL, FAILED, NOT_RUN, told_groups
from ..tables.knowledge import job_uses_text, uses_text
from ..tables.label_free import without_labels
from ..tables.labels import (
    DEFAULT_COLUMNS,
    MAIN_METRIC,
    SCALE_NAMES,
    higher_is_better,
    interval_text,
    is_own_clustering,
    label,
    metric_columns,
    registered_metrics,
)
from ..tables.leaderboard import leaderboard, summary
from .page_table import Cell, Column, PageTable, SelectableTable, text_cell, value_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_OWN_METRICS = ("ari", "nmi")
"""Metrics of a method's own clusterings on the page."""
_BEFORE_COSTS = 4
"""Metrics left of time and memory, so that a screen shows both kinds."""
_OPTIONAL_COLUMNS = {"data": "modality", "protocol": "protocol"}
"""Leaderboard columns present only with several values → their column in the results."""
_TEXT_COLUMNS = (
    "data", "method", "uses", "family", "protocol", "datasets", "tied", "rank 95 %", "note",
)  # fmt: skip
_DIRECTIONS = {True: "higher is better", False: "lower is better", None: "no better or worse"}

Summaries = dict[str, dict[str, Any]]
"""Metric → its row of the summary."""


def leaderboard_tables(table: pd.DataFrame) -> SelectableTable:
    """Return the leaderboards by metric, dataset and scale."""
    ranked = [key for key in metric_columns(table) if higher_is_better(key, table) is not None]
    keys = [key for key in ranked if not is_own_clustering(key)] or [MAIN_METRIC]
    keys.sort(key=lambda key: key != MAIN_METRIC)
    datasets = [str(name) for name in table["dataset"].unique() if name]
    options = datasets if len(datasets) == 1 else ["all", *datasets]
    headings = list(leaderboard(table, MAIN_METRIC).columns)
    scales = (table, scale_between_controls(table))
    tables = {}
    for i, key in enumerate(keys):
        for j, dataset in enumerate(options):
            for k, source in enumerate(scales):
                rows = source if dataset == "all" else source[source["dataset"] == dataset]
                if (i, j, k) == (0, 0, 0) or (key in rows and rows[key].notna().any()):
                    ties = key == MAIN_METRIC and k == 0
                    tables[f"{i},{j},{k}"] = _leaderboard_table(rows, key, headings, ties=ties)
    selectors = [("metric", [label(key) for key in keys]), ("dataset", options)]
    return SelectableTable([*selectors, ("scale", list(SCALE_NAMES))], tables)


def leaderboard_filters(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return the leaderboard columns that a reader can filter by, with their values."""
    columns = {"data": "modality", "family": "family", "protocol": "protocol"}
    return [(heading, sorted(set(table[column]) - {""})) for heading, column in columns.items()]


def _leaderboard_table(
    table: pd.DataFrame, metric: str, headings: Sequence[str], *, ties: bool
) -> PageTable:
    """Return one leaderboard, with the optional columns among ``headings``."""
    ranking = leaderboard(table, metric, ties=ties)
    for name, column in _OPTIONAL_COLUMNS.items():
        if name in headings and name not in ranking:
            own = table.groupby("method")[column].first()
            ranking.insert(headings.index(name), name, ranking["method"].map(own).fillna(""))
    page_table = PageTable([Column(str(c), number=c not in _TEXT_COLUMNS) for c in ranking])
    mean = list(ranking).index(label(metric))
    for row in ranking.to_dict("records"):
        cells = [value_cell(str(name), value) for name, value in row.items()]
        if row["failed jobs"] and cells[mean].sort:
            cells[mean].text = f"({cells[mean].text})"
            cells[mean].tip = "mean over the seeds that did not fail"
        (page_table.controls if row["family"] == CONTROL else page_table.rows).append(cells)
    return page_table


def score_table(table: pd.DataFrame) -> PageTable:
    """Return one row per method × dataset with all metrics as mean ± interval."""
    keys = [key for key in metric_columns(table) if not is_own_clustering(key)]
    default = [key for key in keys if key in DEFAULT_COLUMNS]
    extra = [key for key in keys if key not in DEFAULT_COLUMNS]
    own = any(is_own_clustering(key) for key in metric_columns(table))
    datasets = list(table["dataset"].unique())
    page_table = PageTable(_score_columns(default, extra, own=own), datasets=datasets)
    summaries = summaries_by_job(summary(table))
    ranks = _dataset_ranks(table)
    groups = {(str(d), str(m)): rows for (d, m), rows in table.groupby(["dataset", "method"])}
    for dataset, method in _sorted_jobs(table, ranks):
        rows = groups[dataset, method]
        values = summaries[method, dataset]
        first = rows.iloc[0]
        cells = [
            text_cell(method),
            text_cell(dataset),
            text_cell(uses_text(rows)),
            value_cell("rank", ranks.get((dataset, method))),
            *(_score_cell(values, key) for key in default[:_BEFORE_COSTS]),
            _score_cell(values, "seconds", 1),
            _score_cell(values, "peak_memory_mb", 0),
            *(_score_cell(values, key) for key in default[_BEFORE_COSTS:]),
            *([_own_score_cell(values, name) for name in _OWN_METRICS] if own else []),
            _seeds_cell(rows),
            Cell(first["family"] or "–", first["family"]),
            Cell(first["profile"] or "–", first["profile"]),
            *(_score_cell(values, key) for key in extra),
            _score_cell(values, "cpu_seconds", 1),
            _score_cell(values, "n_parameters", 0),
        ]
        (page_table.controls if first["family"] == CONTROL else page_table.rows).append(cells)
    return page_table


def _sorted_jobs(table: pd.DataFrame, ranks: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    """Return dataset and method of all rows: by dataset, group of knowledge, rank and name."""
    datasets = list(table["dataset"].unique())
    told = {str(name): str(text) for name, text in table.groupby("method")["told"].first().items()}

    def order(job: tuple[str, str]) -> tuple[int, bool, bool, str, float, str]:
        group, place = told[job[1]], ranks.get(job, math.inf)
        return datasets.index(job[0]), job not in ranks, group != "", group, place, job[1]

    jobs = table[["dataset", "method"]].drop_duplicates().itertuples(index=False)
    return sorted(((str(dataset), str(method)) for dataset, method in jobs), key=order)


def _score_columns(default: list[str], extra: list[str], *, own: bool) -> list[Column]:
    tips = {key: _metric_summary(key) for key in (*default, *extra)}
    own_columns = [
        Column(f"{name.upper()} (own clusters)", tip="the method's own clustering")
        for name in _OWN_METRICS
    ]
    return [
        Column("method", number=False),
        Column("dataset", number=False),
        Column("uses", number=False, tip="information the method gets beyond the counts"),
        Column(
            "rank",
            tip=f"by mean {label(MAIN_METRIC)} on this dataset, among methods told the same about "
            "the types; a method with a failed seed ranks behind methods that finished it",
        ),
        *(Column(label(key), tip=tips[key]) for key in default[:_BEFORE_COSTS]),
        Column("time (s)", tip="wall time of the fit"),
        Column("peak memory (MiB)", tip="above the loaded libraries"),
        *(Column(label(key), tip=tips[key]) for key in default[_BEFORE_COSTS:]),
        *(own_columns if own else []),
        Column("seeds", tip="finished seeds of all seeds"),
        Column("family", number=False),
        Column("profile", number=False),
        *(Column(label(key), extra=True, tip=tips[key]) for key in extra),
        Column("CPU time (s)", extra=True),
        Column("parameters", extra=True, tip="number of trained parameters"),
    ]


def _metric_summary(key: str) -> str:
    metric = registered_metrics().get(key.partition("/")[2])
    return metric.summary if metric else ""


def _dataset_ranks(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Return the rank by dataset and method, among methods that were told the same.

    Methods with equal results share a rank.
    """
    ranks: dict[tuple[str, str], int] = {}
    for told in told_groups(table):
        for dataset, standing in within_datasets(table, told=told).items():
            ranks |= {(dataset, method): rank for method, rank in _places(standing).items()}
    return ranks


def _places(standing: Standing) -> dict[str, int]:
    places: dict[str, int] = {}
    previous, rank = None, 0
    for place, method in enumerate(standing.order, 1):
        level = (standing.means[method], standing.failed.get(method, 0))
        rank = rank if level == previous else place
        places[method] = rank
        previous = level
    return places


def summaries_by_job(summary_rows: pd.DataFrame) -> dict[tuple[str, str], Summaries]:
    """Return the rows of a summary by method and dataset, then by metric."""
    summaries: dict[tuple[str, str], Summaries] = {}
    for record in summary_rows.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        summaries.setdefault((row["method"], row["dataset"]), {})[row["metric"]] = row
    return summaries


def _score_cell(values: Summaries, key: str, digits: int = 3) -> Cell:
    if key not in values:
        return Cell("–")
    row = values[key]
    mean = float(row["mean"])
    if math.isnan(mean):
        return Cell("–", tip=str(row["reason"]))
    text = interval_text(mean, row["half_width"], 1 if key.endswith("/n_clusters") else digits)
    tip = f"{row['n']} seeds" if row["n"] > 1 else "one seed: no interval"
    return Cell(text, repr(mean), tip)


def _own_score_cell(values: Summaries, name: str) -> Cell:
    """Return the scores of a method's own clusterings; several stand with their names."""
    keys = [key for key in values if is_own_clustering(key) and key.endswith(f"/{name}")]
    cells = {key.partition("/")[0]: _score_cell(values, key) for key in keys}
    cells = {clustering: cell for clustering, cell in cells.items() if cell.sort}
    if not cells:
        return Cell("–", tip="the method makes no clusters")
    best = max(cells.values(), key=lambda cell: float(cell.sort))
    text = "; ".join(f"{clustering}: {cell.text}" for clustering, cell in cells.items())
    return Cell(best.text if len(cells) == 1 else text, best.sort, ", ".join(cells))


def _seeds_cell(jobs: pd.DataFrame) -> Cell:
    ran = jobs[~jobs["status"].isin(("skipped", "unavailable"))]
    if not len(ran):
        return Cell(str(jobs["status"].iloc[0]), tip=str(jobs["reason"].iloc[0]))
    done = int((ran["status"] == "done").sum())
    failed = ran[ran["status"].isin(FAILED)]
    reasons = {f"{job.status}: {job.reason}" for job in failed.itertuples()}
    return Cell(f"{done} of {len(ran)}", str(done), "; ".join(sorted(reasons)))


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
            value_cell("median time (s)", row["seconds"]),
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
