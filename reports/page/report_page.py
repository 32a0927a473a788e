"""The report: one HTML page that works offline, and the same numbers as CSV, Parquet, Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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
from . import static_export as export
from . import tuning_section as tuning
from .markdown import as_markdown

if TYPE_CHECKING:
    import pandas as pd

    from ..figures.drawing import Drawing
    from ..figures.umap_panels import Group

_TEMPLATES = Path(__file__).with_name("templates")


def build(
    results: pd.DataFrame,
    folder: Path,
    *,
    title: str,
    command: str,
    provenance: dict[str, str],
    umap: bool = True,
    studies: Sequence[Mapping[str, Any]] = (),
    curves: pd.DataFrame | None = None,
    static: bool = False,
) -> Path:
    """Write ``report.html`` and its tables into ``folder`` and return the page's path.

    ``results`` is the table of ``bench.load_results``, one row a job. Beside the page lie
    ``scores.csv`` and ``scores.parquet`` (one row a job and metric) and ``summary.md``. Files
    that exist are replaced, each at once. With ``umap`` the coordinates are kept in ``umaps``
    beside ``folder``, so that a second report computes none again; a panel that cannot be drawn
    is named on the page. ``studies`` are summaries of searches, ``curves`` training curves
    (run_id, name, step, value). Raises ``ValueError`` without results, ``OSError`` if the folder
    cannot be written. With ``static`` the folders ``figures`` (SVG, PNG, PDF) and ``tables``
    (CSV, Parquet, Markdown, LaTeX) lie beside it too.
    """
    if results.empty:
        raise ValueError("there are no results to report")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = tidy(results)
    long = scores_long(table)
    replace(folder / "scores.csv", lambda path: long.to_csv(path, index=False))
    replace(folder / "scores.parquet", lambda path: long.to_parquet(path))
    text = as_markdown(results, title=title, command=command, studies=studies)
    replace(folder / "summary.md", lambda path: path.write_text(text, encoding="utf-8"))
    groups, why, drawn = _pictures(table, folder.parent / "umaps", umap)
    if static:
        export.write_tables(table, folder / "tables")
        export.write_figures(table, folder / "figures", umaps.choose(table), drawn, curves)
    page = _render(
        results, title, command, provenance, groups, why, studies, curves, static=static
    )
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


def _pictures(
    table: pd.DataFrame, kept: Path, umap: bool
) -> tuple[list[Group], str, dict[str, pd.DataFrame]]:
    """Return the UMAP panels, or why there are none, and the coordinates by score key."""
    if not umap:
        return [], "UMAPs were turned off for this report (--no-umap).", {}
    try:
        wanted = umaps.choose(table)
        drawn = umaps.draw(wanted, kept)
        return panels.groups(wanted, drawn), "", drawn
    except Exception as error:  # a report without pictures is better than no report
        return [], f"UMAPs could not be drawn: {type(error).__name__}: {error}", {}


def _render(
    results: pd.DataFrame,
    title: str,
    command: str,
    provenance: dict[str, str],
    groups: list[Group],
    why: str,
    studies: Sequence[Mapping[str, Any]],
    curves: pd.DataFrame | None,
    *,
    static: bool,
) -> str:
    table = tables.tidy(results)
    drawn = figures.drawings(table)
    drawn["curves"] = training.drawing(table, curves)
    drawn["confusion"] = _confusion(table)
    searched = tuning.panels(studies)
    return render(
        "page.html.j2",
        figures=any(drawn.values()) or any(one.drawings for one in searched),
        title=title,
        command=command,
        provenance=provenance,
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
        groups=groups,
        colourings=panels.colourings(groups),
        cells_script=(_TEMPLATES / "cells.js").read_text(encoding="utf-8") if groups else "",
        no_pictures=why,
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
