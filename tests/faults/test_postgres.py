"""A real PostgreSQL behind ``mlflow server`` and as storage of studies, restarted in the middle.

The cluster lies in a temporary folder and is run by another user than root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _mlflow_server import MlflowServer, free_port
from _reliability import Row, count_keys, stored_runs, write_part

PLUGINS = Path(__file__).parents[1] / "plugins"
PASSWORD = "pl4nted"
USER = "postgres"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; skips where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    pytest.importorskip("psycopg", reason="psycopg[binary] is not installed")
    return folders[-1]


class Postgres:
    """A cluster in a temporary folder."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin, self.port = bin_folder, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))
        self._as = {"user": USER, "group": USER, "extra_groups": []} if not os.geteuid() else {}
        if self._as:
            shutil.chown(self.folder, USER, USER)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb", "-D", self.folder / "data", "-U", "bench", "-A", "scram-sha-256",
            "--pwfile", password, "-N",
        )  # fmt: skip
        self.start()

    def _run(self, program: str, *words: object) -> None:
        with (self.folder / "log.txt").open("a") as log:  # the server keeps it open
            subprocess.run(
                [self._bin / program, *map(str, words)], stdout=log, stderr=log, check=True,
                cwd=self.folder, **self._as,
            )  # fmt: skip

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-D", self.folder / "data", "-o", options, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def make_database(self, name: str) -> str:
        """Create a database; returns its address, with the password."""
        import psycopg

        address = f"host=127.0.0.1 port={self.port} user=bench password={PASSWORD}"
        with psycopg.connect(f"{address} dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://bench:{PASSWORD}@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    cluster = Postgres(programs())
    yield cluster
    cluster.stop()
    shutil.rmtree(cluster.folder)


@pytest.fixture
def server(postgres: Postgres, tmp_path: Path) -> Iterator[MlflowServer]:
    made = MlflowServer(postgres.make_database("mlflow"), tmp_path)
    yield made
    made.kill()


def bench(tmp_path: Path, cache: Path, *words: str) -> subprocess.Popen[str]:
    with (tmp_path / "messages.txt").open("a") as messages:
        return subprocess.Popen(
            [
                sys.executable, "-m", "bench", *words, "--results", str(tmp_path / "results"),
                "--cache-dir", str(cache), "--seeds", "12" if words[0] == "run" else "1",
                "--no-report",
            ],
            stdout=messages, stderr=messages, text=True, start_new_session=True,
        )  # fmt: skip


def messages(tmp_path: Path) -> str:
    return (tmp_path / "messages.txt").read_text()


def stored(address: str) -> list[Any]:
    """Return the finished jobs of a server."""
    return [run for run in stored_runs(address) if run.info.status in ("FINISHED", "FAILED")]


def wait_for(count: int, counted: Any, driver: subprocess.Popen[str], tmp_path: Path) -> None:
    deadline = time.monotonic() + 240
    while counted() < count:
        assert driver.poll() is None, messages(tmp_path)
        assert time.monotonic() < deadline, messages(tmp_path)
        time.sleep(0.3)


def test_a_server_that_restarts(
    postgres: Postgres, server: MlflowServer, tmp_path: Path, cache: Path
):
    words = ["run", "-m", "slow[seconds=0.3]", "-d", "toy", "--tracking-uri", server.address]
    for name in ("faulty", "toy"):
        words += ["--plugin", str(PLUGINS / f"{name}.py")]
    driver = bench(tmp_path, cache, *words)

    def count() -> int:
        return len(stored(server.address))

    wait_for(2, count, driver, tmp_path)
    server.kill()
    time.sleep(2)
    server.start()
    wait_for(5, count, driver, tmp_path)
    postgres.stop()
    time.sleep(2)
    postgres.start()
    wait_for(8, count, driver, tmp_path)
    driver.kill()
    driver.wait()
    assert bench(tmp_path, cache, *words).wait(300) == 0, messages(tmp_path)
    assert bench(tmp_path, cache, *words).wait(300) == 0, messages(tmp_path)
    runs = stored(server.address)
    keys = count_keys(runs)
    row = Row("MLflow server, then PostgreSQL, restarted; driver killed", "all jobs done", 3)
    row.lost, row.doubled = 12 - len(keys), sum(number > 1 for number in keys.values())
    row.expected = {run.info.status for run in runs} == {"FINISHED"}
    write_part("PostgreSQL", [row])
    assert (row.lost, row.doubled, row.expected) == (0, 0, True)
    assert "12 from the store" in messages(tmp_path)
    assert "Traceback" not in messages(tmp_path)


def trials(results: Path) -> list[str]:
    runs = stored_runs(results, "trial")
    return sorted(run.data.tags["trial"] for run in runs if run.info.status == "FINISHED")


def test_studies_in_postgres(postgres: Postgres, tmp_path: Path, cache: Path, empty_store: Path):
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    address = postgres.make_database("studies")
    words = ["search", "-m", "tunable", "-d", "blobs", "--trials", "10", "--storage", address]
    words += ["--plugin", str(PLUGINS / "tunable.py"), "--set", "tunable.pause=0.03"]
    words += ["--jobs", "1"]
    driver = bench(tmp_path, cache, *words)
    wait_for(2, lambda: len(trials(results)), driver, tmp_path)
    postgres.stop()
    time.sleep(2)
    postgres.start()
    with contextlib.suppress(AssertionError):
        wait_for(5, lambda: len(trials(results)), driver, tmp_path)
    driver.kill()
    code = driver.wait()
    for _ in range(8):  # until the heartbeat of the killed driver counts as dead
        if bench(tmp_path, cache, *words).wait(300) == 0:
            break
        time.sleep(10)
    numbers = trials(results)
    row = Row("storage of a study restarted, driver killed", "all trials done", 2)
    row.lost, row.doubled = 10 - len(set(numbers)), len(numbers) - len(set(numbers))
    write_part("PostgreSQL", [row])
    assert (row.lost, row.doubled) == (0, 0), (code, messages(tmp_path))
    assert "Traceback" not in messages(tmp_path)
    assert PASSWORD not in messages(tmp_path)
