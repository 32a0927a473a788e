"""The page's tables as plain cells: text, sort key, tooltip."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..figures.colour_scale import between_controls
from ..tables.claims import within_datasets
from ..tables.eligible import CONTROL, FAILED, NOT_RUN
from ..tables.labels import (
    FIRST,
    MAIN,
    SCALES,
    higher_is_better,
    is_own,
    known_metrics,
    label,
    metric_columns,
    number_text,
    with_interval,
)
from ..tables.leaderboard import leaderboard, summary

if TYPE_CHECKING:
    import pandas as pd

_OWN_FIRST = ("ari", "nmi")
"""Metrics of a method's own clusterings that a page shows."""
_BEFORE_COSTS = 4
"""Metrics left of time and memory, so that a screen shows both kinds."""

_AT_TIMES = {"data": "modality", "protocol": "protocol"}
"""Columns that a leaderboard has only where there are several, and where their text is from."""
_DIRECTIONS = {True: "higher is better", False: "lower is better", None: "no better or worse"}


@dataclass
class Column:
    """A column's heading; ``extra`` ones are shown on demand."""

    text: str
    number: bool = True
    extra: bool = False
    tip: str = ""


@dataclass
class Cell:
    """What a cell shows, and the number it is sorted by (empty: last)."""

    text: str
    sort: str = ""
    tip: str = ""
    link: str = ""


@dataclass
class Grid:
    """A table with its controls apart; the first cell that is a name heads the row."""

    columns: list[Column]
    rows: list[list[Cell]] = field(default_factory=list)
    controls: list[list[Cell]] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)


@dataclass
class Choice:
    """A table with a choice: grids by the numbers of the chosen options, ``0,2`` say."""

    selectors: list[tuple[str, list[str]]]
    grids: dict[str, Grid]

    @property
    def first(self) -> Grid:
        """The grid that is shown first."""
        return next(iter(self.grids.values()))

    @property
    def content(self) -> str:
        """The grids as JSON that may stand in a script element."""
        found = {
            key: {
                "columns": [_column_json(one) for one in grid.columns],
                "rows": [[_cell_json(cell) for cell in row] for row in grid.rows],
                "controls": [[_cell_json(cell) for cell in row] for row in grid.controls],
            }
            for key, grid in self.grids.items()
        }
        text = json.dumps(found, separators=(",", ":"))
        return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _column_json(column: Column) -> dict[str, Any]:
    return {"text": column.text, "number": column.number}


def _cell_json(cell: Cell) -> list[str]:
    """Return text, sort key, tip and link without what is empty at the end."""
    values = [cell.text, cell.sort, cell.tip, cell.link]
    while values and not values[-1]:
        values.pop()
    return values


def boards(table: pd.DataFrame) -> Choice:
    """Return the leaderboards by metric, by dataset or over all, raw or between the controls."""
    ranked = [key for key in metric_columns(table) if higher_is_better(key, table) is not None]
    keys = [key for key in ranked if not is_own(key)] or [MAIN]
    keys.sort(key=lambda key: key != MAIN)
    datasets = [str(name) for name in table["dataset"].unique() if name]
    places = ["all", *datasets] if len(datasets) > 1 else datasets or ["all"]
    sources = {0: table, 1: between_controls(table)}
    headings = list(leaderboard(table, MAIN).columns)
    grids = {}
    for i, key in enumerate(keys):
        for j, place in enumerate(places):
            for k, source in sources.items():
                rows = source if place == "all" else source[source["dataset"] == place]
                if (i, j, k) == (0, 0, 0) or (key in rows and rows[key].notna().any()):
                    grids[f"{i},{j},{k}"] = board(rows, key, headings, ties=key == MAIN and k == 0)
    chosen = [("metric", [label(key) for key in keys]), ("on", places), ("scale", list(SCALES))]
    return Choice(chosen, grids)


def filters(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return by which columns of the leaderboard rows can be kept, with the values."""
    columns = {"data": "modality", "family": "family", "protocol": "protocol"}
    return [(heading, sorted(set(table[column]) - {""})) for heading, column in columns.items()]


def board(
    table: pd.DataFrame, metric: str = MAIN, headings: Sequence[str] = (), *, ties: bool = True
) -> Grid:
    """Return the leaderboard, with all columns of ``headings`` that depend on what is in it."""
    ranking = leaderboard(table, metric, ties=ties)
    for name, column in _AT_TIMES.items():
        if name in headings and name not in ranking:
            own = table.groupby("method")[column].first()
            ranking.insert(headings.index(name), name, ranking["method"].map(own).fillna(""))
    words = ("data", "method", "family", "protocol", "datasets", "tied", "rank 95 %", "note")
    grid = Grid([Column(str(c), number=c not in words) for c in ranking.columns])
    for row in ranking.to_dict("records"):
        cells = [_plain_cell(str(name), value) for name, value in row.items()]
        mean = list(row).index(label(metric))
        if row["failed jobs"] and cells[mean].sort:
            cells[mean].text = f"({cells[mean].text})"
            cells[mean].tip = "mean over the seeds that did not fail"
        (grid.controls if row["family"] == CONTROL else grid.rows).append(cells)
    return grid


def _plain_cell(name: str, value: Any) -> Cell:
    if isinstance(value, str):
        return Cell(value, value)
    number = math.nan if value is None else float(value) if value == value else math.nan
    if math.isnan(number):
        return Cell("–", "")
    return Cell(number_text(number, _digits(name)), repr(number))


def _digits(name: str) -> int:
    if name in ("rank", "failed jobs"):
        return 0
    return {"median time (s)": 1, "peak memory (MiB)": 0, "mean rank": 2}.get(name, 3)


def scores(table: pd.DataFrame) -> Grid:
    """Return one row per method × dataset with all metrics as mean ± interval."""
    found = summary(table)
    keys = [key for key in metric_columns(table) if not is_own(key)]
    extra = [key for key in keys if key not in FIRST]
    keys = [key for key in keys if key in FIRST]
    own = any(is_own(key) for key in metric_columns(table))
    grid = Grid(_columns(keys, extra, own=own), datasets=list(table["dataset"].unique()))
    values = by_job(found)
    ranks = _ranks(table)
    groups = {(str(d), str(m)): rows for (d, m), rows in table.groupby(["dataset", "method"])}
    # By rank within each dataset, whatever was run last.
    order = {(name, method): rank for (method, name), rank in ranks.items()}
    for dataset, method in sorted(
        groups, key=lambda one: (grid.datasets.index(one[0]), order.get(one, math.inf), one[1])
    ):
        jobs = groups[dataset, method]
        part = values[method, dataset]
        first = jobs.iloc[0]
        control = first["family"] == CONTROL
        rank = ranks.get((method, dataset))
        row = [
            Cell(method, method),
            Cell(dataset, dataset),
            Cell(_uses(first["uses"], first["status"]), first["uses"]),
            _plain_cell("rank", rank if rank is not None else math.nan),
            *(_score(part, key) for key in keys[:_BEFORE_COSTS]),
            _score(part, "seconds", 1),
            _score(part, "peak_memory_mb", 0),
            *(_score(part, key) for key in keys[_BEFORE_COSTS:]),
            *([_own(part, name) for name in _OWN_FIRST] if own else []),
            _seeds(jobs),
            Cell(first["family"] or "–", first["family"]),
            Cell(first["profile"] or "–", first["profile"]),
            *(_score(part, key) for key in extra),
            _score(part, "cpu_seconds", 1),
            _score(part, "n_parameters", 0),
        ]
        (grid.controls if control else grid.rows).append(row)
    return grid


def _columns(keys: list[str], extra: list[str], *, own: bool) -> list[Column]:
    words = [Column(name, number=False) for name in ("method", "dataset")]
    words.append(Column("uses", number=False, tip="what it was told beyond the counts"))
    rank = Column(
        "rank",
        tip=f"by mean {label(MAIN)} on this dataset, behind methods that finished a failed seed",
    )
    named = {"ari": "ARI (own clusters)", "nmi": "NMI (own clusters)"}
    return [
        *words,
        rank,
        *(Column(label(key), tip=_tip(key)) for key in keys[:_BEFORE_COSTS]),
        Column("time (s)", tip="wall time of the fit"),
        Column("peak memory (MiB)", tip="above the loaded libraries"),
        *(Column(label(key), tip=_tip(key)) for key in keys[_BEFORE_COSTS:]),
        *([Column(named[name], tip="the method's own clustering") for name in _OWN_FIRST] * own),
        Column("seeds", tip="finished of all"),
        Column("family", number=False),
        Column("profile", number=False),
        *(Column(label(key), extra=True, tip=_tip(key)) for key in extra),
        Column("CPU time (s)", extra=True),
        Column("parameters", extra=True, tip="trained numbers"),
    ]


def _tip(key: str) -> str:
    metric = known_metrics().get(key.partition("/")[2])
    return metric.summary if metric else ""


def _uses(uses: str, status: str) -> str:
    if status in ("skipped", "unavailable"):
        return "–"
    return ", ".join(filter(None, uses.split(","))).replace("_", " ") or "counts only"


def _ranks(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Return the rank of each method on each dataset, without controls; level ones share it."""
    ranks: dict[tuple[str, str], int] = {}
    for dataset, standing in within_datasets(table).items():
        before, rank = None, 0
        for place, method in enumerate(standing.order, 1):
            level = (standing.means[method], standing.failed.get(method, 0))
            rank = rank if level == before else place
            ranks[method, dataset] = rank
            before = level
    return ranks


Values = dict[str, dict[str, Any]]
"""Metric → its row of the summary."""


def by_job(found: pd.DataFrame) -> dict[tuple[str, str], Values]:
    """Return the rows of a summary by method and dataset, then by metric."""
    values: dict[tuple[str, str], Values] = {}
    for row in found.to_dict("records"):
        named = {str(key): value for key, value in row.items()}
        values.setdefault((named["method"], named["dataset"]), {})[named["metric"]] = named
    return values


def _score(part: Values, key: str, digits: int = 3) -> Cell:
    if key not in part:
        return Cell("–", "")
    row = part[key]
    mean, half = float(row["mean"]), float(row["half_width"])
    if math.isnan(mean):
        return Cell("–", "", str(row["reason"]))
    digits = 1 if key.endswith("/n_clusters") else digits
    return Cell(
        with_interval(mean, half, digits),
        repr(mean),
        f"{row['n']} seeds" if row["n"] > 1 else "one seed: no interval",
    )


def _own(part: Values, name: str) -> Cell:
    """Return the scores of a method's own clusterings, named if there are several."""
    keys = [key for key in part if is_own(key) and key.endswith(f"/{name}")]
    cells = {key.partition("/")[0]: _score(part, key) for key in keys}
    cells = {clustering: cell for clustering, cell in cells.items() if cell.sort}
    if not cells:
        return Cell("–", "", "makes no clusters of its own")
    best = max(cells.values(), key=lambda cell: float(cell.sort))
    text = "; ".join(f"{one}: {cell.text}" for one, cell in cells.items())
    return Cell(best.text if len(cells) == 1 else text, best.sort, ", ".join(cells))


def _seeds(jobs: pd.DataFrame) -> Cell:
    ran = jobs[~jobs["status"].isin(("skipped", "unavailable"))]
    done = int((ran["status"] == "done").sum())
    bad = ran[ran["status"].isin(FAILED)]
    if not len(ran):
        return Cell(str(jobs["status"].iloc[0]), "", str(jobs["reason"].iloc[0]))
    tip = "; ".join(sorted({f"{r.status}: {r.reason}" for r in bad.itertuples()}))
    return Cell(f"{done} of {len(ran)}", str(done), tip)


def jobs(table: pd.DataFrame) -> Grid:
    """Return one row a job: how it ended, and the link to its run if there is one."""
    names = ("method", "dataset", "status")
    grid = Grid([*(Column(name, number=False) for name in names), Column("seed")])
    grid.columns += [Column(label(MAIN)), Column("time (s)"), Column("MLflow run", number=False)]
    for row in table[~table["status"].isin(NOT_RUN)].to_dict("records"):
        url = row.get("run_url")
        link = url if isinstance(url, str) else ""
        run = str(row.get("run_id") or "–")
        grid.rows.append([
            *(Cell(str(row[name]), str(row[name])) for name in names),
            _plain_cell("rank", row["seed"]),
            _plain_cell(MAIN, row.get(MAIN)),
            _plain_cell("median time (s)", row["seconds"]),
            Cell(run[:8], run, link=link),
        ])  # fmt: skip
    return grid


def definitions(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return (name, meaning, source) of each metric that the page shows, as far as known."""
    shown = {key.partition("/")[2] for key in metric_columns(table)}
    found = []
    for name, metric in known_metrics().items():
        if name in shown:
            direction = _DIRECTIONS[metric.higher_is_better]
            low, high = metric.bounds
            bounds = f"{low:g} to {high:g}".replace("inf", "any")
            meaning = f"{metric.summary}; {bounds}, {direction}."
            heading = label(f"embedding/{name}")
            found.append((heading, meaning, metric.reference))
    for key in metric_columns(table):
        name = key.partition("/")[2]
        if name not in known_metrics() and name in shown:
            shown.remove(name)
            direction = _DIRECTIONS[higher_is_better(key, table)]
            found.append((label(f"embedding/{name}"), f"Not built in; {direction}.", ""))
    return found
