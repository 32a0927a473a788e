"""A job array from its plan to the store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from _command import bench, bench_json, error_code

import bench as public
from bench.cluster.job_folder import JobFolder

PLUGINS = Path(__file__).parents[1] / "plugins"


def stored(results: Path) -> pd.DataFrame:
    return public.load_results(results, columns="all")


def test_workers_run_what_is_planned_and_sync_stores_it(plan_array, words, results, work):
    folder = plan_array("noop,crash", "toy,toy[n_cells=60]")
    assert bench_json("status", str(folder))["counts"] == {"missing": 8}
    work(folder, 1)
    after_one = bench_json("sync", str(folder), exit_code=3)
    assert (after_one["committed"], after_one["counts"]["missing"]) == (4, 4)
    assert after_one["unfinished_tasks"] == [2]
    assert "--array=2" in Path(after_one["resubmit"]).read_text()
    work(folder, 2)
    summary = bench_json("sync", str(folder), exit_code=3)
    assert summary["counts"] == {"done": 4, "failed": 4}
    assert len(summary["failed"]) == 4
    assert bench_json("sync", str(folder), exit_code=3)["committed"] == 0
    table = stored(results)
    assert not table["score_key"].duplicated().any()
    assert dict(table["status"].value_counts()) == {"done": 4, "failed": 4}
    assert "SIGSEGV" in table.set_index("method")["reason"]["crash"].iloc[0]
    assert set(table["cpu"].replace("", pd.NA).dropna()) == set(summary["cpus"])
    again = bench_json(
        "run", "-m", "noop,crash", "-d", "toy,toy[n_cells=60]", "--no-report", *words, exit_code=3
    )
    assert again["fitted"] == 0


def test_an_interrupted_sync_goes_on(plan_array, work, monkeypatch):
    from bench.execute.driver import Driver

    folder = plan_array("noop", "toy", "--seeds", "3")
    work(folder, 1)
    commit, calls = Driver.commit, []

    def stop(self, *words):
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return commit(self, *words)

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "commit", stop)
        assert bench("sync", str(folder)).exit_code == 130
    assert bench_json("status", str(folder))["counts"] == {"done": 1, "in the spool": 2}
    assert bench_json("sync", str(folder))["counts"] == {"done": 3}


def test_a_task_that_has_ended_is_not_run_again(plan_array, work):
    folder = plan_array()
    work(folder, 1)
    times = {path: path.stat().st_mtime_ns for path in (folder / "ended").iterdir()}
    work(folder, 1)
    assert times == {path: path.stat().st_mtime_ns for path in (folder / "ended").iterdir()}
    assert len(times) == 2


def test_a_worker_leaves_the_database_alone(plan_array, results, work):
    folder = plan_array()
    before = {path: path.read_bytes() for path in results.glob("mlflow.db*")}
    work(folder, 1)
    assert before == {path: path.read_bytes() for path in results.glob("mlflow.db*")}
    assert not [*(folder / "running").glob("[!.]*")]
    assert not [*(folder / "work").iterdir()]


def test_jobs_in_the_store_are_left_out(plan_array, words, results):
    bench_json("run", "-m", "noop", "-d", "toy", "--no-report", *words)
    folder = plan_array("noop,told")
    jobs = [one.job for one in JobFolder(folder).task(1)]
    assert [job.method for job in jobs] == ["told", "told"]


@pytest.mark.slow
def test_jobs_that_another_run_stored_meanwhile_are_not_missing(plan_array, words):
    folder = plan_array("noop,told")
    bench_json("run", "-m", "noop", "-d", "toy", "--no-report", *words)
    assert bench_json("sync", str(folder))["counts"] == {"done": 2, "missing": 2}


@pytest.mark.slow
def test_copied_data_and_plugins_are_all_that_a_worker_needs(
    plan_array, tmp_path, cache, work, monkeypatch
):
    folder = plan_array("noop", "toy", "--copy")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder, elsewhere)
    facts = json.loads((elsewhere / "array.json").read_text())
    assert str(cache) not in json.dumps(facts)
    hidden = cache.with_name("hidden")
    cache.rename(hidden)
    try:
        work(elsewhere, 1)
    finally:
        hidden.rename(cache)
    assert bench_json("sync", str(elsewhere))["counts"] == {"done": 2}


@pytest.mark.slow
def test_a_worker_reads_and_computes_on_a_disk_of_its_node(plan_array, tmp_path, work):
    folder, scratch = plan_array(), tmp_path / "disk"
    work(folder, 1, "--scratch", str(scratch))
    assert [*(scratch / "bench-cache" / "prepared").glob("[!.]*")]
    assert [path.name for path in scratch.iterdir()] == ["bench-cache"]
    assert bench_json("sync", str(folder))["counts"] == {"done": 2}


def test_other_versions_are_refused_or_noted(plan_array, results, work, monkeypatch):
    folder = plan_array("noop", "toy", "--seeds", "1")
    facts = json.loads((folder / "array.json").read_text())
    facts["versions"]["numpy"] = "0.1"
    (folder / "array.json").write_text(json.dumps(facts))
    refused = work(folder, 1, exit_code=2)
    assert error_code(refused) == "other_versions"
    assert "numpy" in refused.output
    with monkeypatch.context() as patch:
        patch.setattr("bench.store.run_tags.package_versions", lambda: {"numpy": "0.2"})
        work(folder, 1, "--allow-other-versions")
    bench_json("sync", str(folder))
    row = stored(results).iloc[0]
    assert json.loads(row["versions"]) == {"numpy": "0.2"}, "not those of the worker"
    assert "numpy" in json.loads(row["notes"])["other versions"]


def test_an_interrupted_job_runs_again(plan_array, work, monkeypatch):
    from bench.execute import local_executor
    from bench.execute.limited_process import ProcessOutcome

    folder = plan_array("noop", "toy", "--seeds", "1")
    with monkeypatch.context() as patch:
        outcome = ProcessOutcome("interrupted", "the node was cleaned")
        patch.setattr(local_executor, "run_limited", lambda *_, **__: outcome)
        patch.setattr(local_executor, "_INTERRUPT_SECONDS", 0.01)
        work(folder, 1)
    summary = bench_json("status", str(folder))
    assert summary["unfinished_tasks"] == [1]
    work(folder, 1)
    assert bench_json("sync", str(folder))["counts"] == {"done": 1}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_is_ended_leaves_its_job_to_the_next(plan_array, work, number):
    folder = plan_array("slow[seconds=30]", "toy", "--seeds", "1")
    worker = subprocess.Popen(
        [sys.executable, "-m", "bench", "worker", f"{folder}/1"], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not [*(folder / "running").glob("[!.]*.json")]:
        assert worker.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    assert bench_json("status", str(folder))["counts"] == {"running": 1}
    os.kill(worker.pid, number)
    worker.wait(60)
    tasks = folder / "tasks" / "1.json"
    tasks.write_text(tasks.read_text().replace('"seconds": 30.0', '"seconds": 0.1'))
    work(folder, 1)
    assert bench_json("status", str(folder))["counts"] == {"in the spool": 1}


@pytest.mark.slow
def test_trials_of_a_search_are_run_in_batches(tmp_path, words, results, work):
    """Trials are asked, run and told; the last array scores the winner."""
    search = (
        "search", "-m", "tunable", "-d", "blobs", "--trials", "5", "--sampler", "random", *words,
        "--plugin", str(PLUGINS / "tunable.py"), "--seeds", "1", "--timeout", "600",
    )  # fmt: skip
    sizes = []
    for name in ("first", "second", "winner"):
        folder = tmp_path / name
        batch = bench_json(*search, "--array", str(folder), "--batch", "3")
        sizes.append(batch["jobs"])
        for number in range(1, batch["tasks"] + 1):
            work(folder, number)
        assert bench_json("sync", str(folder))["counts"] == {"done": batch["jobs"]}
    assert sizes == [3, 2, 2]
    done = bench_json(*search, "--no-report")
    assert done["studies"][0]["trials"] == {"done": 5}
    table = stored(results)
    assert sorted(table["method"]) == ["tunable", "tunable·tuned"]
    assert not table["score_key"].duplicated().any()


def test_faults_of_folders_have_codes(plan_array, tmp_path, words, work):
    folder = plan_array("noop", "toy", "--seeds", "1")
    plan = ("plan", "-m", "told", "-d", "toy", *words, "--array")
    assert error_code(bench(*plan, str(folder))) == "file_exists"
    assert error_code(bench(*plan, str(tmp_path / "new"), "--engine", "slrm")) == "unknown_name"
    assert error_code(bench("worker", f"{folder}/9")) == "unknown_name"
    assert error_code(bench("worker", str(folder))) == "invalid_value"
    assert error_code(bench("status", str(tmp_path))) == "no_job_folder"
    assert error_code(bench("status", str(folder), "--follow", "vae")) == "unknown_name"
