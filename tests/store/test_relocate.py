"""A database without content beside artifacts is no new store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.settings import load_settings
from bench.store.mlflow_store import Tracker
from bench.store.relocate import renew_addresses


def test_an_empty_database_beside_artifacts_is_refused(tmp_path: Path):
    database = tmp_path / "mlflow.db"
    database.touch()
    renew_addresses(database, tmp_path)
    (tmp_path / "artifacts").mkdir()
    renew_addresses(database, tmp_path)
    (tmp_path / "artifacts" / "1").mkdir()
    with pytest.raises(StoreError) as error:
        renew_addresses(database, tmp_path)
    assert error.value.code == "empty_store"


def test_a_copied_store_says_where_artifacts_are_only_if_it_has_runs(
    tmp_path: Path, empty_store: Path, caplog: pytest.LogCaptureFixture
):
    def open_store(name: str) -> Tracker:
        return Tracker(load_settings({"results": tmp_path / name}))

    (tmp_path / "first").mkdir()
    shutil.copy(empty_store, tmp_path / "first" / "mlflow.db")
    store = open_store("first")
    with caplog.at_level("WARNING", logger="bench"):
        shutil.copytree(tmp_path / "first", tmp_path / "without_runs")
        open_store("without_runs")
        assert caplog.messages == []
        store.start_session("bench run", {})
        shutil.copytree(tmp_path / "first", tmp_path / "with_runs")
        open_store("with_runs")
    (message,) = caplog.messages
    assert "moved or copied" in message
