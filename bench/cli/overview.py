"""What ``bench`` without a verb prints in a folder with results."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import typer

from bench.addresses import public_address
from bench.settings import load_settings
from bench.store.result_store import ResultStore

if TYPE_CHECKING:
    from pathlib import Path

    from bench.settings import Settings

_AGAIN = ("interrupted", "failed", "timeout", "oom", "diverged")
_WIDTH = 44


def show_overview() -> bool:
    """Print what lies in the results folder and what to do next; ``False`` if there is none."""
    settings = load_settings({})
    if settings.tracking_uri or not settings.database.is_file():
        return False
    store = ResultStore(settings, untouched=True)
    try:
        statuses = store.count_statuses()
        methods = {name.split("[")[0] for _, name, *_ in store.names()}
    finally:
        store.close()
    counts = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    typer.echo(f"{public_address(str(settings.results))}: {counts or 'no finished job yet'}.")
    report = settings.results / "report.html"
    if report.is_file():
        typer.echo(f"Report: {report}, of {_time(report):%Y-%m-%d %H:%M}.")
    typer.echo("\nWhat you may want next:")
    for command, purpose in _next_commands(settings, statuses, methods, report):
        typer.echo(f"  {command:{_WIDTH}s}  {purpose}")
    typer.echo("\nAll verbs: bench --help")
    return True


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime)


def _next_commands(
    settings: Settings, statuses: dict[str, int], methods: set[str], report: Path
) -> list[tuple[str, str]]:
    """Return three commands with what each is for, the likeliest first."""
    commands = []
    unfinished = sum(statuses.get(name, 0) for name in _AGAIN)
    if any((settings.results / "spool").glob("*/result.json")):
        commands.append(("bench run -m … -d … (as before)", "store the jobs that ended meanwhile"))
    if unfinished:
        commands.append(
            ("bench run -m … -d … --retry all", f"try the {unfinished} failed jobs again")
        )
    if not statuses:
        return [*commands, ("bench run -m pca,nmf,vae -d pbmc68k", "a first comparison")][:3]
    if not report.is_file() or _time(report) < _time(settings.database):
        commands.append(("bench report", "write the report of all finished jobs"))
    commands.append(("bench ui", "look at runs, curves and artifacts in MLflow"))
    best = next(iter(sorted(methods - {"random", "truth"})), "vae")
    commands.append((f"bench search -m {best} -d …", "search hyperparameters"))
    commands.append(("bench run -m all -d FILE.h5ad", "all methods on your own data"))
    return commands[:3]
