"""An index of the runs of a results folder, so that reading a few jobs does not read all.

It holds the row of each finished job and is filled from the database of MLflow, whose runs alone
prove that a job is done. It can be deleted at any time. Nothing here imports MLflow.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.digests import digest

from .result import SCORING_PREFIX
from .run_tags import FIELDS, table_row
from .stored_run import StoredRun

_FORMAT = digest([3, *FIELDS])
"""An index of another format is made anew."""
_CHUNK = 500
_WAIT_SECONDS = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS entries (
    run_id TEXT PRIMARY KEY, state TEXT, experiment_id TEXT, kind TEXT, score_key TEXT,
    fit_key TEXT, method TEXT, dataset TEXT, profile TEXT, protocol TEXT, seed INTEGER,
    status TEXT, seconds REAL, n_cells INTEGER, started INTEGER, fitted INTEGER,
    artifact_uri TEXT, content TEXT
);
CREATE INDEX IF NOT EXISTS by_score_key ON entries (score_key);
CREATE INDEX IF NOT EXISTS by_fit_key ON entries (fit_key);
CREATE INDEX IF NOT EXISTS by_method ON entries (experiment_id, kind, method, dataset, started);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
"""
_COLUMNS = (
    "run_id", "state", "experiment_id", "kind", "score_key", "fit_key", "method", "dataset",
    "profile", "protocol", "seed", "status", "seconds", "n_cells", "started", "fitted",
    "artifact_uri", "content",
)  # fmt: skip
_STATE = "r.status || '/' || r.lifecycle_stage || '/' || coalesce(r.end_time, '')"


class ResultIndex:
    """The index of one database, or of the runs of a server while this object lives.

    ``database`` is the SQLite file of MLflow. Without one, ``in_memory``, or where the folder
    cannot be written, the index lies in memory.
    """

    def __init__(self, database: Path | None = None, *, in_memory: bool = False) -> None:
        self._database = database
        self._file = database.with_name("index.db") if database and not in_memory else None
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        """Return the connection to a usable index; a damaged one is removed."""
        if self._file is not None:
            for _ in range(2):
                try:
                    return self._prepare(sqlite3.connect(self._file, **_CONNECTION))
                except sqlite3.OperationalError:  # read-only, or the disk is full
                    break
                except sqlite3.DatabaseError:
                    self._file.unlink(missing_ok=True)
        return self._prepare(sqlite3.connect("file::memory:", **_CONNECTION))

    def _prepare(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Create the tables, empty them if they are of another format, and open the database."""
        connection.execute("PRAGMA trusted_schema = OFF")  # the database may be somebody else's
        connection.executescript(_TABLES)
        found = connection.execute("SELECT value FROM facts WHERE name = 'format'").fetchone()
        if found != (_FORMAT,):
            with _transaction(connection):
                connection.execute("DROP TABLE entries")
                connection.execute("DELETE FROM facts")
            connection.executescript(_TABLES)
            connection.execute("INSERT INTO facts VALUES ('format', ?)", (_FORMAT,))
        if self._database is not None:
            address = f"file:{quote(str(self._database.resolve()))}?mode=ro"
            connection.execute("ATTACH ? AS store", (address,))
        return connection

    def close(self) -> None:
        """Close the files."""
        self._connection.close()

    # -- filling ---------------------------------------------------------------------------

    def update(self) -> None:
        """Take over the runs that are new or changed in the database since the last time."""
        try:
            self._update()
        except sqlite3.DatabaseError as error:
            if self._file is None:
                raise
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):  # read-only, or the disk is full
                self._file = None
            else:
                self._file.unlink(missing_ok=True)
            self._connection = self._open()
            self._update()

    def _update(self) -> None:
        connection = self._connection
        newest = {
            table: connection.execute(f"SELECT coalesce(max(rowid), 0) FROM store.{table}")
            .fetchone()[0]
            for table in ("tags", "metrics")
        }  # fmt: skip
        known = dict(connection.execute("SELECT name, value FROM facts"))
        before = {table: int(known.get(table, 0)) for table in newest}
        if any(newest[table] < before[table] for table in newest):  # runs were removed for good
            connection.execute("DELETE FROM entries")
            before = dict.fromkeys(newest, 0)
        removed = "run_id NOT IN (SELECT run_uuid FROM store.runs)"
        changed = connection.execute(
            f"SELECT r.run_uuid FROM store.runs r LEFT JOIN entries e ON e.run_id = r.run_uuid "
            f"WHERE e.run_id IS NULL OR e.state != {_STATE} "
            "UNION SELECT run_uuid FROM store.tags WHERE rowid > ? "
            "UNION SELECT run_uuid FROM store.metrics WHERE rowid > ?",
            (before["tags"], before["metrics"]),
        ).fetchall()
        some_removed = f"SELECT 1 FROM entries WHERE {removed} LIMIT 1"
        if not changed and not connection.execute(some_removed).fetchone():
            return
        self.add(self.read([run_id for (run_id,) in changed]))
        with _transaction(connection):
            connection.execute(f"DELETE FROM entries WHERE {removed}")
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", newest.items())

    def read(self, run_ids: list[str]) -> Iterator[StoredRun]:
        """Yield runs of the database."""
        for start in range(0, len(run_ids), _CHUNK):
            ids = json.dumps(run_ids[start : start + _CHUNK])
            parts: list[dict[str, dict[str, Any]]] = []
            for table, condition in (
                ("tags", ""),
                ("params", ""),
                ("latest_metrics", "AND key NOT LIKE 'epoch/%' AND NOT is_nan"),
            ):
                found: dict[str, dict[str, Any]] = {}
                for run_id, key, value in self._connection.execute(
                    f"SELECT run_uuid, key, value FROM store.{table} WHERE run_uuid IN "
                    f"(SELECT value FROM json_each(?)) {condition} ORDER BY rowid",
                    (ids,),
                ):
                    found.setdefault(run_id, {})[key] = value
                parts.append(found)
            for row in self._connection.execute(
                f"SELECT run_uuid, experiment_id, {_STATE}, start_time, artifact_uri "
                "FROM store.runs r WHERE run_uuid IN (SELECT value FROM json_each(?))",
                (ids,),
            ).fetchall():
                run_id, experiment_id, state, started, uri = row
                contents = (part.get(run_id, {}) for part in parts)
                yield StoredRun(run_id, str(experiment_id), state, started, uri, *contents)

    def find(self, score_key: str) -> Iterator[StoredRun]:
        """Yield the runs of a job as the database has them now, unfinished ones among them."""
        found = self._connection.execute(
            "SELECT run_uuid FROM store.tags WHERE key = 'score_key' AND value = ?", (score_key,)
        ).fetchall()
        return self.read([run_id for (run_id,) in found])

    def add(self, runs: Iterable[StoredRun]) -> None:
        """Enter runs, in the place of earlier entries of the same runs."""
        entries: list[tuple[Any, ...]] = []
        for run in runs:
            entries.append(_entry(run))
            if len(entries) == _CHUNK:
                self._insert(entries)
                entries = []
        self._insert(entries)

    def _insert(self, entries: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(_COLUMNS))
        with _transaction(self._connection):
            self._connection.executemany(
                f"INSERT OR REPLACE INTO entries ({', '.join(_COLUMNS)}) VALUES ({marks})", entries
            )

    def add_written(self, run_id: str) -> None:
        """Enter a run that was just written; if that fails, the next update does it."""
        with contextlib.suppress(sqlite3.Error):
            self.add(self.read([run_id]))

    def forget(self, run_id: str) -> None:
        """Remove the entry of a run that will be changed; the next update enters it again."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("DELETE FROM entries WHERE run_id = ?", (run_id,))

    def replace(self, runs: Iterable[StoredRun]) -> None:
        """Enter the runs of a server in the place of all earlier ones."""
        self._connection.execute("DELETE FROM entries")
        self.add(runs)

    # -- reading ---------------------------------------------------------------------------

    def experiments(self) -> dict[str, str]:
        """Return the ids of the experiments of the database by name."""
        found = self._connection.execute("SELECT name, experiment_id FROM store.experiments")
        return {name: str(number) for name, number in found}

    def select(
        self, columns: str, condition: str, *values: Any, ordered: bool = True
    ) -> list[tuple[Any, ...]]:
        """Return columns of the entries of an SQL condition, the oldest first if ``ordered``."""
        order = " ORDER BY started, run_id" if ordered else ""
        return self._connection.execute(
            f"SELECT {columns} FROM entries WHERE {condition}{order}", values
        ).fetchall()

    def curves(self, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the points of curves (see ``ResultStore.curves``)."""
        return [
            {"run_id": run_id, "name": key.removeprefix("epoch/"), "step": step, "value": value}
            for run_id in run_ids
            for key, step, value in self._connection.execute(
                "SELECT key, step, value FROM store.metrics WHERE run_uuid = ? "
                "AND key LIKE 'epoch/%' ORDER BY key, step",
                (run_id,),
            )
        ]


_CONNECTION: dict[str, Any] = {
    "uri": True, "isolation_level": None, "timeout": _WAIT_SECONDS, "check_same_thread": False,
}  # fmt: skip


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _entry(run: StoredRun) -> tuple[Any, ...]:
    """Return the columns of a run; those of one that is no finished job have no kind."""
    tags = run.tags
    finished = not run.unfinished and "superseded_by" not in tags
    kind = tags.get("kind", "") if run.active else ""
    if kind == "session":
        content = json.dumps({"command": tags.get("command", "")})
        row: dict[str, Any] = {}
    elif kind in ("job", "trial") and finished and "score_key" in tags:
        row = table_row(run)
        if kind == "trial":
            row |= {"study": tags.get("study", ""), "trial": int(tags.get("trial", -1))}
        content = json.dumps(row)
    else:
        kind, row, content = "", {}, ""
    reason = row.get("reason", "")
    return (
        run.run_id, run.state, run.experiment_id, kind, row.get("score_key"), row.get("fit_key"),
        row.get("method"), row.get("dataset"), row.get("profile"), row.get("protocol"),
        row.get("seed"), row.get("status"), row.get("seconds"), row.get("n_cells"), run.started,
        int(row.get("status") == "done" or reason.startswith(SCORING_PREFIX)),
        run.artifact_uri, content,
    )  # fmt: skip
