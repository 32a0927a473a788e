"""A report in MLflow: page, tables and figure with the session's run, UMAPs with those of jobs."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import StoreError
from bench.reports.figures.static_figures import umap_figure
from bench.reports.figures.umaps import choose_panels
from bench.reports.tables.label_free import without_halves, without_labels
from bench.reports.tables.labels import MAIN_METRIC
from bench.reports.tables.leaderboard import tidy
from bench.reports.tables.short_leaderboard import short_leaderboard
from bench.scoring.score_names import key_part
from bench.store.mlflow_pages import table_text
from bench.store.results_table import choose_columns

if TYPE_CHECKING:
    from bench.settings import Settings

    from .outcome import RunOutcome

logger = logging.getLogger(__name__)

UMAP_FILE = "umap.png"
_SUMMARIES = (MAIN_METRIC, "leiden/ari", "seconds")
"""Columns whose mean over datasets a session's run has for each method."""


def add_to_session(outcome: RunOutcome, page: Path, settings: Settings) -> None:
    """Add page, tables, figure and means of methods to the run of the session, if there is one."""
    if not outcome.session:
        return
    from bench.store.mlflow_store import Tracker  # MLflow is slow to import

    assert outcome.table is not None
    with tempfile.TemporaryDirectory(prefix="bench-mlflow-") as name, _store_warnings("report"):
        folder = Path(name)
        tables = _write_tables(outcome.table, folder)
        files = [page, page.with_name("summary.md"), page.with_name("scores.csv")]
        if MAIN_METRIC in outcome.table and outcome.table[MAIN_METRIC].notna().any():
            outcome.plot.heatmap().savefig(folder / "scores.png", dpi=150, bbox_inches="tight")
            files.append(folder / "scores.png")
        values = summary_values(outcome.table)
        Tracker(settings).add_files(outcome.session, files, tables=tables, values=values)


def add_umap_pictures(table: pd.DataFrame, settings: Settings) -> None:
    """Add the UMAP of each method and dataset to the run of its median seed.

    Drawn are coordinates that the report has computed, where the run has no picture.
    """
    done = without_halves(tidy(table))
    if "run_id" not in done:
        return
    run_ids = dict(zip(done["score_key"], done["run_id"], strict=True))
    coordinates = settings.results / "reports" / "umaps"
    panels = [
        panel
        for panel in choose_panels(done)
        if not panel.missing
        and (coordinates / f"{panel.key}.parquet").is_file()
        and not (Path(panel.source) / UMAP_FILE).exists()
    ]
    if not panels:
        return
    from bench.store.mlflow_store import Tracker  # MLflow is slow to import

    with tempfile.TemporaryDirectory(prefix="bench-mlflow-") as name, _store_warnings("UMAPs"):
        tracker, picture = Tracker(settings), Path(name) / UMAP_FILE
        for panel in panels:
            cells = pd.read_parquet(coordinates / f"{panel.key}.parquet")
            figure = umap_figure([panel], {panel.key: cells})
            figure.savefig(picture, dpi=120, bbox_inches="tight")
            tracker.add_files(run_ids[panel.key], [picture])


@contextlib.contextmanager
def _store_warnings(content: str) -> Iterator[None]:
    """Log a fault of the store: the report itself is written."""
    try:
        yield
    except StoreError as error:
        logger.warning(f"the {content} could not be added to MLflow: {error}")


def _write_tables(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the leaderboard and the table of jobs for MLflow; returns their paths."""
    whole = tidy(table)
    labelled = whole[~without_labels(whole)]
    tables: dict[str, Sequence[Mapping[Any, Any]]] = {}
    if (labelled["status"] == "done").any():
        tables["leaderboard.json"], _ = short_leaderboard(labelled)
    jobs = choose_columns(table).round(4)
    tables["jobs.json"] = jobs.astype(object).where(jobs.notna(), None).to_dict("records")
    for name, rows in tables.items():
        (folder / name).write_text(table_text(rows))
    return [folder / name for name in tables]


def summary_values(table: pd.DataFrame) -> dict[str, float]:
    """Return ``summary/SCORE/METHOD``: the mean over datasets of the means over seeds."""
    done = without_halves(tidy(table))
    done = done[done["status"] == "done"]
    values = {}
    for column in _SUMMARIES:
        if column in done:
            by_dataset = done.groupby(["method", "dataset"])[column].mean().dropna()
            means = by_dataset.groupby("method").mean()
            taken: set[str] = set()
            for method, mean in means.items():
                taken.add(name := key_part(str(method), taken))
                values[f"summary/{column}/{name}"] = float(mean)
    return values
