"""A battery of methods that go wrong: each job has its status, and nothing is left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from _reliability import Row, count_keys, stored_runs, write_part

from bench.execute import limited_process, local_executor
from bench.execute.run import run

PLUGIN = Path(__file__).with_name("bad_methods.py")
TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
FEW = (
    "leaves_a_daemon_without_environment", "leaves_a_daemon_and_crashes", "forks_many",
    "exits_with_255", "raises_what_cannot_be_encoded", "returns_a_table_elsewhere",
    "closes_all_files", "kills_itself",
)  # fmt: skip
"""Those of the short form: of each kind one, none that takes long."""


def cases() -> dict[str, frozenset[str]]:
    spec = importlib.util.spec_from_file_location("bad_methods", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: statuses for name, (statuses, _) in module.CASES.items()}


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The marks of all jobs of this test."""
    found: list[int] = []
    new_mark = limited_process.new_mark

    def remember() -> int:
        found.append(new_mark())
        return found[-1]

    monkeypatch.setattr(limited_process, "new_mark", remember)
    monkeypatch.setattr(local_executor, "_INTERRUPT_SECONDS", 0.05)
    return found


def orphans(marks: list[int]) -> list[psutil.Process]:
    """Return the processes that jobs have left."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            marked = resource.prlimit(process.pid, 10)[1] in marks
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def tries(names: list[str], seeds: int, folder: Path, cache: Path) -> Any:
    outcome = run(
        ",".join(names), "toy", report=False, results=folder, cache_dir=cache, seeds=seeds,
        plugins=(str(PLUGIN), str(TOY)), jobs=2, timeout=8.0, memory=0.4,
    )  # fmt: skip
    assert outcome.table is not None
    return outcome.table


def battery(
    names: dict[str, frozenset[str]], seeds: int, folder: Path, cache: Path, marks: list[int]
) -> list[Row]:
    """Run the methods; returns how they ended, and raises nothing for a wrong status."""
    table = tries(list(names), seeds, folder, cache)
    keys, left = count_keys(stored_runs(folder)), len(orphans(marks))
    rows = []
    for name, statuses in names.items():
        own = table[table["method"] == name]
        ends, doubled = Counter(own["status"]), sum(keys[key] > 1 for key in own["score_key"])
        row = Row(name.replace("_", " "), ", ".join(sorted(ends)), len(own), doubled=doubled)
        row.lost, row.orphans, row.expected = seeds - len(own), left, set(ends) <= statuses
        rows.append(row)
    assert all(table.loc[table["status"] != "done", "reason"])
    return rows


@pytest.fixture
def folder(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def check(rows: list[Row], marks: list[int], folder: Path) -> None:
    assert [row for row in rows if not row.expected] == []
    assert sum(row.lost + row.doubled for row in rows) == 0
    assert orphans(marks) == []
    assert [path for path in (folder / "spool").iterdir() if not path.name.startswith(".")] == []
    sizes = [path.stat().st_size for path in folder.rglob("log.txt")]
    assert max(sizes) < 2**21


@pytest.mark.skipif(sys.platform != "linux", reason="processes are marked on Linux")
def test_some_bad_methods(folder: Path, cache: Path, marks: list[int]):
    known = cases()
    check(battery({name: known[name] for name in FEW}, 1, folder, cache, marks), marks, folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="processes are marked on Linux")
def test_all_bad_methods(folder: Path, cache: Path, marks: list[int]):
    known = cases()
    assert len(known) >= 60
    rows = battery(known, int(os.environ.get("BENCH_FAULT_TRIES", "1")), folder, cache, marks)
    write_part("Methods that go wrong", rows)
    check(rows, marks, folder)
