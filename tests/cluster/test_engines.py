"""The same numbers wherever a job runs, and faults of engines in one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from _command import bench, bench_json, error_code

import bench as public
from bench.cluster import engine as engines
from bench.cluster.backend import run_remote_task
from bench.cluster.dask_engine import resource_tokens
from bench.cluster.resources import Request
from bench.errors import UsageError

submitit = pytest.importorskip("submitit")
distributed = pytest.importorskip("distributed")


@pytest.fixture
def scheduler() -> Iterator[str]:
    """The address of a Dask cluster whose worker is a thread of this process."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None,
        resources={"memory": 64},
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


@pytest.fixture
def local_slurm(config) -> list[str]:
    """Options of the engine ``slurm`` with processes of this machine in place of SLURM's."""
    return ["--engine", "slurm", "--config", str(config(cluster="local"))]


def scores(results: Path) -> pd.DataFrame:
    """Return all scores of a store by job."""
    table = public.load_results(results, columns="all")
    names = [name for name in table if "/" in str(name)]
    return table.set_index(["method", "dataset", "seed"])[names].sort_index()


def check_same_numbers(
    runs: dict[str, list[str]], words: list[str], tmp_path: Path, new_store: Callable[[str], Path]
) -> None:
    """Run the same jobs in several ways and compare their scores to the last digit."""
    found = {}
    for name, more in runs.items():
        results = new_store(name)
        own = [*words, "--results", str(results)]
        if name == "array":
            folder = tmp_path / "grid"
            bench_json("plan", *own, "--array", str(folder))
            for task in sorted((folder / "tasks").iterdir()):
                ran = bench("worker", str(folder / task.stem))
                assert ran.exit_code == 0, ran.output
            bench_json("sync", str(folder))
        else:
            bench_json("run", *own, "--no-report", *more)
        found[name] = scores(results)
    expected = found.pop("local")
    assert len(expected.columns) > 10
    assert expected.notna().any(axis=None)
    for name, table in found.items():
        pd.testing.assert_frame_equal(table, expected, check_exact=True, obj=name)


@pytest.fixture
def new_store(tmp_path: Path, empty_store: Path) -> Callable[[str], Path]:
    """Make an empty results folder."""

    def make(name: str) -> Path:
        folder = tmp_path / f"results-{name}"
        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
        return folder

    return make


def grid(methods: str, seeds: str, cache: Path) -> list[str]:
    return [
        "-m", methods, "-d", "pbmc68k", "--seeds", seeds, "--jobs", "2", "--memory", "3",
        "--cache-dir", str(cache),
    ]  # fmt: skip


@pytest.mark.slow
def test_engines_give_the_numbers_of_this_machine(
    tmp_path, cache, new_store, local_slurm, scheduler
):
    runs = {
        "local": [],
        "array": [],
        "submitit": local_slurm,
        "dask": ["--engine", "dask", "--scheduler", scheduler],
    }
    check_same_numbers(runs, grid("pca", "1", cache), tmp_path, new_store)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_networks_give_the_numbers_of_this_machine(tmp_path, cache, new_store, local_slurm):
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        runs = {
            "local": [],
            "array": [],
            "submitit": local_slurm,
            "dask": ["--engine", "dask", "--scheduler", cluster.scheduler_address],
        }
        check_same_numbers(runs, grid("pca,nmf,ae,vae", "2", cache), tmp_path, new_store)


@pytest.mark.slow
def test_faults_of_methods_are_results(words, results, local_slurm, scheduler):
    """With both engines; nothing is run again, and no folder is left."""
    jobs = ("run", "-m", "noop,crash,explode", "-d", "toy", "--no-report", *words)
    dask = ("--engine", "dask", "--scheduler", scheduler)
    first = bench_json(*jobs, "--seeds", "1", *local_slurm, exit_code=3)
    assert first["counts"] == {"done": 1, "failed": 1, "diverged": 1}
    second = bench_json(*jobs, *dask, exit_code=3)
    assert (second["fitted"], second["reused"]) == (3, 3)
    assert second["counts"] == {"done": 2, "failed": 2, "diverged": 2}
    assert not [*(results / "cluster").iterdir()]
    assert not [*(results / "spool").iterdir()]


@pytest.mark.slow
def test_a_job_of_a_killed_dask_worker_runs_once_more(words, results):
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        driver = subprocess.Popen(
            [sys.executable, "-m", "bench", "run", "-m", "slow[seconds=6]", "-d", "toy", *words,
             "--seeds", "4", "--engine", "dask", "--scheduler", cluster.scheduler_address,
             "--no-report"],
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while len([*results.glob("cluster/*/running/[!.]*.json")]) < 2:
                assert driver.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            os.kill(cluster.workers[0].process.pid, signal.SIGKILL)
            assert driver.wait(240) == 0
        finally:
            driver.kill()
            driver.wait()
    table = public.load_results(results, columns="all")
    assert table["status"].tolist() == ["done"] * 4
    assert not table["score_key"].duplicated().any()


def test_a_package_that_is_missing_is_named(words, monkeypatch):
    run = ("run", "-m", "noop", "-d", "toy", "--no-report", *words, "--engine")
    for name, module in (("slurm", "submitit"), ("dask", "distributed")):
        monkeypatch.setitem(sys.modules, module, None)
        ran = bench(*run, name)
        assert error_code(ran) == "missing_package"
        assert f"aebench[{name}]" in ran.output


def test_wrong_addresses_and_places_have_codes(words, results, monkeypatch):
    run = ("run", "-m", "noop", "-d", "toy", "--no-report", *words, "--engine")
    monkeypatch.setenv("PATH", "/nowhere")
    assert error_code(bench(*run, "slurm")) == "no_scheduler"
    assert error_code(bench(*run, "dask")) == "option_needs_another"
    monkeypatch.setattr("bench.cluster.dask_engine._ANSWER_SECONDS", 1)
    address = ("--scheduler", "tcp://127.0.0.1:1")
    assert error_code(bench(*run, "dask", *address)) == "no_scheduler"
    assert error_code(bench(*run, "slurm", *address)) == "option_needs_another"
    assert error_code(bench(*run[:-1], *address)) == "option_needs_another"
    assert not [*results.glob("cluster/*")]


def test_the_table_of_the_engine(config, words):
    run = ("run", "-m", "noop", "-d", "toy", *words, "--config")
    assert error_code(bench(*run, str(config(partitions="x")))) == "unknown_name"
    assert error_code(bench(*run, str(config(open_jobs=0)))) == "invalid_value"
    assert error_code(bench(*run, str(config(light=1)))) == "invalid_value"
    assert error_code(bench(*run, str(config(name="slrm")))) == "invalid_value"


def test_workers_of_other_versions_end_the_run(words, scheduler, monkeypatch):
    from bench.cluster import array

    monkeypatch.setattr(array, "environment_versions", lambda: {"numpy": "0.1"})
    run = ("run", "-m", "noop", "-d", "toy", "--no-report", "--engine", "dask", *words)
    assert error_code(bench(*run, "--scheduler", scheduler)) == "other_versions"
    done = bench_json(*run, "--scheduler", scheduler, "--allow-other-versions")
    assert done["counts"] == {"done": 2}


def test_jobs_take_what_workers_offer():
    cpu, gpu = Request("cpu", 1, 6, 600), Request("cuda", 1, 6, 600)
    assert resource_tokens(cpu, [{}]) is None
    assert resource_tokens(cpu, [{"memory": 8}, {"memory": 4}]) == {"memory": 6.0}
    assert resource_tokens(gpu, [{"GPU": 1}]) == {"GPU": 1.0}
    for request, offers in ((cpu, [{"memory": 4}]), (gpu, [{"memory": 8}])):
        with pytest.raises(UsageError) as error:
            resource_tokens(request, offers)
        assert error.value.code == "no_worker"


class LosingBackend:
    """Loses the worker of each task a number of times, then runs it in this process."""

    most_tasks, shares_tasks = 10, True

    def __init__(self, folder: Any, losses: int) -> None:
        self.folder, self.losses, self.ended = folder, losses, []

    def start(self, tasks) -> None:
        for task in tasks:
            if self.losses:
                self.losses -= 1
                self.ended.append((task.number, {"reason": "the node was switched off"}))
            else:
                answer = run_remote_task(str(self.folder.root), task.number)
                self.ended.append((task.number, answer))

    def ended_tasks(self):
        while self.ended:
            yield self.ended.pop()

    def cancel(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(("losses", "status"), [(1, "done"), (2, "interrupted")])
def test_a_job_of_a_lost_worker_runs_once_more(words, monkeypatch, losses, status):
    monkeypatch.setitem(
        engines._BACKENDS, "slurm", lambda folder, _: LosingBackend(folder, losses)
    )
    monkeypatch.setattr(engines, "_GRACE_SECONDS", 0.1)
    ran = bench_json(
        "run", "-m", "noop", "-d", "toy", "--no-report", "--engine", "slurm", *words,
        "--seeds", "1", exit_code=0 if status == "done" else 3,
    )  # fmt: skip
    assert ran["counts"] == {status: 1}
