"""The index gives what MLflow has, whatever happened to either."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import Any

import pytest

from bench.errors import StoreError
from bench.store.result_store import ResultStore


def rows(written) -> list[dict[str, Any]]:
    found = ResultStore(written.settings).rows()
    for row in found:
        del row["artifacts"], row["command"]
    return sorted(found, key=lambda row: row["run_id"])


def index_file(written):
    return written.settings.results / "index.db"


def test_rows_are_those_of_mlflow(written):
    for seed in range(3):
        written.add("pca", seed)
    written.add("vae", reason="broken", status="failed", missing='{"kmeans/ari": "no types"}')
    assert len(rows(written)) == 4
    assert rows(written) == written.rows()
    assert index_file(written).is_file()


def test_changes_in_mlflow_are_seen(written):
    first, second = written.add("pca", 0), written.add("pca", 1)
    assert len(rows(written)) == 2
    written.client.delete_run(first)
    assert [row["run_id"] for row in rows(written)] == [second]
    written.client.restore_run(first)
    written.client.log_metric(second, "own/metric", 7.0)
    written.add("vae")
    assert len(rows(written)) == 3
    assert {row.get("own/metric") for row in rows(written)} == {None, 7.0}
    assert rows(written) == written.rows()
    written.client.set_tag(first, "superseded_by", second)
    assert first not in {row["run_id"] for row in rows(written)}


@pytest.mark.parametrize("content", [None, b"", b"no database" * 1000])
def test_a_lost_or_damaged_index_is_made_anew(written, content):
    written.add("pca")
    before = rows(written)
    index_file(written).unlink()
    if content is not None:
        index_file(written).write_bytes(content)
    assert rows(written) == before == written.rows()


def test_an_index_of_another_format_is_made_anew(written):
    written.add("pca")
    before = rows(written)
    with sqlite3.connect(index_file(written)) as index:
        index.execute("UPDATE facts SET value = 'older' WHERE name = 'format'")
        index.execute("UPDATE entries SET content = '{}'")
    assert rows(written) == before


def test_only_the_jobs_asked_for_are_read(written):
    for seed in range(4):
        written.add("pca", seed)
    store = ResultStore(written.settings)
    assert len(store.rows()) == 4
    with sqlite3.connect(index_file(written)) as index:
        index.execute("UPDATE entries SET content = 'no JSON' WHERE score_key != 'pca-2'")
    assert set(store.stored_jobs(["pca-2", "other"])) == {"pca-2"}
    (row,) = store.rows(score_keys=["pca-2"])
    assert row["seed"] == 2
    assert store.stored_jobs(["pca-2"])["pca-2"].values == {"kmeans/ari": 0.75, "seconds": 2.0}


def test_a_store_is_read_without_mlflow(written):
    written.add("pca")
    code = (
        "import sys, bench\n"
        f"assert len(bench.load_results({str(written.settings.results)!r})) == 1\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_damaged_database_is_one_error(written):
    written.add("pca")
    written.settings.database.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError) as error:
        ResultStore(written.settings).rows()
    assert error.value.code == "damaged_store"


def test_an_unknown_experiment(written):
    store = ResultStore(written.settings.model_copy(update={"experiment": "other"}))
    assert store.rows() == []
    with pytest.raises(StoreError) as error:
        store.require_experiment()
    assert error.value.code == "unknown_name"
