"""The report: one HTML page that works offline, and its numbers as CSV, Parquet and Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ..figures.confusion import Confusion, confusion_matrices
from ..figures.cost_quality import cost_drawings
from ..figures.figure_data import method_order
from ..figures.rank_diagram import rank_sections
from ..figures.seed_plots import seed_drawings
from ..figures.static_figures import write_figures
from ..figures.training_curves import curve_drawings
from ..figures.umap_panels import umap_colourings, umap_groups
from ..figures.umaps import choose_panels, compute_umaps, umap_caption
from ..tables.citations import bibtex
from ..tables.label_free import without_halves, without_labels
from ..tables.labels import MAIN_METRIC, label
from ..tables.leaderboard import scores_long, tidy
from ..tables.unfinished import failures, not_run_by_reason
from ..tables.verdict import QUICK_NOTE, Sentence, counts, verdict, warnings
from .cards import dataset_cards, method_cards, references_of
from .label_free_section import label_free_section
from .markdown import report_markdown
from .overview_table import overview_tables
from .pairwise_section import PairSection, pair_section
from .published_section import published_section
from .score_tables import job_table, metric_definitions
from .table_files import write_tables
from .tuning_section import study_sections, tuning_sentence

if TYPE_CHECKING:
    import pandas as pd

    from ..figures.umap_panels import UmapGroup
    from .page_table import SelectableTable

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class ReportSource:
    """The origin of the results, and what a page shows besides their table."""

    title: str
    command: str
    """The commands that made the results, one a line."""
    provenance: dict[str, str]
    studies: Sequence[Mapping[str, Any]] = ()
    """Summaries of searches."""
    curves: pd.DataFrame | None = None
    """Training curves: run_id, name, step, value."""
    made: str = ""
    """When and from what the page was made, in one sentence."""
    docs: str = ""
    """Address of measured results, relative to the page."""
    plugins: tuple[str, ...] = ()
    """Files of further methods and datasets, whose facts the page shows."""


def write_page(
    results: pd.DataFrame,
    folder: Path,
    source: ReportSource,
    *,
    umap: bool = True,
    static: bool = False,
) -> Path:
    """Write ``report.html``, ``summary.md``, ``scores.csv`` and ``scores.parquet``.

    ``results`` is the table of ``bench.load_results``. UMAP coordinates stay in ``umaps`` beside
    ``folder`` for later reports. ``static`` adds ``figures`` (SVG, PNG, PDF) and ``tables`` (CSV,
    Parquet, Markdown, LaTeX). Returns the path of the page. Raises ``ValueError`` without
    results, and ``OSError`` if the folder cannot be written.
    """
    if results.empty:
        raise ValueError("there are no results to report")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = tidy(results)
    scores = scores_long(table)
    write_atomically(folder / "scores.csv", lambda path: scores.to_csv(path, index=False))
    write_atomically(folder / "scores.parquet", scores.to_parquet)
    text = report_markdown(
        results, title=source.title, command=source.command, studies=source.studies
    )
    write_text(folder / "summary.md", text)
    umaps = umap_section(table, folder.parent / "umaps") if umap else NO_UMAPS
    if static:
        write_tables(table, folder / "tables")
        panels = choose_panels(without_halves(table))
        write_figures(table, folder / "figures", panels, umaps.coordinates, source.curves)
    values = page_values(Findings.of(results), source, umaps, static=static)
    return write_text(folder / "report.html", render_page("page.html.j2", **values))


def write_text(target: Path, text: str) -> Path:
    """Write a text file and return its path; readers never see half of it."""
    write_atomically(target, lambda path: path.write_text(text, encoding="utf-8"))
    return target


def write_atomically(target: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside the target, then rename it."""
    hidden = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write(hidden)
        os.replace(hidden, target)
    finally:
        hidden.unlink(missing_ok=True)


@dataclass(frozen=True)
class UmapSection:
    """The UMAP panels of a page, or why there are none."""

    groups: list[UmapGroup] = field(default_factory=list)
    coordinates: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By score key."""
    caption: str = ""
    missing: str = ""


NO_UMAPS = UmapSection(missing="UMAPs were turned off for this report (--no-umap).")


def umap_section(table: pd.DataFrame, folder: Path) -> UmapSection:
    """Return the panels; ``folder`` keeps their coordinates."""
    try:
        whole = without_halves(table)
        order = method_order(whole)
        panels = sorted(choose_panels(whole), key=lambda panel: order.index(panel.method))
        coordinates = compute_umaps(panels, folder)
        groups = umap_groups(panels, coordinates)
        return UmapSection(groups, coordinates, umap_caption(panels))
    except Exception as error:  # a report without UMAPs is better than no report
        return UmapSection(missing=f"UMAPs could not be drawn: {type(error).__name__}: {error}")


@dataclass(frozen=True)
class Findings:
    """What all results show together, so that the pages of a site say the same."""

    results: pd.DataFrame
    """The tidy table, with the halves of data without labels."""
    whole: pd.DataFrame
    labelled: pd.DataFrame
    """The rows that rank methods; all if there are no labels."""
    ranked: bool
    sentences: list[Sentence]
    overview: SelectableTable | None
    pairs: PairSection | None

    @classmethod
    def of(cls, results: pd.DataFrame) -> Findings:
        """Return the findings of a table of results."""
        table = tidy(results)
        whole = without_halves(table)
        unlabelled = without_labels(whole)
        ranked = not unlabelled.all()
        labelled = whole[~unlabelled] if ranked else whole
        overview = overview_tables(labelled) if ranked else None
        pairs = pair_section(labelled)
        return cls(table, whole, labelled, ranked, verdict(whole), overview, pairs)


def page_values(
    found: Findings, source: ReportSource, umaps: UmapSection | None, *, static: bool = False
) -> dict[str, Any]:
    """Return the values of the template of a report on all results."""
    answers = [sentence for sentence in found.sentences if not sentence.detail]
    tuned = tuning_sentence(source.studies)
    if not tuned and not (found.whole["n_trials"] != "").any():
        tuned = "nothing was tuned; bench search does it."
    answers += [Sentence(tuned, "Tuning")] * bool(tuned and found.ranked)
    unlabelled = without_labels(found.whole).any()
    definitions = metric_definitions(found.whole)
    return part_values(found.whole, found.labelled, source, umaps) | {
        "counts": " ".join(filter(None, (counts(found.results), source.made))),
        "answers": answers,
        "details": [sentence for sentence in found.sentences if sentence.detail],
        "warnings": [text for text in warnings(found.results) if text != QUICK_NOTE],
        "ranked": found.ranked,
        "overview": found.overview,
        "label_free": label_free_section(found.results) if unlabelled else None,
        "ranks": [section for section in rank_sections(found.labelled) if section.svg],
        "pairs": found.pairs,
        "studies": study_sections(source.studies),
        "static": static,
        "scores": "scores.csv",
        "definitions": definitions,
        "terms": _WORDS | {name: meaning for name, meaning, _ in definitions},
    }


def part_values(
    rows: pd.DataFrame, labelled: pd.DataFrame, source: ReportSource, umaps: UmapSection | None
) -> dict[str, Any]:
    """Return the values that a part of the results decides alone: no comparison of methods."""
    scored = MAIN_METRIC in labelled and labelled[MAIN_METRIC].notna().any()
    cells_script = (TEMPLATES / "cells.js").read_text(encoding="utf-8")
    return {
        "title": source.title,
        "command": source.command,
        "provenance": source.provenance,
        "quick": (rows["profile"] == "quick").any(),
        "docs": source.docs,
        "drawings": {
            "seeds": seed_drawings(labelled) if scored else [],
            "quality": cost_drawings(labelled) if scored else [],
            "curves": curve_drawings(labelled, source.curves),
        },
        "dataset_cards": dataset_cards(rows, source.plugins),
        "method_cards": method_cards(rows, source.plugins),
        "umaps": umaps,
        "colourings": umap_colourings(umaps.groups) if umaps else [],
        "cells_script": cells_script if umaps and umaps.groups else "",
        "confusion": _confusion(labelled),
        "published": published_section(labelled),
        "failures": failures(rows).to_dict("records"),
        "not_run": not_run_by_reason(rows),
        "main": label(MAIN_METRIC),
        "jobs": job_table(rows),
        "citations": bibtex(references_of(rows, source.plugins)),
    }


def _confusion(table: pd.DataFrame) -> Confusion | None:
    """Return clusters and types; ``None`` if the artifacts cannot be read."""
    try:
        return confusion_matrices(table, choose_panels(table))
    except Exception:  # a report without this figure is better than no report
        return None


_WORDS = {
    "Tied": "no method of the group is reliably better than another of it",
    "reliably": "the simultaneous interval of the difference leaves out zero",
}


def explain(text: str, terms: Mapping[str, str]) -> Markup:
    """Return a text as HTML with the meaning of each word behind its first use."""
    use, colon, rest = text.partition(":")
    if colon and use.startswith("Use "):
        return Markup("<strong>{}:</strong>").format(use) + explain(rest, terms)
    found: list[str] = []
    words = sorted((word for word in terms if word in text), key=len, reverse=True)
    if not words:
        return escape(text)

    def meaning(match: re.Match[str]) -> str:
        word = match.group()
        if word in found:
            return str(escape(word))
        found.append(word)
        return f'<abbr data-tip="{escape(terms[word])}" tabindex="0">{escape(word)}</abbr>'

    parts = re.split(f"({'|'.join(map(re.escape, words))})", text)
    return Markup("".join(
        re.sub("^.*$", meaning, part, flags=re.DOTALL) if part in words else str(escape(part))
        for part in parts
    ))  # fmt: skip


def render_page(template: str, *, up: str | None = None, **values: Any) -> str:
    """Return a page; its styles and scripts are inlined, or files of a site.

    ``up`` is the way from the page to the folder of the site, such as ``../``.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["explain"] = explain
    return environment.get_template(template).render(
        css=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        site=up is not None,
        up=up or "",
        **values,
    )
