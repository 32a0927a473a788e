"""A database without content beside artifacts is no new store."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import StoreError
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
