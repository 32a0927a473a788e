"""A process that is killed at any point of a commit: the next start stores the job once."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from _reliability import Row, write_part
from sqlalchemy import event
from sqlalchemy.engine import Engine

import bench
from bench.settings import load_settings
from bench.store import index, mlflow_store
from bench.store.mlflow_store import Tracker
from bench.store.result import Result
from bench.store.spool import Spool

PLUGINS = Path(__file__).parents[1] / "plugins"
FILES = (mlflow_store.__file__, index.__file__)
"""Each line that runs in them is a point of a commit, and so is each statement of SQL."""


@pytest.fixture
def finished(tmp_path: Path, cache: Path, empty_store: Path) -> Path:
    """A results folder with one finished job, and its artifacts as ``fitted`` beside it."""
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    plugins = tuple(str(PLUGINS / f"{name}.py") for name in ("faulty", "toy"))
    bench.run(
        "noop", "toy", results=results, cache_dir=cache, plugins=plugins, seeds=1, report=False
    )
    (embedding,) = (results / "artifacts").glob("*/artifacts/embedding.parquet")
    shutil.copytree(embedding.parent, tmp_path / "fitted")
    return results


def spool_copy(results: Path, key: str, status: str = "done") -> Path:
    """Put a copy of the finished job into the spool under another key."""
    result = Result.read(results.parent / "fitted")
    result.job, result.status = replace(result.job, score_key=key), status
    spool = Spool(results / "spool")
    work = spool.work_folder(result.job)
    shutil.copytree(results.parent / "fitted", work / "artifacts", dirs_exist_ok=True)
    return spool.add(work, result)


def count_points(reached: Callable[[int], None]) -> None:
    """Call ``reached`` with 1, 2, … at each line of a commit and each statement of SQL."""
    number = 0

    def step(*_: Any) -> None:
        nonlocal number
        number += 1
        reached(number)

    def trace(frame: FrameType, what: str, _: Any) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        if what == "line":
            step()
        return trace

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, name, step)
    sys.settrace(trace)


def in_child(act: Callable[[], None]) -> int:
    """Run something in a fork of this process; returns the signal that ended it, 0 if none."""
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def number_of_points(settings: Any, folder: Path) -> int:
    read, write = os.pipe()

    def act() -> None:
        seen = []
        tracker = Tracker(settings)
        count_points(seen.append)
        tracker.commit(folder)
        sys.settrace(None)
        os.write(write, str(len(seen)).encode())

    assert in_child(act) == 0
    os.close(write)
    with os.fdopen(read) as stream:
        return int(stream.read())


def kill_at(settings: Any, folder: Path, point: int) -> None:
    def act() -> None:
        def reached(number: int) -> None:
            if number == point:
                os.kill(os.getpid(), signal.SIGKILL)

        tracker = Tracker(settings)
        count_points(reached)
        tracker.commit(folder)

    assert in_child(act) == signal.SIGKILL


def whole_runs(tracker: Tracker, key: str) -> list[Any]:
    runs = tracker._search(f"tags.score_key = '{key}'")
    for one in runs:
        folder = tracker._settings.results / "artifacts" / one.info.run_id / "artifacts"
        assert one.info.status == "FINISHED"
        assert one.data.metrics.keys() >= {"kmeans/ari", "seconds", "epoch/loss"}
        assert (folder / "embedding.parquet").is_file()
    return runs


def kill_at_points(results: Path, every: int) -> Row:
    settings = load_settings({"results": results})
    total = number_of_points(settings, spool_copy(results, "counted"))
    assert total > 60
    row = Row(f"killed at one of {total} points of a commit", "stored once", 0)
    for point in range(1, total + 1, every):
        folder = spool_copy(results, f"point{point}")
        kill_at(settings, folder, point)
        tracker = Tracker(settings)
        for waiting in Spool(results / "spool").pending():
            tracker.commit(waiting)
        runs = whole_runs(tracker, f"point{point}")
        assert tracker.find(f"point{point}") is not None
        assert len(tracker.rows(score_keys=[f"point{point}"])) == len(runs)
        row.tries, row.lost = row.tries + 1, row.lost + (not runs)
        row.doubled += len(runs) > 1
        tracker.close()
    return row


def test_killed_at_some_points_of_a_commit(finished: Path):
    row = kill_at_points(finished, every=50)
    assert (row.lost, row.doubled) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_each_point_of_a_commit(finished: Path):
    row = kill_at_points(finished, every=1)
    write_part("A commit that is killed", [row])
    assert (row.lost, row.doubled) == (0, 0)


@pytest.mark.parametrize("second", ["interrupted", "done"])
def test_killed_before_an_earlier_run_is_marked_as_replaced(finished: Path, second: str):
    """Both runs of the job are there; whatever follows, one counts."""
    settings = load_settings({"results": finished})

    def commit_all() -> Tracker:
        tracker = Tracker(settings)
        for waiting in Spool(finished / "spool").pending():
            tracker.commit(waiting)
        return tracker

    def kill_at_mark(folder: Path) -> None:
        tracker = Tracker(settings)
        tracker._client.set_tag = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        tracker.commit(folder)

    spool_copy(finished, "key", "interrupted")
    commit_all().close()
    folder = spool_copy(finished, "key", second)
    assert in_child(lambda: kill_at_mark(folder)) == signal.SIGKILL
    commit_all().close()
    spool_copy(finished, "key")
    tracker = commit_all()
    runs = tracker._search("tags.score_key = 'key'")
    counting = [one for one in runs if "superseded_by" not in one.data.tags]
    assert [one.data.tags["status"] for one in counting] == ["done"]
    assert len(tracker.rows(score_keys=["key"])) == 1
