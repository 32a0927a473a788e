"""What ``bench`` without a verb prints in a folder with results."""

from __future__ import annotations

from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING

import typer

from bench.addresses import public_address
from bench.registry import methods
from bench.scoring.score_names import MAIN_SCORE
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
    """Return the best method that has something to search, or an empty text.

    Methods are ranked by how far they are, in the mean over datasets, from the best of each.
    """
    scores = store.mean_scores(MAIN_SCORE)
    best: dict[str, float] = {}
    for _, dataset, score in scores:
        best[dataset] = max(score, best.get(dataset, score))
    behind: dict[str, list[float]] = {}
    for method, dataset, score in scores:
        behind.setdefault(method, []).append(best[dataset] - score)
    known = methods(settings.plugins).entries
    for method in sorted(behind, key=lambda name: fmean(behind[name])):
        entry = known.get(method.partition("[")[0])
        if entry is None or entry.cls is None or entry.cls.family == "control":
            continue
        if entry.cls.Params.search_space():
            return entry.name
    return ""
