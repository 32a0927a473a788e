"""The table picture: methods in groups of ties, with their scores as bars and their costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from bench.contract.precomputed import PRECOMPUTED

from ..tables.advice import Advice, advise_by_standing
from ..tables.claims import within_datasets
from ..tables.data_versions import newest_names
from ..tables.eligible import CONTROL, FAILED, NOT_RUN, told_groups, told_words
from ..tables.labels import (
    MAIN_METRIC,
    has_control_scale,
    higher_is_better,
    is_own_clustering,
    json_texts,
    label,
    metric_columns,
    number_text,
    registered_metrics,
)
from ..tables.leaderboard import leaderboard
from ..tables.statistics import Interval, mean_of_means, t_interval
from ..tables.verdict import Sentence, advice_by_group
from .page_table import Cell, Column, PageTable, SelectableTable, text_cell, value_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN = (
    "kmeans/ari", "kmeans/nmi", "leiden/ari", "embedding/silhouette_types",
    "embedding/knn_purity", "embedding/ilisi", "embedding/kbet", "embedding/graph_connectivity",
    "paired/match_auroc", "paired/foscttm", "paired/translation_auroc_genes",
)  # fmt: skip
"""Scores shown at once, in this order; the others are shown on demand."""
OWN = "ARI (own clusters)"
_GROUPS = {
    "clustering": "Clustering", "partition": "Clustering", "embedding": "Structure",
    "counts": "Structure", "batch": "Batches", "integration": "Batches", "rare": "Rare type",
    "paired": "Paired data", "predicted": "Predictions", "aggregate": "scIB",
}  # fmt: skip
"""Kind of a metric → heading."""
COST = "Cost"
_NOT_RANKED, _CONTROLS = "Not ranked", "Controls: the ends of the scale, never ranked"
_LAST = {_NOT_RANKED: 1, _CONTROLS: 2}
_FEW_DATASETS = 3
_COSTS = {
    "time (s)": ("median time (s)", "seconds of one fit, median over jobs"),
    "peak memory (MiB)": ("peak memory (MiB)", "of one fit, above the loaded libraries"),
}
TableColumn = tuple[Column, list[Cell]]
Scores = dict[tuple[str, str], dict[str, Interval]]
"""Method and dataset → metric → its interval over seeds."""


@dataclass(frozen=True)
class _View:
    """One choice of the reader: one dataset, or all of a modality."""

    name: str
    rows: pd.DataFrame
    advice: Mapping[str, Advice]
    """By what the methods were told about the types."""
    scores: Scores

    @cached_property
    def datasets(self) -> list[str]:
        """Names of the datasets; of several versions of one the newest."""
        return newest_names(name for name in self.rows["dataset"].unique() if name)

    @cached_property
    def groups(self) -> dict[str, str]:
        """What each method was told about the types; the family of those that do not compete."""
        first = self.rows.groupby("method")[["told", "family"]].first()
        return {
            str(name): str(family if family in (CONTROL, PRECOMPUTED) else told)
            for name, told, family in first.itertuples()
        }

    @cached_property
    def failed(self) -> set[tuple[str, str]]:
        """Method and dataset of failed jobs."""
        rows = self.rows[self.rows["status"].isin(FAILED)]
        return set(zip(rows["method"], rows["dataset"], strict=True))

    @cached_property
    def valued(self) -> set[tuple[str, str, str]]:
        """Group, dataset and metric of each value."""
        return {
            (self.groups[name], dataset, key)
            for (name, dataset), own in self.scores.items() if name in self.groups
            for key, interval in own.items() if interval.n
        }  # fmt: skip

    def expected(self, method: str, key: str, datasets: Sequence[str]) -> list[str]:
        """Return the datasets on which a method of the same group has a value of a metric."""
        group = self.groups[method]
        return [dataset for dataset in datasets if (group, dataset, key) in self.valued]

    @cached_property
    def endings(self) -> dict[tuple[str, str], list[tuple[str, Mapping[str, str]]]]:
        """Method and dataset → why each job ended early (empty if done), its missing scores."""
        rows = self.rows[["method", "dataset", "status", "reason", "missing"]]
        found: dict[tuple[str, str], list[tuple[str, Mapping[str, str]]]] = {}
        for method, dataset, status, reason, missing in rows.itertuples(index=False):
            done = status == "done"
            ending = ("", json_texts(missing)) if done else (f"{status}: {reason}", {})
            found.setdefault((method, dataset), []).append(ending)
        return found


def overview_tables(table: pd.DataFrame, metric: str = MAIN_METRIC) -> SelectableTable:
    """Return the table over all datasets of a modality, and that of each dataset."""
    keys = [key for key in SHOWN if key in metric_columns(table)]
    keys += [key for key in metric_columns(table) if key not in keys]
    scores = seed_intervals(table, [*keys, "cpu_seconds", "n_parameters"])
    views = _views(table, metric, scores)
    tables = {str(i): _view_table(view, metric, keys) for i, view in enumerate(views)}
    return SelectableTable([("data", [view.name for view in views])], tables)


def seed_intervals(table: pd.DataFrame, keys: Sequence[str]) -> Scores:
    """Return the intervals over the finished seeds of each method and dataset."""
    done = table[table["status"] == "done"]
    groups = done.groupby(["method", "dataset"], sort=False)
    return {
        (str(method), str(dataset)): {key: t_interval(rows[key]) for key in keys if key in rows}
        for (method, dataset), rows in groups
    }


def _views(table: pd.DataFrame, metric: str, scores: Scores) -> list[_View]:
    """Return the choices: all datasets of each modality with several, then each dataset."""
    views = []
    groups = advice_by_group(table, metric)
    several = len({modality for modality, _ in groups}) > 1
    for modality in dict.fromkeys(modality for modality, _ in groups):
        rows = table[table["modality"].isin([modality, ""])] if modality else table
        n_datasets = rows["dataset"].nunique()
        if n_datasets > 1:
            advice = {told: one for (name, told), one in groups.items() if name == modality}
            name = f"all {n_datasets} {modality + ' ' if several else ''}datasets"
            views.append(_View(name, rows, advice, scores))
    within = {told: within_datasets(table, metric, told) for told in told_groups(table)}
    for dataset in [str(name) for name in table["dataset"].unique() if name]:
        rows = table[table["dataset"] == dataset]
        own = {told: standings.get(dataset) for told, standings in within.items()}
        advice = {
            told: advise_by_standing(standing, rows, metric, [dataset])
            for told, standing in own.items() if standing is not None
        }  # fmt: skip
        views.append(_View(dataset, rows, advice, scores))
    return views


def _view_table(view: _View, metric: str, keys: list[str]) -> PageTable:
    ran = set(view.rows.loc[~view.rows["status"].isin(NOT_RUN), "method"])
    board = leaderboard(view.rows, metric, ties=False)
    board = board[board["method"].isin(ran)].reset_index(drop=True)
    columns = _leading(board, metric, view)
    columns += _scores(board, view, keys)
    by_dataset = _by_dataset(board, view, metric) if len(view.datasets) > 1 else []
    parts = [by_dataset, _costs(board, view)]
    # Many datasets would push the costs off the screen.
    for part in parts if len(by_dataset) <= _FEW_DATASETS else reversed(parts):
        columns += part
    tip = "what the fits got beyond the counts"
    columns.append((Column("uses", number=False, tip=tip), list(map(text_cell, board["uses"]))))
    columns.sort(key=lambda pair: pair[0].extra)
    answers = [
        Sentence(advice.text, f"Told {told_words(told)}" if told else "")
        for told, advice in view.advice.items()
    ]
    page_table = PageTable([column for column, _ in columns], answers=answers, notes=_notes(board))
    headings = _headings(board, view)
    for row, heading in sorted(enumerate(headings), key=lambda pair: _LAST.get(pair[1], 0)):
        page_table.add([cells[row] for _, cells in columns], heading)
    return page_table


def _notes(board: pd.DataFrame) -> dict[str, list[str]]:
    """Return the notes on methods, each with its methods; those on controls are left out."""
    rows = board[(board["note"] != "") & (board["family"] != CONTROL)]
    return {str(note): list(part["method"]) for note, part in rows.groupby("note", sort=False)}


def _scores(board: pd.DataFrame, view: _View, keys: list[str]) -> list[TableColumn]:
    """Return the scores; those of the methods' own clusters as one column."""
    columns: list[TableColumn] = []
    own = [key for key in keys if is_own_clustering(key) and key.endswith("/ari")]
    for key in [key for key in keys if not is_own_clustering(key)]:
        column = _score_column(key, view.rows)
        if own and column.group != "Clustering":
            cells = [_best_own(view, name, own) for name in board["method"]]
            tip = "the best of the method's own clusterings"
            makers = zip(cells, board["family"], strict=True)
            if any(cell.sort and family != CONTROL for cell, family in makers):
                columns.append((Column(OWN, group="Clustering", descending=True, tip=tip), cells))
            own = []
        cells = [_mean_cell(view, name, view.datasets, key) for name in board["method"]]
        if any(cell.sort for cell in cells):
            _add_bars(cells, board, key, view.rows)
            columns.append((column, cells))
    return columns


def _headings(board: pd.DataFrame, view: _View) -> list[str]:
    """Return the heading of the block of each row."""
    rows = zip(board["method"], board["rank"], strict=True)
    return [_heading(name, rank, view.groups[name], view) for name, rank in rows]


def _heading(method: str, rank: float, told: str, view: _View) -> str:
    if told == CONTROL:
        return _CONTROLS
    if pd.isna(rank):
        return _NOT_RANKED
    if told:
        return f"Told {told_words(told)}: ranked among each other"
    advice = view.advice.get("", Advice(""))
    apart = len(view.datasets) > 1 and not advice.letters  # too few datasets for a claim over them
    somewhere, anywhere = (" on a dataset", " on any dataset") if apart else ("", "")
    if not advice.tied:
        return "In the order of the ranks: nothing is claimed"
    if method not in advice.tied:
        lost = ", or seeds failed" if advice.failed else ""
        return f"Not tied: another method is reliably better{somewhere}{lost}"
    alone = "First: reliably better than every other method"
    tied = f"Tied for first: no method is reliably better{anywhere}"
    return tied if len(advice.tied) > 1 or anywhere else alone


def _leading(board: pd.DataFrame, metric: str, view: _View) -> list[TableColumn]:
    """Return rank, method and letters."""
    several = len(view.datasets) > 1
    letters = {k: v for advice in view.advice.values() for k, v in advice.letters.items()}
    rank_tip = (
        f"order of the mean ranks by {label(metric)} over the datasets that all ranked methods "
        "finished; a method with a failed seed ranks behind those that finished it"
    )
    columns = [
        (Column("rank", tip=rank_tip), list(map(_rank_cell, board["rank"]))),
        (Column("method", number=False), [
            text_cell(str(name)) for name in board["method"]
        ]),
    ]  # fmt: skip
    if several and board["mean rank"].notna().any():
        tip = "of the ranks on the datasets; decides the rank"
        cells = [value_cell("mean rank", value) for value in board["mean rank"]]
        columns.append((Column("mean rank", tip=tip), cells))
    if letters:
        tip = f"methods that share a letter do not reliably differ in {label(metric)}"
        cells = [text_cell(letters.get(str(name), "")) for name in board["method"]]
        columns.append((Column("tied", number=False, tip=tip), cells))
    return columns


def _rank_cell(rank: float) -> Cell:
    return Cell("–") if pd.isna(rank) else Cell(f"{rank:.0f}", f"{rank:.0f}")


def _score_column(key: str, table: pd.DataFrame) -> Column:
    metric = registered_metrics().get(key.partition("/")[2])
    better = higher_is_better(key, table)
    low = "" if better else "lower is better" if better is False else "no better or worse"
    tip = "; ".join(filter(None, (metric.summary if metric else "", low)))
    group = _GROUPS.get(metric.kind, "More") if metric else "More"
    extra = key not in SHOWN
    return Column(
        label(key), tip=tip, group="More scores" if extra else group, extra=extra,
        descending=better is not False,
    )  # fmt: skip


def _mean_cell(view: _View, method: str, datasets: Sequence[str], key: str) -> Cell:
    """Return the mean over datasets; none if one is lacking that its group has a value on."""
    expected = view.expected(method, key, datasets)
    none = t_interval([])
    parts = [view.scores.get((method, d), {}).get(key, none) for d in expected]
    lacking = [d for d, part in zip(expected, parts, strict=True) if not part.n]
    if lacking or not parts:
        return Cell("–", tip=_reason(view, method, lacking or datasets, key))
    mean, half = mean_of_means(parts)
    digits = 1 if key.endswith("n_clusters") else 3 if "/" in key else 0
    seeds = sorted({part.n for part in parts})
    n_seeds = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seeds"
    if seeds == [1]:
        n_seeds = "one seed, no interval"
    on = f"{len(parts)} datasets, " * (len(parts) > 1)
    text, spread = number_text(mean, digits), ""
    if not math.isnan(half):
        spread = f" ± {number_text(half, digits)}"
    tip = f"{method}, {label(key)}: {text}{spread} ({on}{n_seeds})"
    if any((method, dataset) in view.failed for dataset in expected):
        text, tip = f"({text})", f"{tip}; without failed seeds"
    return Cell(text, repr(mean), tip, spread=spread)


def _reason(view: _View, method: str, datasets: Sequence[str], key: str) -> str:
    """Return why a method has no value of a metric on some datasets."""
    endings = [one for dataset in datasets for one in view.endings.get((method, dataset), [])]
    texts = [early or missing.get(key, "not recorded") for early, missing in endings]
    return "; ".join(dict.fromkeys(texts)) or f"not run on {', '.join(datasets)}"


def _add_bars(cells: Sequence[Cell], board: pd.DataFrame, key: str, table: pd.DataFrame) -> None:
    """Set the bars: empty at the control random, full at truth, else between the bounds."""
    better = higher_is_better(key, table)
    if better is None:
        return
    values = [float(cell.sort) if cell.sort else math.nan for cell in cells]
    control = board["family"] == CONTROL
    ends = [
        [v for v, m, c in zip(values, board["method"], control, strict=True)
         if c and m.split(" ")[0] == name and not math.isnan(v)]
        for name in ("random", "truth")
    ]  # fmt: skip
    if all(ends) and has_control_scale(key):
        low, high = (sum(end) / len(end) for end in ends)
    else:
        metric = registered_metrics().get(key.partition("/")[2])
        low, high = metric.bounds if metric else (math.inf, math.inf)
        low = max(low, 0.0) if math.isfinite(high) else min(v for v in values if v == v)
        high = high if math.isfinite(high) else max(v for v in values if v == v)
        low, high = (low, high) if better else (high, low)
    for cell in cells:
        if cell.sort and low != high:
            share = 100 * (float(cell.sort) - low) / (high - low)
            cell.bar = round(min(max(share, 0.0), 100.0))


def _best_own(view: _View, method: str, keys: Sequence[str]) -> Cell:
    """Return the best of the method's own clusterings."""
    found = [_mean_cell(view, method, view.datasets, key) for key in keys]
    found = [cell for cell in found if cell.sort]
    return max(found, key=lambda cell: float(cell.sort)) if found else Cell("–", tip="makes none")


def _by_dataset(board: pd.DataFrame, view: _View, metric: str) -> list[TableColumn]:
    """Return the main score on each dataset."""
    columns = []
    group = f"{label(metric).partition(' (')[0]} by dataset"
    for dataset in view.datasets:
        cells = [_mean_cell(view, name, [dataset], metric) for name in board["method"]]
        if any(cell.sort for cell in cells):
            _add_bars(cells, board, metric, view.rows)
            column = _score_column(metric, view.rows)
            tip = f"{label(metric)} on {dataset}"
            columns.append((replace(column, text=dataset, tip=tip, group=group), cells))
    return columns


def _costs(board: pd.DataFrame, view: _View) -> list[TableColumn]:
    """Return time, memory, failures and, on demand, further costs."""
    columns = []
    for name, (source, about) in _COSTS.items():
        cells = [value_cell(name, value) for value in board[source]]
        logs = [math.log(float(c.sort)) if c.sort and float(c.sort) > 0 else None for c in cells]
        known = [value for value in logs if value is not None]
        for cell, value in zip(cells, logs, strict=True):
            if value is not None and max(known) > min(known):
                cell.bar = round(100 * (value - min(known)) / (max(known) - min(known)))
        columns.append((Column(name, tip=f"{about}; dots on a log scale", group=COST), cells))
    jobs = view.rows[~view.rows["status"].isin(NOT_RUN)].groupby("method").size()
    failed = [
        Cell(f"{n} of {jobs[m]}" if n else "0", str(n))
        for m, n in zip(board["method"], board["failed jobs"], strict=True)
    ]
    columns.append((Column("failed", tip="failed jobs", group=COST, descending=True), failed))
    for key in ("cpu_seconds", "n_parameters"):
        cells = [_mean_cell(view, name, view.datasets, key) for name in board["method"]]
        if any(cell.sort for cell in cells):
            columns.append((Column(label(key), group="More costs", extra=True), cells))
    return columns
