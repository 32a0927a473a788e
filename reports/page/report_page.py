"""The report: one HTML page that works offline, and its numbers as CSV, Parquet and Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from ..figures.confusion import confusion_drawings
from ..figures.interactive import score_drawings
from ..figures.rank_diagram import rank_sections
from ..figures.static_figures import write_figures
from ..figures.training_curves import curve_drawings
from ..figures.umap_panels import umap_colourings, umap_groups
from ..figures.umaps import choose_panels, compute_umaps, umap_caption
from ..tables.label_free import without_halves, without_labels
from ..tables.labels import MAIN_METRIC, label
from ..tables.leaderboard import scores_long, tidy
from ..tables.unfinished import failures, not_run
from ..tables.verdict import counts, verdict, warnings
from .label_free_section import label_free_section
from .markdown import report_markdown
from .pairwise_section import pairwise_table
from .published_section import published_section
from .score_tables import (
    job_table,
    leaderboard_filters,
    leaderboard_tables,
    metric_definitions,
    score_table,
)
from .table_files import write_tables
from .tuning_section import study_sections

if TYPE_CHECKING:
    import pandas as pd

    from ..figures.drawing import Drawing
    from ..figures.umap_panels import UmapGroup

_TEMPLATES = Path(__file__).with_name("templates")


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
    missing = "UMAPs were turned off for this report (--no-umap)."
    umaps = _umap_section(table, folder.parent / "umaps") if umap else UmapSection(missing=missing)
    if static:
        write_tables(table, folder / "tables")
        panels = choose_panels(without_halves(table))
        write_figures(table, folder / "figures", panels, umaps.coordinates, source.curves)
    return write_text(folder / "report.html", _report_html(results, source, umaps, static=static))


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


def _umap_section(table: pd.DataFrame, folder: Path) -> UmapSection:
    """Return the panels; ``folder`` keeps their coordinates."""
    try:
        panels = choose_panels(without_halves(table))
        coordinates = compute_umaps(panels, folder)
        groups = umap_groups(panels, coordinates)
        return UmapSection(groups, coordinates, umap_caption(panels))
    except Exception as error:  # a report without UMAPs is better than no report
        return UmapSection(missing=f"UMAPs could not be drawn: {type(error).__name__}: {error}")


def _report_html(
    results: pd.DataFrame, source: ReportSource, umaps: UmapSection, *, static: bool
) -> str:
    whole = without_halves(tidy(results))
    unlabelled = without_labels(whole)
    ranked = not unlabelled.all()
    table = whole[~unlabelled] if ranked else whole
    drawings = score_drawings(table)
    drawings["curves"] = curve_drawings(table, source.curves)
    drawings["confusion"] = _confusion_drawings(table)
    studies = study_sections(source.studies)
    cells_script = (_TEMPLATES / "cells.js").read_text(encoding="utf-8")
    return render_page(
        "page.html.j2",
        figures=any(drawings.values()) or any(study.drawings for study in studies),
        title=source.title,
        command=source.command,
        provenance=source.provenance,
        verdict=verdict(whole),
        counts=counts(results),
        warnings=warnings(results),
        ranked=ranked,
        label_free=label_free_section(results) if unlabelled.any() else None,
        leaderboards=leaderboard_tables(table),
        leaderboard_filters=leaderboard_filters(table),
        ranks=rank_sections(table),
        pairs=pairwise_table(table),
        scores=score_table(table),
        published=published_section(table),
        failures=failures(tidy(results)).to_dict("records"),
        not_run=not_run(whole).to_dict("records"),
        drawings=drawings,
        studies=studies,
        umaps=umaps,
        colourings=umap_colourings(umaps.groups),
        cells_script=cells_script if umaps.groups else "",
        umap_caption=umaps.caption,
        main=label(MAIN_METRIC),
        jobs=job_table(tidy(results)),
        static=static,
        definitions=metric_definitions(whole),
    )


def _confusion_drawings(table: pd.DataFrame) -> list[Drawing]:
    """Return the figure of clusters and types; empty if the artifacts cannot be read."""
    try:
        return confusion_drawings(table, choose_panels(table))
    except Exception:  # a report without this figure is better than no report
        return []


def render_page(template: str, *, figures: bool, **values: Any) -> str:
    """Return a page with its styles and scripts inlined; Plotly only if there are figures."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(
        plotly=str(get_plotlyjs()) if figures else "",
        css=(_TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(_TEMPLATES / "page.js").read_text(encoding="utf-8"),
        figures_script=(_TEMPLATES / "figures.js").read_text(encoding="utf-8"),
        **values,
    )
