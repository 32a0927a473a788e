"""Printing of the command line: results on stdout, log and progress on stderr."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from bench.execute.console_log import ConsoleHandler

_FILE_WIDTH = 160
"""Columns of a table that is not printed to a terminal."""


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that leaves long lines whole; files and pipes get wide tables."""
    console = Console(stderr=stderr, soft_wrap=True, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console


@cache
def progress_console() -> Console:
    """Return the console on stderr that the log and progress bars share."""
    return make_console(stderr=True)


def show_log() -> Callable[[], None]:
    """Print the log of ``bench`` from ``INFO`` on; returns a function that ends it."""
    logger = logging.getLogger("bench")
    level, handler = logger.level, ConsoleHandler(progress_console())
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)

    def hide_log() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    return hide_log


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json.dumps(value, indent=1, default=str))


def print_files(folder: Path, scores: dict[str, float], files: dict[str, str]) -> None:
    """Print the scores of a fit and what each file of a folder holds."""
    print_scores(scores)
    for name, text in files.items():
        typer.echo(f"  {folder / name}  {text}")


def print_scores(scores: dict[str, float]) -> None:
    """Print ARI and NMI of each clustering that has both."""
    for name in ("kmeans", "leiden", "fit_type"):
        ari, nmi = (scores.get(f"{name}/{metric}") for metric in ("ari", "nmi"))
        if ari is not None and nmi is not None:
            typer.echo(f"  {name}: ARI {ari:.3f}, NMI {nmi:.3f}")
