"""The report: one HTML page that works offline, and the same numbers as CSV, Parquet, Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from ..figures import confusion, umaps
from ..figures import interactive as figures
from ..figures import rank_diagram as ranks
from ..figures import training_curves as training
from ..figures import umap_panels as panels
from ..tables import labels as names
from ..tables import leaderboard as tables
from ..tables import verdict
from ..tables.leaderboard import scores_long, tidy
from . import pairwise_section as pairs
from . import published_section as published
from . import score_grid as grid
from . import tuning_section as tuning
from .markdown import as_markdown
from .static_export import write_figures, write_tables

if TYPE_CHECKING:
    import pandas as pd

    from ..figures.drawing import Drawing
    from ..figures.umap_panels import Group

_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class ReportSource:
    """What a page says of its results besides the table."""

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
    """Write ``report.html`` and its tables into ``folder``; each file is replaced at once.

    Parameters
    ----------
    results
        The table of ``bench.load_results``, one row a job.
    folder
        Gets ``report.html``, ``summary.md``, ``scores.csv`` and ``scores.parquet`` (one row a job
        and metric).
    umap
        Whether UMAPs are drawn. Coordinates stay in ``umaps`` beside ``folder``, so that a second
        report computes none again; the page names a panel that cannot be drawn.
    static
        Whether ``figures`` (SVG, PNG, PDF) and ``tables`` (CSV, Parquet, Markdown, LaTeX) are
        written, too.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ValueError
        There are no results.
    OSError
        The folder cannot be written.
    """
    if results.empty:
        raise ValueError("there are no results to report")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = tidy(results)
    long = scores_long(table)
    replace(folder / "scores.csv", lambda path: long.to_csv(path, index=False))
    replace(folder / "scores.parquet", lambda path: long.to_parquet(path))
    text = as_markdown(results, title=source.title, command=source.command, studies=source.studies)
    replace(folder / "summary.md", lambda path: path.write_text(text, encoding="utf-8"))
    pictures = (
        _pictures(table, folder.parent / "umaps")
        if umap
        else Pictures(missing="UMAPs were turned off for this report (--no-umap).")
    )
    if static:
        wanted = umaps.choose(table)
        write_tables(table, folder / "tables")
        write_figures(table, folder / "figures", wanted, pictures.coordinates, source.curves)
    page = _render(results, source, pictures, static=static)
    target = folder / "report.html"
    replace(target, lambda path: path.write_text(page, encoding="utf-8"))
    return target


def replace(target: Path, write: Callable[[Path], Any]) -> None:
    """Write beside the target, then rename: a reader never sees half a file."""
    hidden = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write(hidden)
        os.replace(hidden, target)
    finally:
        hidden.unlink(missing_ok=True)


@dataclass(frozen=True)
class Pictures:
    """UMAP panels of a page, or why there are none."""

    groups: list[Group] = field(default_factory=list)
    coordinates: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By score key."""
    missing: str = ""


def _pictures(table: pd.DataFrame, folder: Path) -> Pictures:
    """Draw what is not in ``folder`` yet."""
    try:
        wanted = umaps.choose(table)
        drawn = umaps.draw(wanted, folder)
        return Pictures(panels.groups(wanted, drawn), drawn)
    except Exception as error:  # a report without pictures is better than no report
        return Pictures(missing=f"UMAPs could not be drawn: {type(error).__name__}: {error}")


def _render(
    results: pd.DataFrame, source: ReportSource, pictures: Pictures, *, static: bool
) -> str:
    table = tables.tidy(results)
    drawn = figures.drawings(table)
    drawn["curves"] = training.drawing(table, source.curves)
    drawn["confusion"] = _confusion(table)
    searched = tuning.panels(source.studies)
    return render(
        "page.html.j2",
        figures=any(drawn.values()) or any(one.drawings for one in searched),
        title=source.title,
        command=source.command,
        provenance=source.provenance,
        verdict=verdict.verdict(table),
        counts=verdict.counts(table),
        warnings=verdict.warnings(results),
        boards=grid.boards(table),
        board_filters=grid.filters(table),
        ranks=ranks.ranks(table),
        pairs=pairs.choice(table),
        scores=grid.scores(table),
        published=published.section(table),
        failures=tables.failures(table).to_dict("records"),
        not_run=tables.not_run(table).to_dict("records"),
        drawn=drawn,
        studies=searched,
        groups=pictures.groups,
        colourings=panels.colourings(pictures.groups),
        cells_script=(_TEMPLATES / "cells.js").read_text(encoding="utf-8")
        if pictures.groups
        else "",
        no_pictures=pictures.missing,
        caption=umaps.caption(),
        main=names.label(names.MAIN),
        jobs=grid.jobs(table),
        static=static,
        definitions=grid.definitions(table),
    )


def _confusion(table: pd.DataFrame) -> list[Drawing]:
    """Return the figure of clusters and types; none if the artifacts cannot be read."""
    try:
        return confusion.confusion(table, umaps.choose(table))
    except Exception:  # a report without this figure is better than no report
        return []


def render(template: str, *, figures: bool, **values: Any) -> str:
    """Return a page from a template that extends ``base.html.j2``, with all it needs inlined."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(
        plotly=_plotly() if figures else "",
        css=(_TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(_TEMPLATES / "page.js").read_text(encoding="utf-8"),
        figures_script=(_TEMPLATES / "figures.js").read_text(encoding="utf-8"),
        **values,
    )


def _plotly() -> str:
    return str(get_plotlyjs())
