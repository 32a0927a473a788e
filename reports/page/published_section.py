"""Published scores beside ours; a difference is shown only where both are comparable."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..tables.data_versions import OLDER_MARK
from ..tables.labels import HARNESS_PARTS, interval_text, is_own_clustering, label
from ..tables.leaderboard import tidy
from ..tables.statistics import Interval, t_interval
from .page_table import Cell, Column, PageTable, text_cell

if TYPE_CHECKING:
    import pandas as pd

Metric = Literal["ari", "nmi", "accuracy", "silhouette"]
METRICS: tuple[Metric, ...] = ("ari", "nmi", "accuracy", "silhouette")
Clustering = Literal["kmeans", "leiden", "louvain", "ward", "gmm", "own", "not stated"]
_CLUSTERINGS: dict[Clustering, str] = {
    "kmeans": "k-means",
    "leiden": "Leiden",
    "louvain": "Louvain",
    "ward": "Ward",
    "gmm": "Gaussian mixture",
    "own": "own clusters",
    "not stated": "not stated",
}
FLAGS = {
    "k given": "the method got the true number of types as its number of clusters",
    "labels in training": "the method was trained with true types, or with pairs of cells made "
    "from them",
    "chosen by labels": "settings, epoch or resolution were chosen by the score itself",
    "one run": "one run only: the spread is unknown",
    "not comparable": "cells, clustering, settings or metric differ from ours, so no difference "
    "is shown; the remark has the reason",
}
"""Short words of the tables and their meaning."""


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_StrictModel):
    """Source of published scores."""

    citation: str = Field(min_length=1)
    where: str = Field(min_length=1)
    """Address, repository @ commit, or conditions of a measurement."""


class PaperSet(_StrictModel):
    """A dataset as papers use it, by its name in the harness."""

    paper: str
    """Name in papers."""
    n_cells: int | None = Field(None, gt=0)
    n_types: int | None = Field(None, gt=0)
    note: str = ""
    """Differences from the dataset of the harness."""


class Record(_StrictModel):
    """The scores of one method from one source, all obtained in the same way.

    ``values``: dataset → metric → score, or score and standard deviation over runs. A flag is
    ``None`` if the source does not state it.
    """

    source: str
    method: str = Field(min_length=1)
    ours: str = ""
    """Name of the method in the harness; empty if it is not there."""
    clustering: Clustering
    verdict: str
    n_runs: int | None = Field(None, ge=1)
    k_from_truth: bool | None = None
    labels_in_training: bool | None = None
    selected_by_labels: bool | None = None
    how: str = Field(min_length=1)
    warning: str = ""
    not_comparable: str = ""
    """Reason against a comparison, beyond those of the flags."""
    other_definition: dict[Metric, str] = {}
    """Metric → how its definition differs from that of the harness."""
    values: dict[str, dict[Metric, float | tuple[float, float]]] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_scores(self) -> Self:
        for dataset, scores in self.values.items():
            for metric, value in scores.items():
                if not -1 <= _mean(value) <= 1:
                    raise ValueError(f"{dataset}: {metric} is {_mean(value)}, expected -1 to 1")
        return self


class PublishedFile(_StrictModel):
    """The content of ``published.yaml``."""

    verdicts: dict[str, str]
    notes: tuple[str, ...]
    sets: dict[str, PaperSet]
    sources: dict[str, Source]
    records: tuple[Record, ...]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for record in self.records:
            name = f"{record.method} ({record.source})"
            if record.source not in self.sources:
                raise ValueError(f"{name}: no source '{record.source}'")
            if record.verdict not in self.verdicts:
                raise ValueError(f"{name}: no verdict '{record.verdict}'")
            if unknown := sorted(record.values.keys() - self.sets.keys()):
                raise ValueError(f"{name}: no set {', '.join(unknown)}")
        return self


@cache
def load_published() -> PublishedFile:
    """Return the content of ``published.yaml``; raises ``ValueError`` if the file is wrong."""
    path = Path(__file__).with_name("published.yaml")
    return PublishedFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def _mean(value: float | tuple[float, float]) -> float:
    return value[0] if isinstance(value, tuple) else value


def _deviation(value: float | tuple[float, float]) -> float:
    return value[1] if isinstance(value, tuple) else float("nan")


@dataclass
class PublishedDataset:
    """The published scores of one dataset.

    Methods without a score of ours stand in a block of their own.
    """

    dataset: str
    paper: str
    note: str
    table: PageTable
    remarks: list[str] = field(default_factory=list)
    """Remarks on the rows; the table holds their numbers, from 1."""


@dataclass
class PublishedSection:
    """The published scores on the page; without datasets the section is not shown."""

    datasets: list[PublishedDataset] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)
    """Flags in use → their meaning."""
    sources: list[tuple[int, Source]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def published_section(results: pd.DataFrame) -> PublishedSection:
    """Return the published scores of the datasets in ``results``, with ours beside them."""
    table, literature = tidy(results), load_published()
    source_numbers: dict[str, int] = {}
    flags: set[str] = set()
    section = PublishedSection(notes=literature.notes)
    for dataset in dict.fromkeys(table["dataset"]):
        name = _set_name(str(dataset), literature)
        records = [record for record in literature.records if name in record.values]
        if not records:
            continue
        rows = table[table["dataset"] == dataset]
        paper = literature.sets[name]
        lines = [_line(record, name, rows, source_numbers) for record in records]
        flags |= {flag for line in lines for flag in line.flags}
        section.datasets.append(_published_dataset(str(dataset), paper, lines))
    meanings = FLAGS | literature.verdicts
    section.flags = {word: meaning for word, meaning in meanings.items() if word in flags}
    section.sources = [(n, literature.sources[key]) for key, n in source_numbers.items()]
    return section if section.datasets else PublishedSection()


def published_pairs(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each published score of which there is one of ours.

    Keys: ``dataset``, ``method`` (as published), ``clustering``, ``metric``, ``published``,
    ``deviation`` (standard deviation there, NaN if not stated), ``ours`` (mean over seeds),
    ``half_width`` (95 % over seeds), ``source``, and ``not_comparable`` with the reason, empty if
    both were made alike.
    """
    table, literature = tidy(results), load_published()
    pairs = []
    for dataset in dict.fromkeys(table["dataset"]):
        name = _set_name(str(dataset), literature)
        rows = table[table["dataset"] == dataset]
        for record in literature.records if name in literature.sets else ():
            if name not in record.values:
                continue
            line = _line(record, name, rows, {})
            for metric, ours in line.ours.items():
                pairs.append({
                    "dataset": str(dataset), "method": record.method,
                    "clustering": _CLUSTERINGS[record.clustering], "metric": metric,
                    "published": _mean(line.scores[metric]),
                    "deviation": _deviation(line.scores[metric]), "ours": ours.mean,
                    "half_width": ours.half_width,
                    "source": literature.sources[record.source].citation,
                    "not_comparable": line.differences[metric],
                })  # fmt: skip
    return pairs


def _set_name(dataset: str, literature: PublishedFile) -> str:
    """Return the set of the same name, else the one without parameters.

    Empty for older data of a dataset: papers are compared with the newest.
    """
    if OLDER_MARK in dataset:
        return ""
    return dataset if dataset in literature.sets else dataset.partition("[")[0]


def _paper_text(paper: PaperSet) -> str:
    cells = f"{paper.n_cells:,} cells" if paper.n_cells else ""
    types = f"{paper.n_types} types" if paper.n_types else ""
    return ", ".join(filter(None, (paper.paper, cells, types)))


@dataclass
class _Line:
    """One record on one dataset."""

    record: Record
    scores: dict[Metric, float | tuple[float, float]]
    ours: dict[Metric, Interval]
    differences: dict[Metric, str]
    """Metric → why it is not comparable with ours; empty if it is."""
    flags: list[str]
    number: int


def _line(record: Record, name: str, rows: pd.DataFrame, source_numbers: dict[str, int]) -> _Line:
    scores = record.values[name]
    own = _our_rows(rows, record.ours)
    ours: dict[Metric, Interval] = {}
    differences: dict[Metric, str] = {}
    for metric in scores if len(own) else ():
        key = _our_metric(own, record.clustering, metric)
        interval = t_interval(own[key]) if key else t_interval([])
        if interval.n:
            ours[metric] = interval
            differences[metric] = "; ".join(_differences(record, name, own, metric))
    flags = {
        "k given": record.k_from_truth,
        "labels in training": record.labels_in_training,
        "chosen by labels": record.selected_by_labels,
        "one run": record.n_runs == 1,
        "not comparable": any(differences.values()),
        record.verdict: True,
    }
    number = source_numbers.setdefault(record.source, len(source_numbers) + 1)
    words = [word for word, holds in flags.items() if holds]
    return _Line(record, scores, ours, differences, words, number)


def _our_rows(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the finished jobs of one configuration of a method, its default if possible.

    Empty if the method has no name in the harness or no finished job.
    """
    own = rows[(rows["method_name"] == name) & (rows["status"] == "done")]
    if not name or own.empty:
        return own.iloc[:0]
    keys = own.assign(_variant=own["method"].str.contains("[", regex=False))
    for column in ("profile", "protocol"):
        keys[column] = keys[column] != "default"
    order = keys.sort_values(["_variant", "profile", "protocol", "method"], kind="stable")
    return own[own["method"] == order["method"].iloc[0]]


def _our_metric(rows: pd.DataFrame, clustering: Clustering, metric: Metric) -> str:
    """Return our column for a published metric; empty unless there is exactly one."""
    if clustering in HARNESS_PARTS:
        key = f"{clustering}/{metric}"
        return key if key in rows else ""
    own = [
        str(c) for c in rows.columns if is_own_clustering(str(c)) and str(c).endswith(f"/{metric}")
    ]
    own = [key for key in own if rows[key].notna().any()]
    return own[0] if clustering == "own" and len(own) == 1 else ""


def _differences(record: Record, name: str, rows: pd.DataFrame, metric: Metric) -> list[str]:
    """Return the reasons why a published score is not comparable with ours."""
    row = rows.iloc[0]
    reasons = [record.not_comparable, record.other_definition.get(metric, "")]
    paper = load_published().sets[name]
    for unit, published in (("cells", paper.n_cells), ("types", paper.n_types)):
        ours = row.get(f"n_{unit}")
        if published is None:
            reasons.append(f"the number of {unit} there is not known")
        elif ours is not None and ours == ours and int(ours) != published:
            reasons.append(f"{published:,} {unit} there, {int(ours):,} here")
    if record.labels_in_training:
        reasons.append("labels in training there")
    if record.selected_by_labels:
        reasons.append("chosen by labels there")
    k_given = "n_clusters" in row["uses"].split(",") or record.clustering == "kmeans"
    if record.k_from_truth is not None and record.k_from_truth != k_given:
        place = "here" if k_given else "there"
        reasons.append(f"the number of clusters was given {place} only")
    for column in ("profile", "protocol"):
        if row[column] not in ("", "default"):
            reasons.append(f"ours with {column} {row[column]}")
    if "[" in row["method"]:
        reasons.append(f"ours with other settings ({row['method']})")
    if "[" in row["dataset"] and row["dataset"] != name:
        reasons.append(f"other data ({row['dataset']})")
    return [reason for reason in reasons if reason]


def _published_dataset(dataset: str, paper: PaperSet, lines: list[_Line]) -> PublishedDataset:
    """Return the table of a dataset: first methods with scores of ours, then the others."""
    metrics = [metric for metric in METRICS if any(metric in line.scores for line in lines)]
    ours = {metric for metric in metrics if any(metric in line.ours for line in lines)}
    table = PageTable(_columns(metrics, ours))
    block = PublishedDataset(dataset, _paper_text(paper), paper.note, table)
    for line in sorted(lines, key=_line_order):
        remark = _remark(line)
        if remark not in block.remarks:
            block.remarks.append(remark)
        number = str(block.remarks.index(remark) + 1)
        heading = "" if line.ours else "For orientation: no score of ours"
        table.add(_cells(line, metrics, ours, number), heading)
    return block


def _columns(metrics: list[Metric], ours: set[Metric]) -> list[Column]:
    names = ("method", "clustering", "flags", "remark")
    columns = [Column(name, number=False) for name in names]
    for metric in metrics:
        name = label(f"embedding/{metric}")
        columns.append(Column(f"{name}, published", tip="± standard deviation over runs"))
        if metric in ours:
            columns.append(Column(f"{name}, ours", tip="mean ± 95 % t-interval over seeds"))
            columns.append(Column("difference", tip="ours minus published"))
    return [*columns, Column("source", number=False)]


def _line_order(line: _Line) -> tuple[bool, bool, bool, float]:
    score = next((_mean(line.scores[m]) for m in METRICS if m in line.scores), 0.0)
    return not line.ours, "not comparable" in line.flags, "ari" not in line.scores, -score


def _cells(line: _Line, metrics: list[Metric], ours: set[Metric], number: str) -> list[Cell]:
    clustering = _CLUSTERINGS[line.record.clustering]
    words = (line.record.method, clustering, ", ".join(line.flags))
    cells = [*(text_cell(word) for word in words), text_cell(number, _remark(line))]
    for metric in metrics:
        cells.append(_published_cell(line, metric))
        if metric in ours:
            cells += _our_cells(line, metric)
    return [*cells, Cell(f"[{line.number}]", str(line.number))]


def _remark(line: _Line) -> str:
    """Return how a score was obtained, why it is not comparable, and its warning."""
    parts = [line.record.how, *dict.fromkeys(filter(None, line.differences.values()))]
    text = "; ".join(parts) + "."
    return f"{text[0].upper()}{text[1:]} {line.record.warning}".strip()


def _published_cell(line: _Line, metric: Metric) -> Cell:
    if metric not in line.scores:
        return Cell("–")
    value = line.scores[metric]
    return Cell(interval_text(_mean(value), _deviation(value), 3), repr(_mean(value)))


def _our_cells(line: _Line, metric: Metric) -> list[Cell]:
    """Return our score and its difference from the published one."""
    if metric not in line.ours:
        return [Cell("–"), Cell("–")]
    interval = line.ours[metric]
    score = Cell(interval_text(interval.mean, interval.half_width, 3), repr(interval.mean))
    if line.differences[metric]:
        return [score, Cell("not comparable", tip=line.differences[metric])]
    difference = interval.mean - _mean(line.scores[metric])
    return [score, Cell(f"{difference:+.3f}".replace("-", "−"), repr(difference))]
