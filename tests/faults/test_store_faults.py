"""Faults of the results folder and of the tracking server: one line each, nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _reliability import Row, write_part

from bench.errors import StoreError
from bench.settings import load_settings
from bench.store import mlflow_client
from bench.store.mlflow_store import Tracker
from bench.store.results_table import load_results

PLUGINS = Path(__file__).parents[1] / "plugins"
SECRET = "pl4nted"


def bench(results: Path, cache: Path, *more: str, verb: str = "run") -> list[str]:
    words = [sys.executable, "-m", "bench", verb, "--results", str(results)]
    if verb == "run":
        words += ["-m", "noop", "-d", "toy", "--cache-dir", str(cache), "--seeds", "1"]
        words += ["--plugin", str(PLUGINS / "faulty.py"), "--plugin", str(PLUGINS / "toy.py")]
    return [*words, *more]


def one_line(ran: subprocess.CompletedProcess[str], text: str) -> None:
    """Check that a command ended with one line for the user and exit code 2."""
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("bench: ")]
    assert text in line


def passed(fault: str, outcome: str = "one line", *, lost: int = 0, doubled: int = 0) -> None:
    """Write a row of the table of faults, at the end of a test."""
    write_part("Results folder and tracking server", [Row(fault, outcome, 1, lost, doubled)])


def run(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, env=os.environ | environment, timeout=300
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a disk of some size in MiB, and mount it again with other options."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        deadline = time.monotonic() + 60  # a process that ends may still have a file open
        while subprocess.run(command, capture_output=True).returncode:
            if not mounted:
                pytest.skip("this user may not mount a disk")
            assert time.monotonic() < deadline
            time.sleep(0.5)
        mounted = True
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_while_the_database_is_made(tmp_path: Path, cache: Path, number: signal.Signals):
    results, messages = tmp_path / "results", tmp_path / "messages.txt"
    with messages.open("w") as stream:  # a pipe would stay open in the server of processes
        driver = subprocess.Popen(
            bench(results, cache, "--no-report"), stderr=stream,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
    deadline = time.monotonic() + 120
    partial = results / ".new.mlflow.db"
    while not (partial.is_file() and partial.stat().st_size):
        assert driver.poll() is None, messages.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    driver.send_signal(number)
    driver.wait(timeout=60)
    assert driver.returncode == (-9 if number == signal.SIGKILL else 130), messages.read_text()
    assert "Traceback" not in messages.read_text()
    assert not (results / "mlflow.db").exists()
    again = run(bench(results, cache, "--no-report"))
    assert again.returncode == 0, again.stderr
    assert len(load_results(results, columns="all")) == 1
    assert not list(results.glob(".new*"))
    passed(f"{number.name} while the database is made", "made anew")


@pytest.mark.slow
def test_a_full_disk_for_a_new_store(disk, cache: Path):
    ran = run(bench(disk("size=256k") / "results", cache, "--no-report"))
    one_line(ran, "the disk is full")
    passed("disk full in a new store")


@pytest.mark.slow
def test_a_full_disk_in_a_commit(disk, cache: Path, empty_store: Path):
    results = disk("size=1500k") / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    ran = run(bench(results, cache, "--no-report", "--seeds", "60"))
    one_line(ran, "the disk is full")
    n_done = len(load_results(results, columns="all"))
    assert n_done < 60
    disk("size=64m")
    again = run(bench(results, cache, "--no-report", "--seeds", "60"))
    assert again.returncode == 0, again.stderr
    table = load_results(results, columns="all")
    assert table["status"].tolist() == ["done"] * 60
    passed("disk full in a commit", "all jobs done once there is room", lost=60 - len(table))


@pytest.mark.slow
def test_an_archived_store_is_readable(disk, cache: Path, empty_store: Path, tmp_path: Path):
    place = disk("size=64m")
    results = place / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    assert run(bench(results, cache, "--no-report")).returncode == 0
    for index in ("kept", "removed"):
        if index == "removed":
            disk("rw")
            (results / "index.db").unlink()
        disk("ro")
        assert len(load_results(results, columns="all")) == 1
        one_line(run(bench(results, cache, "--no-umap", verb="report")), "cannot be written")
        out = tmp_path / index
        words = ("--no-umap", "--no-static", "--out", str(out))
        assert run(bench(results, cache, *words, verb="report")).returncode == 0
        assert (out / "report.html").is_file()
    one_line(run(bench(results, cache, "--seeds", "2")), "cannot be written")
    passed("read-only results", "reports elsewhere, one line for a run")


def test_results_removed_during_a_run(tmp_path: Path, cache: Path, empty_store: Path, monkeypatch):
    import bench as package

    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    commit = Tracker.commit

    def remove(self: Tracker, folder: Path) -> str | None:
        shutil.rmtree(results)
        return commit(self, folder)

    monkeypatch.setattr(Tracker, "commit", remove)
    plugins = tuple(str(PLUGINS / f"{name}.py") for name in ("faulty", "toy"))
    with pytest.raises(StoreError) as error:
        package.run(
            "noop", "toy", results=results, cache_dir=cache, plugins=plugins, seeds=1, report=False
        )
    assert error.value.code == "store_removed"
    passed("results removed during a run")


@pytest.mark.slow
def test_odd_entries_of_the_spool(tmp_path: Path, cache: Path, empty_store: Path):
    results = tmp_path / "results"
    for name in ("folder", "nothing", "text"):
        (results / "spool" / name / "artifacts").mkdir(parents=True)
    (results / "spool" / "folder" / "result.json").mkdir()
    (results / "spool" / "text" / "result.json").write_text("[1]")
    (results / "spool" / "file").write_text("x")
    shutil.copy(empty_store, results / "mlflow.db")
    ran = run(bench(results, cache, "--no-report"))
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("not fit for the store") == 3
    assert len(list((results / "refused").iterdir())) == 3
    passed("odd entries of the spool", "set aside, a line each")


@pytest.fixture
def dead_server() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://me:{SECRET}@127.0.0.1:{probe.getsockname()[1]}"


def test_a_dead_server_is_one_line(dead_server: str, tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setattr(mlflow_client, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(mlflow_client, "GIVE_UP_SECONDS", 1.5)
    settings = load_settings({"results": tmp_path, "tracking_uri": dead_server})
    with caplog.at_level("WARNING", logger="bench"), pytest.raises(StoreError) as error:
        Tracker(settings)
    assert error.value.code == "no_answer"
    assert len(caplog.messages) == 1
    assert SECRET not in caplog.text + str(error.value)
    passed("a dead tracking server")


@pytest.mark.slow
def test_no_password_is_printed_or_stored(tmp_path: Path, cache: Path, empty_store: Path):
    """A server that is only named, not reached, stands for one that is used."""
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    address = f"postgresql://me:{SECRET}@127.0.0.1:1/studies"
    plugin = str(PLUGINS / "tunable.py")
    searched = run([
        sys.executable, "-m", "bench", "search", "-m", "tunable", "-d", "blobs", "--trials", "1",
        "--storage", address, "--results", str(results), "--cache-dir", str(cache),
        "--plugin", plugin,
    ])  # fmt: skip
    assert searched.returncode == 2
    # An option may come twice: the first address stays in the command that is recorded.
    twice = ("--tracking-uri", f"http://me:{SECRET}@127.0.0.1:1", "--tracking-uri", "")
    ran = run(bench(results, cache, "--no-umap", *twice))
    assert ran.returncode == 0, ran.stderr
    assert (results / "report.html").is_file()
    outputs = searched.stdout + searched.stderr + ran.stdout + ran.stderr
    assert SECRET not in outputs
    assert "***@127.0.0.1:1" in (results / "report.html").read_text()
    for file in results.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    passed("passwords in addresses", "in no file and no output")
