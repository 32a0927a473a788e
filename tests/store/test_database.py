"""A database is whole or not there, whatever ends the process that makes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.settings import load_settings
from bench.store.mlflow_store import Tracker
from bench.store.result_store import ResultStore


def half_made(results: Path, *, runs: int) -> Path:
    results.mkdir()
    database = results / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('no such version')")
        connection.execute("CREATE TABLE runs (run_uuid TEXT)")
        connection.executemany("INSERT INTO runs VALUES (?)", [(str(n),) for n in range(runs)])
    return database


def test_a_half_made_database_is_moved_aside(tmp_path, caplog):
    database = half_made(tmp_path / "results", runs=0)
    with caplog.at_level("WARNING", logger="bench"):
        Tracker(load_settings({"results": database.parent}))
    assert [text for text in caplog.messages if "half made" in text] == caplog.messages
    assert len(list(database.parent.glob("mlflow.db.half-made-*"))) == 1
    assert ResultStore(load_settings({"results": database.parent})).rows() == []


def test_a_database_with_runs_is_never_replaced(tmp_path):
    database = half_made(tmp_path / "results", runs=1)
    with pytest.raises(StoreError) as error:
        Tracker(load_settings({"results": database.parent}))
    assert error.value.code == "damaged_store"
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT run_uuid FROM runs").fetchall() == [("0",)]
    assert not list(database.parent.glob("*half-made*"))


@pytest.mark.parametrize("name", ["a?b", "p%20y", "p%y#z", "plain"])
def test_any_path_holds_its_own_database(tmp_path, empty_store, name, monkeypatch):
    import shutil

    from bench.store import database

    monkeypatch.setattr(database, "_make", lambda target: shutil.copy(empty_store, target))
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"results": Path(name)})
    run = Tracker(settings).start_session("bench run", {})
    with closing(sqlite3.connect(tmp_path / name / "mlflow.db")) as connection:
        assert connection.execute("SELECT run_uuid FROM runs").fetchall() == [(run,)]
    assert ResultStore(settings).experiments().keys() == {"Default", "bench"}
    assert {path.name for path in tmp_path.iterdir()} == {name}
