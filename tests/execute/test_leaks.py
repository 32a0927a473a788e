"""Methods that look for labels in a run find none, and cannot change what they cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.execute import landlock, wall

LEAKS = str(Path(__file__).parents[1] / "plugins" / "leaks.py")
METHODS = "leak_frames,leak_memory_map,leak_number_of_types,leak_clock,random"


@pytest.fixture
def rows(bench_run, flags):
    outcome = bench_run(METHODS, plugins=(*flags["plugins"], LEAKS))
    return outcome.results.set_index("method")


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_labels_are_out_of_reach(rows):
    assert rows.at["leak_frames", "status"] == "failed"
    assert "Permission" in rows.at["leak_frames", "reason"]
    assert rows.at["leak_memory_map", "status"] == "failed"
    assert rows.at["leak_number_of_types", "status"] == "failed"
    assert set(rows.loc[rows["status"] == "done", "files"]) == {wall.KERNEL}


def test_the_parent_measures_the_time(rows):
    assert rows.at["leak_clock", "status"] == "done"
    assert rows.at["leak_clock", "seconds"] > 0.5


def test_without_landlock_the_run_says_so(bench_run, flags, monkeypatch):
    monkeypatch.setattr("bench.execute.local_executor.KERNEL_WALL", False)
    outcome = bench_run("random", seeds="5,6")
    assert set(outcome.results["files"]) == {wall.PROCESS_ONLY}
