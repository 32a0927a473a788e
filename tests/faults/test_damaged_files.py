"""Damage to what the program wrote: cached data are made anew, studies rebuilt, results kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from _reliability import Row, count_keys, stored_runs, write_part

import bench
from bench.errors import BenchError
from bench.execute import local_executor

PLUGINS = Path(__file__).parents[1] / "plugins"
HOW: dict[str, Callable[[bytes], bytes]] = {
    "cut in half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "with flipped bytes": lambda content: bytes(255 - one for one in content),
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def results(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(local_executor, "_INTERRUPT_SECONDS", 0.05)
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    return results


def run_one(results: Path, cache: Path, seed: int) -> str:
    """Run one job; returns how it went in words."""
    plugins = tuple(str(PLUGINS / f"{name}.py") for name in ("faulty", "toy"))
    try:
        outcome = bench.run(
            "noop", "toy", results=results, cache_dir=cache, plugins=plugins,
            seeds=(seed,), report=False,
        )  # fmt: skip
    except BenchError:
        return "one line"
    return next(iter(outcome.counts))


def scores(results: Path) -> dict[int, float]:
    runs = stored_runs(results)
    return {int(run.data.tags["seed"]): run.data.metrics.get("kmeans/ari") for run in runs}


def test_a_damaged_cache(results: Path, tmp_path: Path, empty_store: Path, cache: Path):
    """Each file of the cache in turn; afterwards a job must run and have its true score."""
    own, calm = tmp_path / "own_cache", tmp_path / "calm"
    calm.mkdir()
    shutil.copy(empty_store, calm / "mlflow.db")
    assert run_one(calm, cache, 0) == "done"
    assert run_one(results, own, 0) == "done"
    folders = [own / "datasets", own / "prepared", own / "pointers"]
    files = sorted(file for folder in folders for file in folder.rglob("*.*") if file.is_file())
    rows, seed = [], 0
    for how, change in HOW.items():
        ends = set()
        for file in files:
            if not file.is_file():  # the folder was made anew under another name
                continue
            seed += 1
            content = file.read_bytes()
            file.write_bytes(change(content))
            end = run_one(results, own, seed)
            if end != "done":
                file.write_bytes(content)
                assert run_one(results, own, seed) == "done", file
            ends.add(end)
        row = Row(f"file of the cache {how}", ", ".join(sorted(ends)), len(files))
        row.expected = ends <= {"done", "interrupted", "one line"}
        rows.append(row)
    keys = count_keys(stored_runs(results))
    rows[0].lost = seed + 1 - len(keys)
    rows[0].doubled = sum(number > 1 for number in keys.values())
    write_part("A damaged cache", rows)
    assert [row for row in rows if not row.expected or row.lost or row.doubled] == []
    found = scores(results)
    assert found[0] == scores(calm)[0]
    assert None not in found.values()
    for seed in (1, len(files) // 2, len(found) - 1):
        assert run_one(calm, cache, seed) == "done"
        assert scores(calm)[seed] == found[seed], seed


def search(results: Path, cache: Path) -> None:
    bench.search(
        "tunable", "blobs", trials=4, seeds=(0,), results=results, cache_dir=cache, jobs=1,
        plugins=(str(PLUGINS / "tunable.py"),), report=False,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["line", *HOW])
def test_a_damaged_journal(results: Path, cache: Path, how: str):
    search(results, cache)
    trials = {run.data.tags["score_key"] for run in stored_runs(results, "trial")}
    (journal,) = results.rglob("study.journal")
    content = journal.read_bytes()
    if how == "line":
        lines = content.splitlines(keepends=True)
        lines[len(lines) // 2] = b"\xff{damaged\n"
        journal.write_bytes(b"".join(lines))
    else:
        journal.write_bytes(HOW[how](content))
    search(results, cache)
    keys = count_keys(stored_runs(results, "trial"))
    fault = "middle line damaged" if how == "line" else how
    row = Row(fault, "the same trials", 1, len(trials - keys.keys()))
    row.doubled = sum(keys.values()) - len(trials)
    write_part("A damaged journal of a study", [row])
    assert (row.lost, row.doubled) == (0, 0)
