"""Drivers and their processes are killed at random times: each job ends up stored once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from _reliability import Row, count_keys, stored_runs, write_part

PLUGINS = Path(__file__).parents[1] / "plugins"
DRIVER = Path(__file__).with_name("killing_driver.py")
MARK = "BENCH_TEST_DRIVER"
N_JOBS = int(os.environ.get("BENCH_FAULT_JOBS", "500"))
N_DRIVERS = int(os.environ.get("BENCH_FAULT_DRIVERS", "12"))
"""Drivers that are ended by a signal."""
SHARES = {"prepare": 0.7, "fit": 0.06, "score": 0.1, "server": 0.015}
KILLS = {
    "driver, SIGKILL": "driver killed", "driver, SIGTERM": "driver ended by SIGTERM",
    "server": "server of the processes killed", "fit": "fit killed", "score": "score killed",
    "prepare": "preparation killed",
}  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc"),
]


@pytest.fixture
def results(tmp_path: Path, empty_store: Path) -> Path:
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    return results


class Drivers:
    """Starts drivers on one results folder and knows the processes that they leave."""

    def __init__(self, results: Path, cache: Path) -> None:
        self.results, self.log = results, results.parent / "kills.txt"
        self.messages = results.parent / "messages.txt"
        self.words = ["--results", str(results), "--cache-dir", str(cache), "--no-report"]
        self.n_orphans = 0

    def start(self, words: list[str], shares: dict[str, Any] | None = None, **more: str):
        kills = json.dumps((shares or {}) | {"log": str(self.log)})
        marks = {"BENCH_TEST_KILLS": kills, MARK: str(self.results)}
        with self.messages.open("a") as stream:
            return subprocess.Popen(
                [sys.executable, str(DRIVER), *words, *self.words], stdout=stream, stderr=stream,
                env=os.environ | marks | more, start_new_session=True,
            )  # fmt: skip

    def run(self, *words: str, **more: str) -> int:
        """Run one to its end; returns its exit code."""
        return self.start([*words], **more).wait(1200)

    def end(self, process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
        """End a driver by a signal and count what it leaves; returns whether it still ran."""
        running = process.poll() is None
        if running:
            process.send_signal(number)
        process.wait(60)
        deadline = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.n_orphans = max(self.n_orphans, len(left))
        return running

    def n_committed(self) -> int:
        return len([*(self.results / "artifacts").glob("*/artifacts/result.json")])

    def kills_inside(self) -> Counter[str]:
        """Return how often the drivers have killed a process of each kind."""
        return Counter(self.log.read_text().split() if self.log.is_file() else ())

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                ended = process.status() == psutil.STATUS_ZOMBIE
                if process.environ().get(MARK) == str(self.results) and not ended:
                    found.append(process)
        return found


def run_words(seeds: int, dataset: str = "toy") -> list[str]:
    words = ["run", "-m", "noop", "-d", dataset, "--seeds", str(seeds), "--jobs", "2"]
    for name in ("faulty", "toy"):
        words += ["--plugin", str(PLUGINS / f"{name}.py")]
    return words


def count_lost_and_doubled(results: Path, expected: int, kind: str = "job") -> tuple[int, int]:
    """Return the jobs without a whole result, and those with two."""
    runs = stored_runs(results, kind)
    keys = count_keys(runs)
    whole = {
        run.data.tags["score_key"]
        for run in runs
        if run.info.status == "FINISHED"
        and "kmeans/ari" in run.data.metrics
        and (results / "artifacts" / run.info.run_id / "artifacts/embedding.parquet").is_file()
    }
    waiting = [path for path in (results / "spool").iterdir() if path.name[0] != "."]
    return expected - len(whole) + len(waiting), sum(number > 1 for number in keys.values())


def check(rows: list[Row]) -> None:
    assert sum(row.lost + row.doubled + row.orphans for row in rows) == 0, rows
    assert all(row.expected for row in rows), rows


def test_kills_at_random_times(results: Path, cache: Path):
    """Four datasets are prepared; each driver is ended by a signal, until one may finish."""
    datasets = ",".join(f"toy[n_cells={number}]" for number in (30, 33, 36, 39))
    words, drivers = run_words(N_JOBS // 4, datasets), Drivers(results, cache)
    random.seed(0)
    kills: Counter[str] = Counter()
    for number in range(N_DRIVERS):
        how = signal.SIGTERM if number % 3 == 2 else signal.SIGKILL
        driver = drivers.start(words, SHARES)
        # Half of them while they start, the others after some jobs.
        target = drivers.n_committed() + random.randint(5, 40) if number % 2 else 0
        while driver.poll() is None and drivers.n_committed() < target:
            time.sleep(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(random.uniform(0, 0.5 if target else 12))
        kills[f"driver, {how.name}"] += drivers.end(driver, how)
    assert drivers.run(*words) == 0, drivers.messages.read_text()[-2000:]
    kills.update(drivers.kills_inside())
    lost, doubled = count_lost_and_doubled(results, 4 * (N_JOBS // 4))
    rows = [
        Row(KILLS[kind], "all jobs done", count, orphans=drivers.n_orphans)
        for kind, count in sorted(kills.items())
    ]
    rows[0].lost, rows[0].doubled = lost, doubled
    write_part(f"{4 * (N_JOBS // 4)} jobs under random kills", rows)
    assert sum(kills.values()) >= 2.5 * N_DRIVERS, kills
    assert "Traceback" not in drivers.messages.read_text()
    check(rows)


@pytest.mark.parametrize("n_drivers", [2, 3])
def test_drivers_at_once(results: Path, cache: Path, n_drivers: int):
    """One of them is killed in the middle; the others finish all jobs."""
    words, drivers = run_words(30, f"toy[n_cells={39 + n_drivers}]"), Drivers(results, cache)
    started = [drivers.start(words) for _ in range(n_drivers)]
    while drivers.n_committed() < 5:
        assert started[0].poll() is None, drivers.messages.read_text()
        time.sleep(0.2)
    started[0].kill()
    assert [one.wait(600) for one in started[1:]] == [0] * (n_drivers - 1)
    drivers.end(started[0], signal.SIGKILL)
    # A stored result of the killed driver may wait in the spool until the next start.
    assert drivers.run(*words) == 0
    lost, doubled = count_lost_and_doubled(results, 30)
    fault = f"{n_drivers} drivers on 30 jobs, one killed"
    rows = [Row(fault, "all jobs done", 1, lost, doubled, drivers.n_orphans)]
    write_part("Drivers at once", rows)
    check(rows)


def test_a_clock_that_goes_back(results: Path, cache: Path):
    """By 400 days, between two drivers, the first of which is killed."""
    words, drivers = run_words(12, "toy[n_cells=45]"), Drivers(results, cache)
    driver = drivers.start(words)
    while drivers.n_committed() < 3:
        assert driver.poll() is None, drivers.messages.read_text()
        time.sleep(0.2)
    drivers.end(driver, signal.SIGKILL)
    assert drivers.run(*words, BENCH_TEST_CLOCK="-400") == 0, drivers.messages.read_text()
    lost, doubled = count_lost_and_doubled(results, 12)
    before = {run.info.run_id for run in stored_runs(results)}
    assert drivers.run(*words) == 0
    again = {run.info.run_id for run in stored_runs(results)} - before
    rows = [Row("clock 400 days back", "nothing is run again", 1, lost, doubled + len(again))]
    write_part("A wrong clock", rows)
    check(rows)


N_TRIALS, N_STUDY_KILLS = 15, 6


def search_words(*more: str) -> list[str]:
    return [
        "search", "-m", "tunable", "-d", "blobs", "--trials", str(N_TRIALS), "--seeds", "1",
        "--set", "tunable.pause=0.01", "--jobs", "1", "--plugin", str(PLUGINS / "tunable.py"),
        "--sampler", "random", "--search-seed", "7", *more,
    ]  # fmt: skip


def trials(results: Path) -> list[tuple[int, str]]:
    """Return number and parameters of each trial in the store."""
    runs = stored_runs(results, "trial")
    skipped = ("fit", "experiment")
    return sorted(
        (
            int(run.data.tags["trial"]),
            json.dumps({k: v for k, v in run.data.params.items() if k not in skipped}),
        )
        for run in runs
    )


def test_a_study_killed_at_random_times(results: Path, cache: Path, empty_store: Path):
    """Its trials are those of a study that nobody disturbed."""
    random.seed(1)
    drivers = Drivers(results, cache)
    n_kills = 0
    for number in range(N_STUDY_KILLS):
        driver = drivers.start(search_words(), {"fit": 0.1, "score": 0.05})
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(random.uniform(3, 9))
        how = signal.SIGTERM if number % 3 == 2 else signal.SIGKILL
        n_kills += drivers.end(driver, how)
    assert drivers.run(*search_words()) == 0, drivers.messages.read_text()[-3000:]
    calm = results.with_name("calm")
    calm.mkdir()
    shutil.copy(empty_store, calm / "mlflow.db")
    assert Drivers(calm, cache).run(*search_words()) == 0
    found, expected = trials(results), trials(calm)
    assert len(expected) == N_TRIALS
    lost = len(set(expected) - set(found))
    kills = Row("driver of a study killed", "the trials of an undisturbed one", n_kills, lost)
    kills.doubled, kills.orphans = len(found) - len(set(found)), drivers.n_orphans
    inside = drivers.kills_inside()
    rows = [kills, Row("fit or score of a trial killed", "runs again", sum(inside.values()))]
    write_part("A study that is killed", rows)
    assert found == expected
    check(rows)
