"""A report as a site: an index, a page of each dataset and a page of each method.

Styles and scripts are files that all pages share; pages link to each other by relative addresses,
so that any web server, or none, can show them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..figures.static_figures import file_name
from ..tables.leaderboard import scores_long
from ..tables.verdict import Sentence, counts
from .markdown import report_markdown
from .page_table import Cell, Column, PageTable, SelectableTable, text_cell
from .published_section import PublishedSection
from .report_page import (
    NO_UMAPS,
    TEMPLATES,
    Findings,
    ReportSource,
    UmapSection,
    page_values,
    part_values,
    render_page,
    umap_section,
    write_atomically,
    write_text,
)

if TYPE_CHECKING:
    import pandas as pd

    from .cards import FactCard

_SHARED = ("page.css", "page.js", "cells.js")
_PAGE = "page.html.j2"
_SCORES = "scores.csv.gz"
"""All scores of a large grid are many megabytes as text."""


def write_site(
    results: pd.DataFrame, folder: Path, source: ReportSource, umap_folder: Path | None = None
) -> Path:
    """Write ``index.html``, ``datasets/`` and ``methods/`` into ``folder``; returns the index.

    ``results`` is the table of ``bench.load_results``. ``umap_folder`` keeps UMAP coordinates for
    later reports; ``None``: no UMAPs. Raises ``ValueError`` without results, and
    ``OSError`` if the folder cannot be written.
    """
    if results.empty:
        raise ValueError("there are no results to report")
    found = Findings.of(results)
    for name in ("datasets", "methods"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in _SHARED:
        write_text(folder / name, (TEMPLATES / name).read_text(encoding="utf-8"))
    scores = scores_long(found.results)
    packed = {"method": "gzip", "mtime": 0}
    write_atomically(
        folder / _SCORES, lambda path: scores.to_csv(path, index=False, compression=packed)
    )
    write_atomically(folder / "scores.parquet", scores.to_parquet)
    text = report_markdown(
        results, title=source.title, command=source.command, studies=source.studies
    )
    write_text(folder / "summary.md", text)
    umaps = umap_section(found.results, umap_folder) if umap_folder else NO_UMAPS
    common = page_values(found, source, None) | {"scores": _SCORES}
    for dataset in map(str, found.whole["dataset"].unique()):
        _write_dataset(folder, dataset, found, source, umaps, common)
    for method in [card.title for card in common["method_cards"]]:
        _write_method(folder, method, found, source, umaps, common)
    return _write_index(folder, found, common)


def _write_index(folder: Path, found: Findings, common: dict[str, Any]) -> Path:
    """Write the page over all datasets; figures of one dataset are on its page."""
    overview = _views(found, lambda name, n: n == 1 or name.startswith("all "))
    values = common | {
        "drawings": {"seeds": [], "quality": [], "curves": []},
        "confusion": None, "published": PublishedSection(),
        "overview": _linked_tables(overview, ""),
        "dataset_cards": _linked_cards(common["dataset_cards"], "datasets/"),
        "method_cards": _linked_cards(common["method_cards"], "methods/"),
    }  # fmt: skip
    return write_text(folder / "index.html", render_page(_PAGE, up="", **values))


def _write_dataset(
    folder: Path, dataset: str, found: Findings, source: ReportSource, umaps: UmapSection,
    common: dict[str, Any],
) -> None:  # fmt: skip
    """Write the page of a dataset; what it claims is what the index claims."""
    rows = found.whole[found.whole["dataset"] == dataset]
    labelled = found.labelled[found.labelled["dataset"] == dataset]
    groups = [group for group in umaps.groups if group.dataset == dataset]
    own = replace(source, title=f"{dataset}: {rows['method'].nunique()} methods")
    overview = _views(found, lambda name, n: name == dataset)
    answers = [sentence for table in overview.tables.values() for sentence in table.answers]
    answers += [sentence for sentence in found.sentences if dataset in sentence.about]
    pairs = found.pairs
    if pairs is not None and dataset in pairs.names:
        place = str(pairs.names.index(dataset))
        pairs = replace(pairs, names=[dataset], matrices={"0": pairs.matrices[place]},
                        tables={"0": pairs.tables[place]})  # fmt: skip
    else:
        pairs = None
    values = common | part_values(rows, labelled, own, replace(umaps, groups=groups))
    values |= {
        "counts": counts(rows), "answers": answers or found.sentences[:1], "details": [],
        "pairs": pairs, "ranks": [],
        "studies": [s for s in common["studies"] if f" on {dataset} (" in s.title],
        "overview": _linked_tables(overview, "../"),
        "method_cards": _linked_cards(values["method_cards"], "../methods/"),
    }  # fmt: skip
    values["ranked"] = found.ranked and bool(values["overview"].tables)
    path = folder / "datasets" / f"{file_name(dataset)}.html"
    write_text(path, render_page(_PAGE, up="../", **values))


def _write_method(
    folder: Path, method: str, found: Findings, source: ReportSource, umaps: UmapSection,
    common: dict[str, Any],
) -> None:  # fmt: skip
    """Write the page of a method: its card, its scores on each dataset, its jobs."""
    rows = found.whole[found.whole["method"] == method]
    labelled = found.labelled[found.labelled["method"] == method]
    groups = [
        replace(group, pictures=[p for p in group.pictures if p.title == method])
        for group in umaps.groups
    ]
    groups = [group for group in groups if group.pictures]
    names = rows["dataset"].unique()
    where = f"{len(names)} datasets" if len(names) > 1 else str(names[0])
    own = replace(source, title=f"{method} on {where}")
    places, table = _method_table(found, method)
    values = common | part_values(rows, labelled, own, replace(umaps, groups=groups))
    overview = SelectableTable([("data", ["each dataset"])], {"0": table})
    values |= {
        "counts": counts(rows), "answers": places, "details": [], "pairs": None, "ranks": [],
        "studies": [],
        "ranked": bool(table.rows), "overview": overview,
        "dataset_cards": _linked_cards(values["dataset_cards"], "../datasets/"),
        "label_free": None, "published": PublishedSection(),
        "drawings": values["drawings"] | {"quality": [], "seeds": []},
    }  # fmt: skip
    path = folder / "methods" / f"{file_name(method)}.html"
    write_text(path, render_page(_PAGE, up="../", **values))


def _views(found: Findings, wanted: Any) -> SelectableTable:
    """Return the tables whose name, and number of all tables, are ``wanted``."""
    if found.overview is None:
        return SelectableTable([("data", [])], {})
    names = found.overview.selectors[0][1]
    kept = [i for i, name in enumerate(names) if wanted(name, len(names))]
    tables = {str(new): found.overview.tables[str(old)] for new, old in enumerate(kept)}
    return SelectableTable([("data", [names[i] for i in kept])], tables)


def _linked_tables(tables: SelectableTable, up: str) -> SelectableTable:
    """Return the tables with links to the pages of the methods."""
    return replace(tables, tables={key: _linked(one, up) for key, one in tables.tables.items()})


def _linked(table: PageTable, up: str) -> PageTable:
    place = [column.text for column in table.columns].index("method")

    def row(cells: list[Cell]) -> list[Cell]:
        link = f"{up}methods/{file_name(cells[place].text)}.html"
        return [replace(c, link=link) if i == place else c for i, c in enumerate(cells)]

    blocks = {heading: list(map(row, rows)) for heading, rows in table.blocks.items()}
    return replace(table, rows=list(map(row, table.rows)), blocks=blocks)


def _linked_cards(cards: list[FactCard], folder: str) -> list[FactCard]:
    return [replace(card, link=f"{folder}{file_name(card.title)}.html") for card in cards]


def _method_table(found: Findings, method: str) -> tuple[list[Sentence], PageTable]:
    """Return how a method stands in each view, and its row of each as one table."""
    places: list[Sentence] = []
    rows: list[dict[str, Cell]] = []
    columns: dict[str, Column] = {}
    notes: dict[str, list[str]] = {}
    overview = found.overview or SelectableTable([("data", [])], {})
    datasets = set(found.whole["dataset"])
    for name, table in zip(overview.selectors[0][1], overview.tables.values(), strict=True):
        for text in (text for text, methods in table.notes.items() if method in methods):
            notes.setdefault(text, []).append(name)
        heads = [column.text for column in table.columns]
        for heading, own in table.blocks.items():
            for cells in own:
                row = dict(zip(heads, cells, strict=True))
                if row["method"].text != method:
                    continue
                rank = f"rank {row['rank'].text}. " if row["rank"].sort else ""
                places.append(Sentence(f"{rank}{heading}.", name))
                if name in datasets:
                    link = f"../datasets/{file_name(name)}.html"
                    rows.append(row | {"dataset": replace(text_cell(name), link=link)})
                    columns |= {c.text: c for c in table.columns if c.text != "method"}
    columns = {"dataset": Column("dataset", number=False)} | columns
    ordered = sorted(columns.values(), key=lambda column: column.extra)
    table = PageTable(ordered, notes=notes)
    for row in rows:
        table.add([row.get(column.text, Cell("–")) for column in table.columns])
    return places, table
