"""Workers and drivers of job arrays are killed at random times: each job ends up stored once."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from _reliability import Row, count_keys, stored_runs, write_part

from _array_stubs import write_stubs
from bench.cluster.job_folder import JobFolder

PLUGINS = Path(__file__).parents[1] / "plugins"
MARK = "BENCH_TEST_ARRAY"
N_JOBS = int(os.environ.get("BENCH_ARRAY_JOBS", "0"))
"""Jobs of the long form; 1000 take about half an hour."""
N_KILLS = int(os.environ.get("BENCH_ARRAY_KILLS", "30"))
N_STUBS = int(os.environ.get("BENCH_ARRAY_STUBS", "0"))
"""Results that are only committed; 10000 take about half an hour."""
TASK_JOBS = 50
"""Jobs of a task of the long test."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")


class Array:
    """An array, and the workers and drivers that the test starts for it."""

    def __init__(self, tmp_path: Path, cache: Path, empty_store: Path) -> None:
        self.folder, self.results = tmp_path / "array", tmp_path / "results"
        self.results.mkdir()
        shutil.copy(empty_store, self.results / "mlflow.db")
        self._cache, self._messages = cache, tmp_path / "messages.txt"
        self.kills: Counter[str] = Counter()

    def plan(self, n_jobs: int, task_jobs: int) -> None:
        """Write the array; a no-op job is expected to take 15 s."""
        config = self.results.parent / "bench.toml"
        config.write_text(f"[engine]\ntask_minutes = {task_jobs * 15 / 60}\n")
        words = ["plan", "-m", "noop", "-d", "toy", "--seeds", str(n_jobs), "--array",
                 str(self.folder), "--results", str(self.results), "--cache-dir",
                 str(self._cache), "--config", str(config), "--memory", "1"]  # fmt: skip
        for name in ("faulty", "toy"):
            words += ["--plugin", str(PLUGINS / f"{name}.py")]
        assert self.start(*words).wait(900) == 0, self.messages()
        self.jobs = JobFolder(self.folder)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self._messages.open("a") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "bench", *words], stdout=stream, stderr=stream,
                env=os.environ | {MARK: str(self.folder)}, start_new_session=True,
            )  # fmt: skip

    def messages(self) -> str:
        return self._messages.read_text()[-3000:]

    def unfinished(self) -> list[int]:
        return [
            number
            for number in self.jobs.task_numbers()
            if not all(self.jobs.has_ended(one.job) for one in self.jobs.task(number))
        ]

    def _n_waiting(self) -> int:
        """Return the number of results in the spool."""
        return len([*self.jobs.spool.glob("[!.]*")])

    def run_under_kills(self, n_kills: int, pauses: tuple[float, float]) -> None:
        """Keep two workers and a driver running; end one of them now and then."""
        running: dict[str, subprocess.Popen[bytes]] = {}
        deadline = time.monotonic() + 3000
        kill_at = time.monotonic() + random.uniform(*pauses)
        while (todo := self.unfinished()) or n_kills > 0:
            assert time.monotonic() < deadline, self.messages()
            running = {name: one for name, one in running.items() if one.poll() is None}
            for number in todo:
                if len([name for name in running if name != "driver"]) >= 2:
                    break
                if str(number) not in running:
                    running[str(number)] = self.start("worker", f"{self.folder}/{number}")
            if "driver" not in running and (not todo or self._n_waiting() >= 10):
                running["driver"] = self.start("sync", str(self.folder))
            if not todo and not self._n_waiting():
                break
            if n_kills and time.monotonic() > kill_at and running:
                name = random.choice([*running])
                how = random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
                running[name].send_signal(how)
                role = "driver" if name == "driver" else "worker"
                self.kills[f"{role} ended by {how.name}"] += 1
                n_kills -= 1
                kill_at = time.monotonic() + random.uniform(*pauses)
            time.sleep(0.2)
        for process in running.values():
            process.wait(300)

    def check(self, title: str, n_jobs: int) -> None:
        """Write the rows; no job is lost or doubled, and no process is left."""
        assert self.start("sync", str(self.folder)).wait(3000) == 0, self.messages()
        deadline = time.monotonic() + 30
        while (left := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        runs = stored_runs(self.results)
        whole = {
            run.data.tags["score_key"]
            for run in runs
            if run.info.status == "FINISHED" and "kmeans/ari" in run.data.metrics
        }
        lost = n_jobs - len(whole) + self._n_waiting()
        doubled = sum(number > 1 for number in count_keys(runs).values())
        rows = [Row(kind, "all jobs done", number) for kind, number in sorted(self.kills.items())]
        rows = rows or [Row("none", "all jobs done", 1)]
        rows[0] = replace(rows[0], lost=lost, doubled=doubled, orphans=len(left))
        write_part(title, rows)
        assert (lost, doubled, left) == (0, 0, []), rows
        assert "Traceback" not in self._messages.read_text()

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                ended = process.status() == psutil.STATUS_ZOMBIE
                if process.environ().get(MARK) == str(self.folder) and not ended:
                    found.append(process)
        return found


@pytest.fixture
def array(tmp_path: Path, cache: Path, empty_store: Path) -> Array:
    random.seed(0)
    return Array(tmp_path, cache, empty_store)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_array_under_some_kills(array: Array):
    array.plan(30, 10)
    array.run_under_kills(4, (4.0, 12.0))
    array.check("An array of 30 jobs under kills", 30)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not N_JOBS, reason="long: BENCH_ARRAY_JOBS=1000 runs it")
def test_an_array_under_many_kills(array: Array):
    array.plan(N_JOBS, TASK_JOBS)
    assert len(array.jobs.task(1)) == TASK_JOBS
    array.run_under_kills(N_KILLS, (5.0, 25.0))
    array.check(f"An array of {N_JOBS} jobs under kills", N_JOBS)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not N_STUBS, reason="long: BENCH_ARRAY_STUBS=10000 runs it")
def test_the_commit_of_many_jobs(array: Array):
    """A worker that only writes folders of results; the driver is killed meanwhile."""
    array.plan(N_STUBS, 500)
    worker = array.start("worker", f"{array.folder}/{array.jobs.task_numbers()[-1]}")
    while not (found := [*array.jobs.spool.glob("[!.]*/result.json")]):
        assert worker.poll() is None, array.messages()
        time.sleep(0.2)
    worker.terminate()
    worker.wait(60)
    write_stubs(array.jobs, found[0].parent)
    for _ in range(3):
        driver = array.start("sync", str(array.folder))
        time.sleep(random.uniform(10, 40))
        driver.kill()
        driver.wait(60)
        array.kills["driver ended by SIGKILL"] += 1
    array.check(f"The commit of {N_STUBS} jobs", N_STUBS)
