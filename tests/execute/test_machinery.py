"""What is not the method's doing is no result: the job is interrupted and runs again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from bench.execute import limited_process, local_executor, server_start
from bench.execute.limited_process import ProcessOutcome, run_limited
from bench.execute.memory_events import count_oom_kills


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_executor, "_INTERRUPT_SECONDS", 0.01)


def server() -> psutil.Process:
    forkserver = server_start.multiprocessing.forkserver._forkserver
    return psutil.Process(forkserver._forkserver_pid)


def when_a_fit_runs(results: Path, act: Callable[[], None], times: int = 1) -> threading.Thread:
    """Do something ``times`` times, each as soon as the process of another fit runs."""

    def watch() -> None:
        seen: set[int] = set()
        while len(seen) < times:
            time.sleep(0.02)
            if not list((results / "spool").glob(".*/artifacts/log.txt")):
                continue
            with contextlib.suppress(psutil.Error):
                new = {process.pid for process in server().children()} - seen
                if new:
                    seen.add(min(new))
                    time.sleep(0.3)
                    act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def kill_fits(number: signal.Signals = signal.SIGKILL) -> None:
    for process in server().children():
        process.send_signal(number)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_fit_that_somebody_kills_runs_once_more(bench_run, results: Path, number):
    thread = when_a_fit_runs(results, lambda: kill_fits(number))
    outcome = bench_run("slow[seconds=1]")
    thread.join(5)
    assert dict(outcome.counts) == {"done": 1}, outcome.table["log_tail"][0]
    assert "runs once more" in outcome.text


@pytest.mark.slow
def test_a_fit_that_is_killed_again_runs_at_the_next_start(bench_run, results: Path):
    thread = when_a_fit_runs(results, kill_fits, times=2)
    outcome = bench_run("slow[seconds=1]")
    thread.join(5)
    row = outcome.table.iloc[0]
    assert (row["status"], outcome.exit_code) == ("interrupted", 3)
    assert "SIGKILL" in row["reason"]
    again = bench_run("slow[seconds=1]")
    assert (again.fitted, dict(again.counts)) == (1, {"done": 1})
    assert len(again.table) == 1


@pytest.mark.slow
def test_the_end_of_the_process_server_is_no_failure_of_the_fits(bench_run, results: Path):
    thread = when_a_fit_runs(results, lambda: server().kill())
    outcome = bench_run("slow[seconds=1],noop")
    thread.join(5)
    assert dict(outcome.counts) == {"done": 2}, list(outcome.table["reason"])


def test_a_method_that_leaves_with_the_code_of_a_lost_server_failed(bench_run, flags, tmp_path):
    plugin = bad_method(tmp_path, "import os; os._exit(255)")
    outcome = bench_run("bad", plugins=(flags["plugins"][1], plugin))
    assert outcome.table["status"].tolist() == ["failed"]
    assert "255" in outcome.table["reason"][0]


def bad_method(folder: Path, body: str) -> str:
    """Write a plugin with a method ``bad`` whose fit runs these statements first."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    path = folder / "bad_method.py"
    path.write_text(
        "from bench.contract import Fit, Method, RNA\n"
        "class Bad(Method):\n"
        "    name, summary, reference, family = 'bad', 'goes wrong', 'none', 'baseline'\n"
        "    modalities = frozenset({RNA})\n"
        "    def fit(self, data, context):\n"
        f"{lines}\n"
        "        return Fit(data.X.toarray()[:, :3])\n"
    )
    return str(path)


def test_out_of_memory_is_what_the_kernel_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    outcome = partial(limited_process._outcome, lost=False)
    assert outcome(None, -9, out_of_memory=True).status == "oom"
    assert outcome(None, -9, out_of_memory=False).status == "interrupted"
    assert outcome(None, -11, out_of_memory=True).status == "failed"
    assert outcome(None, -40, out_of_memory=False).reason == "crashed with signal 40"
    for groups, file in (
        ("0::/a/b\n", "a/b/memory.events"),
        ("4:memory:/c\n0::/\n", "memory/c/memory.oom_control"),
    ):
        (tmp_path / "cgroup").write_text(groups)
        path = tmp_path / "sys" / file
        path.parent.mkdir(parents=True)
        path.write_text("low 0\noom 5\noom_kill 4\n")
        monkeypatch.setattr("bench.execute.memory_events._GROUPS", tmp_path / "cgroup")
        monkeypatch.setattr("bench.execute.memory_events._ROOT", tmp_path / "sys")
        assert count_oom_kills() == 4
        path.unlink()


@pytest.mark.parametrize("folder", ["prepared", pytest.param("datasets", marks=pytest.mark.slow)])
def test_a_cache_removed_during_the_run_fails_no_job(
    bench_run, results: Path, tmp_path: Path, folder: str
):
    cache = tmp_path / "own_cache"
    thread = when_a_fit_runs(results, lambda: shutil.rmtree(cache / folder))
    words = "slow[seconds=1],slow[seconds=0.5],noop"
    outcome = bench_run(words, jobs=1, cache_dir=cache)
    thread.join(5)
    assert set(outcome.counts) <= {"done", "interrupted"}
    if folder == "prepared":
        assert dict(outcome.counts) == {"done": 3}
    again = bench_run(words, jobs=1, cache_dir=cache)
    assert dict(again.counts) == {"done": 3}


def test_a_process_that_cannot_start_is_tried_again(bench_run, monkeypatch: pytest.MonkeyPatch):
    start, calls = limited_process.start_process, []

    def fails_first(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise OSError(11, "no process")
        return start(*arguments)

    monkeypatch.setattr(limited_process, "start_process", fails_first)
    assert dict(bench_run("noop").counts) == {"done": 1}


def test_a_full_scratch_folder_is_no_failure_of_the_method(bench_run, flags, tmp_path: Path):
    body = "import os\nraise OSError(28, os.strerror(28), str(context.scratch / 'x'))"
    plugin = bad_method(tmp_path, body)
    outcome = bench_run("bad", plugins=(flags["plugins"][1], plugin))
    assert outcome.table["status"].tolist() == ["interrupted"]
    assert "No space left" in outcome.table["reason"][0]


def test_a_scratch_folder_that_cannot_be_made_is_one_line(bench_run, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28), "scratch")

    monkeypatch.setattr(local_executor, "TemporaryDirectory", full)
    outcome = bench_run("noop")
    assert outcome.table["status"].tolist() == ["interrupted"]
    assert "No space left" in outcome.table["reason"][0]


def test_the_limit_is_that_of_the_fit(monkeypatch: pytest.MonkeyPatch):
    """Neither the start of the process nor the import of the method counts."""
    clock = [0.0]
    monkeypatch.setattr(limited_process.time, "monotonic", lambda: clock[0])
    tree = limited_process.ProcessTree(os.getpid(), 0)
    monitor = limited_process._ProcessMonitor(tree, limited_process.Limits(5, 100), 0.0)

    def status_at(seconds: float) -> str | None:
        clock[0] = seconds
        outcome = monitor.check(None)
        return outcome and outcome.status

    assert status_at(299) is None
    assert status_at(301) == "interrupted"
    clock[0] = 200
    monitor.begin(0)
    assert status_at(259) is None
    assert status_at(261) == "timeout"
    clock[0] = 250
    monitor.mark("fit begins")
    assert status_at(254) is None
    assert status_at(256) == "timeout"


def test_an_interrupted_preparation_is_tried_again(bench_run, monkeypatch, cache: Path):
    shutil.rmtree(cache / "prepared")
    calls: list[str] = []

    def limited(function: str, *args, **more) -> ProcessOutcome:
        calls.append(function)
        if len(calls) == 1:
            return ProcessOutcome("interrupted", "ended by SIGKILL from outside")
        return run_limited(function, *args, **more)

    monkeypatch.setattr(local_executor, "run_limited", limited)
    assert dict(bench_run("noop").counts) == {"done": 1}
    assert calls == ["prepare", "prepare", "fit", "score"]
