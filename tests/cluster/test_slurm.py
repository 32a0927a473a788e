"""Arrays and the engine on a real SLURM of one node: workers killed, cancelled, out of time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from _command import bench_json

import bench as public

pytest.importorskip("submitit")
from _slurm import ACCOUNTING, PROGRAMS, missing_programs, running_slurm, wait_until

N_JOBS = int(os.environ.get("BENCH_SLURM_JOBS", "200"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(params=["accounting", "queue only"])
def slurm(request, tmp_path_factory, monkeypatch) -> Iterator[None]:
    """A SLURM, with and without the database that ``sacct`` asks."""
    accounting = request.param == "accounting"
    missing = missing_programs(PROGRAMS + (ACCOUNTING if accounting else ()))
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: slurm-wlm, slurmdbd, mariadb)")
    folder = tmp_path_factory.mktemp("slurm")
    with running_slurm(folder, accounting=accounting) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


def run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def queue_is_empty() -> bool:
    return not run("squeue", "-h").strip()


def workers(text: str) -> list[psutil.Process]:
    """Return the processes of workers whose command has a text."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if text in words and "forkserver" not in words:
                found.append(process)
    return found


def running_jobs(folder: Path) -> int:
    return len([*(folder / "running").glob("[!.]*.json")])


def check_store(results: Path, jobs: int) -> None:
    """No job is lost, and none is there twice."""
    table = public.load_results(results, columns="all")
    assert dict(table["status"].value_counts()) == {"done": jobs}
    assert not table["score_key"].duplicated().any()


def finish(folder: Path, jobs: int) -> dict[str, Any]:
    """Sync and submit what is missing until nothing is."""
    for _ in range(12):
        wait_until(queue_is_empty, "the end of the queue", 900)
        summary = bench_json("sync", str(folder))
        if summary["running"]:  # killed less than a minute ago
            time.sleep(10)
            continue
        if summary["resubmit"] is None:
            assert summary["counts"] == {"done": jobs}
            return summary
        run(summary["resubmit"])
    raise AssertionError(summary)


def test_an_array_loses_nothing(slurm, plan_array, config, results):
    """One worker is killed, one task cancelled."""
    file = config(task_minutes=0.01)
    jobs = "slow[seconds=6]"
    folder = plan_array(jobs, "toy", "--seeds", "5", "--config", str(file))
    run(str(folder / "submit.sh"))
    wait_until(lambda: running_jobs(folder) == 2, "two workers", 120)
    worker = workers(f"worker {folder}/")[0]
    worker.send_signal(signal.SIGKILL)
    wait_until(lambda: workers(f"worker {folder}/"), "another worker", 120)
    array, task = run("squeue", "-h", "-t", "R", "-o", "%F %K").split()[:2]
    run("scancel", f"{array}_{task}")
    finish(folder, 5)
    check_store(results, 5)


def test_a_full_array(slurm, plan_array, config, results):
    file = config(task_minutes=2.5)
    folder = plan_array("noop", "toy", "--seeds", str(N_JOBS), "--config", str(file))
    run(str(folder / "submit.sh"))
    finish(folder, N_JOBS)
    check_store(results, N_JOBS)


def test_a_time_limit_of_the_scheduler(slurm, plan_array, results):
    """The job that was cut off is named, and runs once there is more time."""
    folder = plan_array("slow[seconds=150]", "toy", "--seeds", "1", "--timeout", "400")
    script = folder / "array-1.sh"
    script.write_text(script.read_text().replace("--time=00:10:00", "--time=00:01:00"))
    assert "--time=00:01:00" in script.read_text()
    run(str(folder / "submit.sh"))
    time.sleep(5)
    wait_until(queue_is_empty, "the time limit", 240)
    assert bench_json("sync", str(folder))["unfinished_tasks"] == [1]
    script.write_text(script.read_text().replace("--time=00:01:00", "--time=00:10:00"))
    finish(folder, 1)


def test_the_engine_loses_nothing(slurm, words, results):
    """One worker is killed and one task cancelled; both run once more."""
    with started_driver("slow[seconds=8]", words, results) as (driver, folder):
        first, second = run("squeue", "-h", "-t", "R", "-o", "%A").split()[:2]
        run("scancel", first)
        for worker in workers(f"submitit.core._submit {folder}"):
            with contextlib.suppress(psutil.Error):
                if worker.environ().get("SLURM_JOB_ID") == second:
                    worker.kill()
        assert driver.wait(600) == 0
    check_store(results, 4)


def test_ctrl_c_cancels_the_tasks(slurm, words, results):
    with started_driver("slow[seconds=100]", words, results) as (driver, _):
        driver.send_signal(signal.SIGINT)
        assert driver.wait(60) == 130
    wait_until(queue_is_empty, "the end of the queue", 60)


@contextlib.contextmanager
def started_driver(
    method: str, words: list[str], results: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run 4 jobs by the engine; yields the driver and its folder once two workers run."""
    driver = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "-m", method, "-d", "toy", *words, "--seeds", "4",
         "--engine", "slurm", "--no-report"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip

    def folders() -> list[Path]:
        assert driver.poll() is None
        return [*results.glob("cluster/*/array.json")]

    try:
        wait_until(folders, "the folder of jobs", 120)
        folder = folders()[0].parent
        wait_until(lambda: running_jobs(folder) == 2, "two workers", 120)
        yield driver, folder
    finally:
        driver.kill()
        driver.wait(60)
