"""The SQLite file of a results folder is made whole or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bench.errors import StoreError

from .mlflow_client import StoreClient, open_database, store_errors

logger = logging.getLogger(__name__)


def open_or_make(database: Path) -> StoreClient:
    """Return the client of a database, made first if it is missing.

    One that MLflow cannot use and that holds no run is what a killed process left: it is moved
    aside. The caller holds the lock of the results folder. Raises ``StoreError``.
    """
    if database.is_file() and not database.stat().st_size and _is_half_made(database):
        database.unlink()
    if not database.exists():
        _make(database)
    try:
        return open_database(database)
    except StoreError as error:
        if error.code != "damaged_store" or not _is_half_made(database):
            raise
    aside = database.with_name(f"{database.name}.half-made-{time.strftime('%Y%m%d-%H%M%S')}")
    database.rename(aside)
    logger.warning(f"{database}: half made and without a run; moved to {aside.name}, made anew.")
    _make(database)
    return open_database(database)


def _make(database: Path) -> None:
    """Make a database with the schema of MLflow under another name, then link it into place."""
    partial = database.with_name(f".new.{database.name}")
    with store_errors(str(database)):
        for leftover in database.parent.glob(f"{partial.name}*"):
            leftover.unlink()
        try:
            open_database(partial).search_experiments(max_results=1)
            _link(partial, database)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()


def _link(partial: Path, database: Path) -> None:
    """Give a file its final name; never over an existing file."""
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    try:
        os.link(partial, database)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not database.exists():
            partial.rename(database)


def _is_half_made(database: Path) -> bool:
    """Return whether a database and the artifacts beside it hold no run."""
    artifacts = database.parent / "artifacts"
    if artifacts.is_dir() and any(artifacts.iterdir()):
        return False
    try:
        with closing(sqlite3.connect(database)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            return (
                "runs" not in tables
                or not connection.execute("SELECT 1 FROM runs LIMIT 1").fetchall()
            )
    except sqlite3.Error:
        return False
