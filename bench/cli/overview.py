"""What ``bench`` without a verb prints in a folder with results."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import typer

from bench.addresses import public_address
from bench.registry import methods
from bench.settings import load_settings
from bench.store.result_store import ResultStore

if TYPE_CHECKING:
    from pathlib import Path

    from bench.settings import Settings

_AGAIN = ("interrupted", "failed", "timeout", "oom", "diverged")
_WIDTH = 44
_N_COMMANDS = 3


def show_overview() -> bool:
    """Print what lies in the results folder and what to do next; ``False`` if there is none."""
    settings = load_settings({})
    if settings.tracking_uri or not settings.database.is_file():
        return False
    store = ResultStore(settings, untouched=True)
    try:
        statuses = store.count_statuses()
        report = settings.results / "report.html"
        commands = _next_commands(settings, statuses, report)
        if len(commands) < _N_COMMANDS and (best := _best_method(store, settings)):
            commands.append((f"bench search -m {best} -d …", "search hyperparameters"))
    finally:
        store.close()
    commands.append(("bench run -m all -d FILE.h5ad", "all methods on your own data"))
    counts = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    typer.echo(f"{public_address(str(settings.results))}: {counts or 'no finished job yet'}.")
    if report.is_file():
        typer.echo(f"Report: {report}, of {_time(report):%Y-%m-%d %H:%M}.")
    typer.echo("\nWhat you may want next:")
    for command, purpose in commands[:_N_COMMANDS]:
        typer.echo(f"  {command:{_WIDTH}s}  {purpose}")
    typer.echo("\nAll verbs: bench --help")
    return True


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime)


def _next_commands(
    settings: Settings, statuses: dict[str, int], report: Path
) -> list[tuple[str, str]]:
    """Return commands that follow from the state of a store, the likeliest first."""
    commands = []
    unfinished = sum(statuses.get(name, 0) for name in _AGAIN)
    if any((settings.results / "spool").glob("*/result.json")):
        commands.append(("bench run -m … -d … (as before)", "store the jobs that ended meanwhile"))
    if unfinished:
        commands.append(
            ("bench run -m … -d … --retry all", f"try the {unfinished} failed jobs again")
        )
    if not statuses:
        return [*commands, ("bench run -m pca,nmf,vae -d pbmc68k", "a first comparison")]
    if not report.is_file() or _time(report) < _time(settings.database):
        commands.append(("bench report", "write the report of all finished jobs"))
    commands.append(("bench ui", "look at runs, curves and artifacts in MLflow"))
    return commands


def _best_method(store: ResultStore, settings: Settings) -> str:
    """Return the best method of the leaderboard that has something to search, or an empty text."""
    from bench.reports.tables.eligible import CONTROL
    from bench.reports.tables.labels import MAIN_METRIC, label
    from bench.reports.tables.leaderboard import leaderboard, tidy
    from bench.store.results_table import results_frame

    table = tidy(results_frame(store))
    known = methods(settings.plugins).entries
    names = table.groupby("method")["method_name"].first()
    for row in leaderboard(table, ties=False).to_dict("records"):
        entry = known.get(names[row["method"]])
        if row["family"] == CONTROL or row[label(MAIN_METRIC)] != row[label(MAIN_METRIC)]:
            continue
        if entry is not None and entry.cls is not None and entry.cls.Params.search_space():
            return entry.name
    return ""
