"""The address at which ``bench ui`` shows the jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from _command import bench, error_code

from bench.cli.ui import check_port, jobs_page
from bench.errors import UsageError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "my results #1?.db"
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT)")
        store.executemany("INSERT INTO experiments VALUES (?, ?)", [(0, "Default"), (7, "bench")])
        store.execute("CREATE TABLE experiment_tags (experiment_id INTEGER, key TEXT)")
    return path


def test_the_page_shows_jobs_by_their_score(database: Path):
    place, query = jobs_page(database, "bench").split("?")
    assert place == "#/experiments/7/runs"
    asked = {key: value for key, (value,) in parse_qs(query).items()}
    assert asked["searchFilter"] == "tags.kind = 'job' and tags.family != 'control'"
    assert asked["orderByKey"] == "metrics.`kmeans/ari`"


def test_the_page_is_the_saved_view_of_the_experiment(database: Path):
    with sqlite3.connect(database) as store:
        store.execute("INSERT INTO experiment_tags VALUES (0, 'mlflow.sharedViewState.jobs')")
    assert "searchFilter" in jobs_page(database, "bench")
    with sqlite3.connect(database) as store:
        store.execute("INSERT INTO experiment_tags VALUES (7, 'mlflow.sharedViewState.jobs')")
    asked = parse_qs(jobs_page(database, "bench").split("?")[1])
    assert asked == {"workflowType": ["machine_learning"], "viewStateShareKey": ["jobs"]}


def test_a_server_gives_its_own_address_and_a_database_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bench.store.result_store.ResultStore", lambda settings: SimpleNamespace(
        require_experiment=lambda: None, experiments=lambda: {"bench": "12"}
    ))  # fmt: skip
    result = bench("ui", BENCH_TRACKING_URI="http://me:secret@127.0.0.1:9/")
    assert result.exit_code == 0
    assert result.stdout.startswith("http://127.0.0.1:9/#/experiments/12/runs?")
    result = bench("ui", BENCH_TRACKING_URI="postgresql://me:secret@127.0.0.1/mlflow")
    assert error_code(result) == "server_store"
    assert "secret" not in result.output


def test_another_experiment_or_file_is_one_line(database: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="there are: bench") as error:
        jobs_page(database, "mine")
    assert error.value.code == "unknown_name"
    (tmp_path / "text").write_text("no database, but long enough to be read as one" * 99)
    with pytest.raises(UsageError) as error:
        jobs_page(tmp_path / "text", "bench")
    assert error.value.code == "unreadable"


def test_a_port_in_use_is_one_line():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(UsageError) as error:
            check_port(port)
        assert error.value.code == "port_in_use"
    check_port(port)


@pytest.mark.parametrize("code", [0, 1, -9])
def test_a_server_that_ends_by_itself_is_an_error(
    code: int, database: Path, monkeypatch: pytest.MonkeyPatch
):
    database.rename(database.with_name("mlflow.db"))
    monkeypatch.setattr("bench.cli.ui.check_port", lambda port: None)
    monkeypatch.setattr("bench.cli.ui.run_server", lambda command: code)
    result = bench("ui", "--results", str(database.parent))
    assert (result.exit_code, error_code(result)) == (2, "server_ended")
    assert f"code {code}" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_command(number: signal.Signals):
    server = ["sh", "-c", "sleep 1234 & sleep 1234 & echo $$; wait"]
    code = f"from bench.cli.ui import run_server; run_server({server!r})"
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    group = os.getpgid(int(command.stdout.readline()))
    command.send_signal(number)
    command.wait(30)
    deadline = time.monotonic() + 30
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        raise AssertionError("the server goes on")
