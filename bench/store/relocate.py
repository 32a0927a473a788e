"""Correct the addresses in the database of a results folder that was moved or copied.

MLflow records absolute addresses. Uncorrected, the store would look for old artifacts in the old
place and would write new ones there.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from bench.errors import StoreError

logger = logging.getLogger(__name__)
_ENDING = "/artifacts"


def renew_addresses(database: Path, results: Path) -> None:
    """Set the artifact addresses of all experiments and runs to this results folder.

    Logs a warning for each address of runs that was another. Raises ``StoreError`` if the database
    cannot be read or written, or is empty although there are artifacts.
    """
    _refuse_empty(database, results)
    address = (results.resolve() / "artifacts").as_uri()
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
            for old in _other_addresses(connection, address):
                if runs := _replace_address(connection, old, address):
                    logger.warning(
                        f"{results} was moved or copied: the artifacts of {runs} runs are now "
                        f"looked for in {results / 'artifacts'}, not in {old}."
                    )
    except sqlite3.Error as error:
        raise StoreError(
            f"{database}: cannot be used as a store: {error}.", code="damaged_store"
        ) from None


def _refuse_empty(database: Path, results: Path) -> None:
    """Raise ``StoreError`` for an empty file beside artifacts.

    MLflow would create a new store in it, which would not list these artifacts.
    """
    folder = results / "artifacts"
    if database.stat().st_size == 0 and folder.is_dir() and any(folder.iterdir()):
        raise StoreError(
            f"{database}: empty, but {folder} holds results; put a copy of the database in its "
            "place, or remove it to begin a new store.",
            code="empty_store",
        )


def _other_addresses(connection: sqlite3.Connection, address: str) -> list[str]:
    """Return the addresses that bench gave to experiments, without the present one."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
        return []
    rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments")
    return [
        other for (other,) in rows
        if other and other.startswith("file:") and other.endswith(_ENDING) and other != address
    ]  # fmt: skip


def _replace_address(connection: sqlite3.Connection, old: str, new: str) -> int:
    """Replace an address in all experiments and runs; returns the number of runs."""
    connection.execute(
        "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old)
    )
    old, new = old + "/", new + "/"
    updated = connection.execute(
        "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
        "WHERE substr(artifact_uri, 1, ?) = ?",
        (new, len(old) + 1, len(old), old),
    )
    return updated.rowcount
