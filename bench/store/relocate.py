"""A results folder that was moved, renamed or copied: its artifacts lie beside its database.

MLflow keeps absolute addresses. Left as they are, the store would look for old artifacts where
they no longer are, and would write new ones to the old place.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from bench.errors import StoreError

_ENDING = "/artifacts"


def renew_addresses(database: Path, results: Path) -> None:
    """Let the experiments and runs in ``database`` name the artifacts of this results folder.

    Writes a line to standard error for each address that was another. Raises ``StoreError`` if the
    database cannot be read or written, or is empty although there are artifacts.
    """
    _refuse_empty(database, results)
    here = (results.resolve() / "artifacts").as_uri()
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
            for old in _others(connection, here):
                runs = _renew(connection, old, here)
                print(
                    f"bench: {results} was moved or copied: the artifacts of {runs} runs are now "
                    f"looked for in {results / 'artifacts'}, not in {old}.",
                    file=sys.stderr,
                )
    except sqlite3.Error as error:
        raise StoreError(f"{database}: cannot be used as a store: {error}.") from None


def _refuse_empty(database: Path, results: Path) -> None:
    """Raise ``StoreError`` for a file without content where a store has been.

    MLflow would make a new store of it, and the artifacts would belong to nothing.
    """
    folder = results / "artifacts"
    if database.stat().st_size == 0 and folder.is_dir() and any(folder.iterdir()):
        raise StoreError(
            f"{database}: empty, but {folder} holds results; put a copy of the database in its "
            "place, or remove it to begin a new store."
        )


def _others(connection: sqlite3.Connection, here: str) -> list[str]:
    """Return the addresses, of the kind that bench gives experiments, that are not ``here``."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
        return []
    rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments")
    places = [row[0] for row in rows if row[0]]
    return [
        one for one in places if one.startswith("file:") and one.endswith(_ENDING) and one != here
    ]


def _renew(connection: sqlite3.Connection, old: str, here: str) -> int:
    connection.execute(
        "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (here, old)
    )
    old, here = old + "/", here + "/"
    done = connection.execute(
        "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
        "WHERE substr(artifact_uri, 1, ?) = ?",
        (here, len(old) + 1, len(old), old),
    )
    return done.rowcount
