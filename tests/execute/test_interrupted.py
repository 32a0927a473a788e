"""A driver that is killed or interrupted, and two drivers on one store."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.store.results_table import load_results

MARK = "BENCH_TEST_DRIVER"
"""Environment variable by which the processes of one test are known."""


def command(flags: dict[str, Any], methods: str, seeds: int) -> list[str]:
    words = [sys.executable, "-m", "bench", "run", "-m", methods, "-d", "toy"]
    words += ["--results", str(flags["results"]), "--cache-dir", str(flags["cache_dir"])]
    words += ["--seeds", str(seeds), "--jobs", "2", "--no-report"]
    for plugin in flags["plugins"]:
        words += ["--plugin", plugin]
    return words


def start(flags: dict[str, Any], methods: str, seeds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(flags, methods, seeds),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {MARK: str(flags["results"])},
        # A shell's background job ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    )


def wait_for_lines(process: subprocess.Popen[str], text: str, count: int) -> list[str]:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if sum(text in one for one in lines) >= count:
            return lines
    raise AssertionError(f"the driver ended early:\n{''.join(lines)}")


def left_of(flags: dict[str, Any]) -> list[psutil.Process]:
    """Return the processes that a driver of this test has started and that still run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(flags["results"]):
                found.append(process)
    return found


def all_end(flags: dict[str, Any], seconds: float = 30.0) -> bool:
    """Return whether they all end by themselves within ``seconds`` (a busy machine needs some)."""
    deadline = time.monotonic() + seconds
    while left_of(flags):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def check_store(results: Path, jobs: int) -> None:
    """Each job stands in MLflow exactly once, whole and nested in a session."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{results / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("bench")
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    sessions = {r.info.run_id for r in runs if r.data.tags["kind"] == "session"}
    mine = [r for r in runs if r.data.tags["kind"] == "job"]
    keys = Counter(r.data.tags["score_key"] for r in mine)
    assert len(keys) == jobs
    assert set(keys.values()) == {1}
    assert {r.info.status for r in mine} == {"FINISHED"}
    # A result that a killed driver left in the spool belongs to no session.
    assert all(r.data.tags.get("mlflow.parentRunId", "") in {*sessions, ""} for r in mine)
    table = load_results(results, columns="all")
    assert len(table) == jobs
    assert all((Path(folder) / "embedding.parquet").is_file() for folder in table["artifacts"])


@pytest.mark.slow
def test_kill_9_leaves_no_process_and_loses_nothing(flags, results: Path, bench_run):
    driver = start(flags, "slow[seconds=0.4]", 10)
    wait_for_lines(driver, "done", 4)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert all_end(flags)

    finished = len(load_results(results, columns="all"))
    assert 3 <= finished < 10
    again = bench_run("slow[seconds=0.4]", seeds=10)
    assert again.exit_code == 0, again.text
    committed = again.text.count("committed a result of an interrupted run")
    assert again.fitted == 10 - finished - committed
    check_store(results, 10)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c_or_timeout_keeps_what_is_done_and_says_so(
    flags: dict[str, Any], results: Path, number: signal.Signals
):
    driver = start(flags, "slow[seconds=0.4]", 10)
    wait_for_lines(driver, "done", 2)
    # A terminal, timeout and batch systems signal the group, with it the server of the fits.
    os.killpg(driver.pid, number)
    text, _ = driver.communicate(timeout=20)
    assert driver.returncode == 130, text
    assert "run the same command to go on" in text
    assert "Traceback" not in text
    assert left_of(flags) == []
    table = load_results(results, columns="all")
    assert 2 <= len(table) < 10
    assert set(table["status"]) == {"done"}, "an interrupted job has no result"


@pytest.mark.slow
def test_interrupted_before_the_first_result(flags: dict[str, Any], results: Path):
    driver = start(flags, "slow[seconds=60]", 1)
    deadline = time.monotonic() + 60
    while not list((results / "spool").glob("*/artifacts/config.json")):
        assert time.monotonic() < deadline, "no fit has begun"
        time.sleep(0.1)
    os.killpg(driver.pid, signal.SIGTERM)
    text, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, text
    assert "interrupted: 0 jobs are kept" in text
    assert "Traceback" not in text
    assert left_of(flags) == []
    assert load_results(results, columns="all").empty


@pytest.mark.slow
def test_two_drivers_on_one_store_double_nothing(flags: dict[str, Any], results: Path):
    drivers = [start(flags, "slow[seconds=0.2]", 8) for _ in range(2)]
    texts = [driver.communicate(timeout=120)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], texts
    fitted = [int(t.split(" fitted now")[0].rsplit("\n", 1)[-1]) for t in texts]
    assert sum(fitted) == 8, texts
    check_store(results, 8)


def test_a_half_written_commit_is_done_again(flags, results, bench_run, monkeypatch):
    """A driver that dies between creating a run and ending it leaves no half run behind."""

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("bench.store.mlflow_store.dataset_input", die)
        with pytest.raises(Killed):
            bench_run("noop")
    assert len(load_results(results, columns="all")) == 0
    assert [p.name for p in (results / "spool").iterdir() if not p.name.startswith(".")]
    again = bench_run("noop")
    assert "committed a result of an interrupted run" in again.text
    assert again.fitted == 0
    check_store(results, 1)


@pytest.mark.slow
def test_a_script_without_a_main_guard_works(flags: dict[str, Any], tmp_path: Path):
    script = tmp_path / "script.py"
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in flags.items()}
    script.write_text(
        f"import bench\nout = bench.run('noop', 'toy', report=False, **{plain!r})\n"
        "print('fitted', out.fitted, dict(out.counts))\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "fitted 1 {'done': 1}" in ran.stdout, ran.stdout + ran.stderr


def test_a_result_that_another_driver_committed_first_is_no_error(bench_run, monkeypatch):
    """A driver that starts commits all of the spool, also a result of a running driver."""
    from bench.execute.driver import Driver
    from bench.store.mlflow_store import Tracker

    commit = Driver.commit

    def late(self: Driver, job, folder, display):
        Tracker(self.settings).commit(folder)
        return commit(self, job, folder, display)

    monkeypatch.setattr(Driver, "commit", late)
    outcome = bench_run("noop")
    assert outcome.exit_code == 0
    assert outcome.counts == {"done": 1}
    assert "done by another process" in outcome.text


def test_a_fit_that_starts_after_its_folder_was_removed_ends_without_a_traceback(tmp_path: Path):
    """Its driver was killed meanwhile, and another one has cleared the folder."""
    code = (
        "import sys; from pathlib import Path; from types import SimpleNamespace\n"
        "from bench.execute.child_process import main\n"
        "main('module', 'function', SimpleNamespace(log=Path(sys.argv[1])), None, 1)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "removed" / "log.txt")]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == ""
