"""Figures from the literature beside ours; subtracted only where both were made alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..tables.data_versions import OTHER
from ..tables.labels import HARNESS, is_own, label, with_interval
from ..tables.leaderboard import tidy
from ..tables.statistics import Interval, t_interval
from .score_grid import Cell, Column, Grid

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
    "k given": "the number of clusters was the number of true types",
    "labels in training": "the method was told true types, or pairs of cells made from them",
    "chosen by labels": "settings, epoch or resolution were chosen by the score itself",
    "one run": "one run: no spread is known",
    "not like ours": "cells, clustering, settings or metric differ from ours: no difference is "
    "taken; the reason is in the remark",
}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Entry):
    """Where figures were read."""

    citation: str = Field(min_length=1)
    where: str = Field(min_length=1)
    """Address, repository @ commit, or conditions of a measurement."""


class PaperSet(_Entry):
    """A dataset as papers use it, under the name it has (or would have) in the harness."""

    paper: str
    """What papers call it."""
    n_cells: int | None = Field(None, gt=0)
    n_types: int | None = Field(None, gt=0)
    note: str = ""
    """How the harness's own set differs."""


class Record(_Entry):
    """The figures of one method from one source, all made in the same way.

    ``values``: dataset → metric → score, or score and standard deviation over runs. A flag that
    is ``None`` is not stated in the source.
    """

    source: str
    method: str = Field(min_length=1)
    ours: str = ""
    """The same method in the harness with its default parameters; empty if it has none."""
    clustering: Clustering
    verdict: str
    n_runs: int | None = Field(None, ge=1)
    k_from_truth: bool | None = None
    labels_in_training: bool | None = None
    selected_by_labels: bool | None = None
    how: str = Field(min_length=1)
    warning: str = ""
    not_comparable: str = ""
    """Why no difference may be taken, beyond what the flags say."""
    other_definition: dict[Metric, str] = {}
    """Metrics that are not computed as in the harness."""
    values: dict[str, dict[Metric, float | tuple[float, float]]] = Field(min_length=1)

    @model_validator(mode="after")
    def _scores(self) -> Self:
        for dataset, scores in self.values.items():
            for metric, value in scores.items():
                if not -1 <= _mean(value) <= 1:
                    raise ValueError(f"{dataset}: {metric} {_mean(value)} is not within -1 to 1")
        return self


class Published(_Entry):
    """The whole file."""

    verdicts: dict[str, str]
    notes: tuple[str, ...]
    sets: dict[str, PaperSet]
    sources: dict[str, Source]
    records: tuple[Record, ...]

    @model_validator(mode="after")
    def _known(self) -> Self:
        for one in self.records:
            about = f"{one.method} ({one.source})"
            if one.source not in self.sources:
                raise ValueError(f"{about}: no source '{one.source}'")
            if one.verdict not in self.verdicts:
                raise ValueError(f"{about}: no verdict '{one.verdict}'")
            if unknown := sorted(one.values.keys() - self.sets.keys()):
                raise ValueError(f"{about}: no set {', '.join(unknown)}")
        return self


@cache
def load() -> Published:
    """Return the figures of ``published.yaml``; raises ``ValueError`` if the file is wrong."""
    path = Path(__file__).with_name("published.yaml")
    return Published.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def _mean(value: float | tuple[float, float]) -> float:
    return value[0] if isinstance(value, tuple) else value


@dataclass
class Block:
    """The figures of one dataset; ``grid.controls`` are those of methods that were not run."""

    dataset: str
    paper: str
    note: str
    grid: Grid
    remarks: list[str] = field(default_factory=list)
    """How figures were made and what to know of them; the grid has their numbers, from 1."""


@dataclass
class Section:
    """What a page shows of the literature; without blocks it shows nothing."""

    blocks: list[Block] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)
    """Short words that the blocks use → what they mean."""
    sources: list[tuple[int, Source]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def section(results: pd.DataFrame) -> Section:
    """Return the published figures of the datasets in ``results``, with ours beside them."""
    table, known = tidy(results), load()
    numbers: dict[str, int] = {}
    used: set[str] = set()
    found = Section(notes=known.notes)
    for dataset in dict.fromkeys(table["dataset"]):
        name = _set_name(str(dataset), known)
        records = [one for one in known.records if name in one.values]
        if not records:
            continue
        rows = table[table["dataset"] == dataset]
        lines = [_line(one, name, known.sets[name], rows, numbers) for one in records]
        used |= {flag for line in lines for flag in line.flags}
        paper = known.sets[name]
        block = Block(str(dataset), _size(paper), paper.note, Grid(_columns(lines)))
        _fill(block, lines)
        found.blocks.append(block)
    found.flags = {
        word: meaning for word, meaning in (FLAGS | known.verdicts).items() if word in used
    }
    found.sources = [(number, known.sources[key]) for key, number in numbers.items()]
    return found if found.blocks else Section()


def _set_name(dataset: str, known: Published) -> str:
    """Return the set of that very name, or else the one without parameters.

    Empty for older data of a dataset: what papers used is looked for in the newest.
    """
    if OTHER in dataset:
        return ""
    return dataset if dataset in known.sets else dataset.partition("[")[0]


def _size(paper: PaperSet) -> str:
    cells = f"{paper.n_cells:,} cells" if paper.n_cells else ""
    types = f"{paper.n_types} types" if paper.n_types else ""
    return ", ".join(filter(None, (paper.paper, cells, types)))


@dataclass
class _Line:
    """One record on one dataset."""

    record: Record
    scores: dict[Metric, float | tuple[float, float]]
    ours: dict[Metric, Interval]
    apart: dict[Metric, str]
    """Why a metric is not subtracted."""
    flags: list[str]
    number: int


def _line(
    record: Record, name: str, paper: PaperSet, rows: pd.DataFrame, numbers: dict[str, int]
) -> _Line:
    scores = record.values[name]
    mine = _our_rows(rows, record.ours)
    found: dict[Metric, Interval] = {}
    apart: dict[Metric, str] = {}
    for metric in scores:
        if mine is None:
            break
        key = _our_metric(mine, record.clustering, metric)
        interval = t_interval(mine[key]) if key else t_interval([])
        if interval.n:
            found[metric] = interval
            apart[metric] = "; ".join(_differences(record, paper, mine, metric))
    flags = {
        "k given": record.k_from_truth,
        "labels in training": record.labels_in_training,
        "chosen by labels": record.selected_by_labels,
        "one run": record.n_runs == 1,
        "not like ours": any(apart.values()),
        record.verdict: True,
    }
    number = numbers.setdefault(record.source, len(numbers) + 1)
    return _Line(record, scores, found, apart, [w for w, on in flags.items() if on], number)


def _our_rows(rows: pd.DataFrame, name: str) -> pd.DataFrame | None:
    """Return the finished jobs of one variant of a method, its defaults before others."""
    mine = rows[(rows["method_name"] == name) & (rows["status"] == "done")]
    if not name or mine.empty:
        return None
    first = mine.assign(_variant=mine["method"].str.contains("[", regex=False))
    for column in ("profile", "protocol"):
        first[column] = first[column] != "default"
    order = first.sort_values(["_variant", "profile", "protocol", "method"], kind="stable")
    return mine[mine["method"] == order["method"].iloc[0]]


def _our_metric(rows: pd.DataFrame, clustering: Clustering, metric: Metric) -> str:
    """Return our column for a published metric; empty if there is none, or not one only."""
    if clustering in HARNESS:
        key = f"{clustering}/{metric}"
        return key if key in rows else ""
    own = [str(c) for c in rows.columns if is_own(str(c)) and str(c).endswith(f"/{metric}")]
    own = [key for key in own if rows[key].notna().any()]
    return own[0] if clustering == "own" and len(own) == 1 else ""


def _differences(record: Record, paper: PaperSet, rows: pd.DataFrame, metric: Metric) -> list[str]:
    """Return in which ways a published figure was not made like ours."""
    row = rows.iloc[0]
    found = [record.not_comparable, record.other_definition.get(metric, "")]
    for name, there in (("cells", paper.n_cells), ("types", paper.n_types)):
        here = row.get(f"n_{name}")
        if there is None:
            found.append(f"the number of {name} there is not known")
        elif here is not None and here == here and int(here) != there:
            found.append(f"{there:,} {name} there, {int(here):,} here")
    if record.labels_in_training:
        found.append("labels in training there")
    if record.selected_by_labels:
        found.append("chosen by labels there")
    told = "n_clusters" in row["uses"].split(",") or record.clustering == "kmeans"
    if record.k_from_truth is not None and record.k_from_truth != told:
        here_or_there = "here" if told else "there"
        found.append(f"the number of clusters was given {here_or_there} only")
    for column in ("profile", "protocol"):
        if row[column] not in ("", "default"):
            found.append(f"ours with {column} {row[column]}")
    if "[" in row["method"]:
        found.append(f"ours with other settings ({row['method']})")
    return [text for text in found if text]


def _shown(lines: list[_Line]) -> tuple[list[Metric], set[Metric]]:
    """Return the metrics of a block, and those that ours stand beside."""
    shown = [metric for metric in METRICS if any(metric in line.scores for line in lines)]
    return shown, {metric for metric in shown if any(metric in line.ours for line in lines)}


def _columns(lines: list[_Line]) -> list[Column]:
    shown, beside = _shown(lines)
    words = ("method", "clustering", "flags", "remark")
    columns = [Column(name, number=False) for name in words]
    for metric in shown:
        name = label(f"embedding/{metric}")
        columns.append(Column(f"{name}, published", tip="± standard deviation over runs"))
        if metric in beside:
            columns.append(Column(f"{name}, ours", tip="mean ± 95 % t-interval over seeds"))
            columns.append(Column("difference", tip="ours minus published"))
    return [*columns, Column("source", number=False)]


def _fill(block: Block, lines: list[_Line]) -> None:
    """Add the lines with ours first, then the others from the highest score down."""
    shown, beside = _shown(lines)
    for line in sorted(lines, key=_order):
        rows = block.grid.rows if line.ours else block.grid.controls
        text = _remark(line)
        if text not in block.remarks:
            block.remarks.append(text)
        rows.append(_cells(line, shown, beside, str(block.remarks.index(text) + 1)))


def _order(line: _Line) -> tuple[bool, bool, bool, float]:
    first = next((_mean(line.scores[m]) for m in METRICS if m in line.scores), 0.0)
    return not line.ours, "not like ours" in line.flags, "ari" not in line.scores, -first


def _cells(line: _Line, shown: list[Metric], beside: set[Metric], remark: str) -> list[Cell]:
    clustering, flags = _CLUSTERINGS[line.record.clustering], ", ".join(line.flags)
    cells = [Cell(text, text) for text in (line.record.method, clustering, flags)]
    cells.append(Cell(remark, remark, _remark(line)))
    for metric in shown:
        cells.append(_published(line, metric))
        if metric in beside:
            cells += _ours(line, metric)
    return [*cells, Cell(f"[{line.number}]", str(line.number))]


def _remark(line: _Line) -> str:
    """Return how a figure was made, why it is not subtracted, and its warning."""
    parts = [line.record.how, *dict.fromkeys(filter(None, line.apart.values()))]
    text = "; ".join(parts) + "."
    text = text[0].upper() + text[1:]
    return f"{text} {line.record.warning}".strip()


def _published(line: _Line, metric: Metric) -> Cell:
    if metric not in line.scores:
        return Cell("–")
    value = line.scores[metric]
    mean, spread = value if isinstance(value, tuple) else (value, float("nan"))
    return Cell(with_interval(mean, spread, 3), repr(mean))


def _ours(line: _Line, metric: Metric) -> list[Cell]:
    if metric not in line.ours:
        return [Cell("–"), Cell("–")]
    found = line.ours[metric]
    here = Cell(with_interval(found.mean, found.half_width, 3), repr(found.mean))
    if line.apart[metric]:
        return [here, Cell("not comparable", "", line.apart[metric])]
    delta = found.mean - _mean(line.scores[metric])
    return [here, Cell(f"{delta:+.3f}".replace("-", "−"), repr(delta))]
