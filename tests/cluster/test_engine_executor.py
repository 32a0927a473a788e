"""How a driver follows tasks on a backend: no process is started here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cluster import engine as engines
from bench.cluster.engine import EngineExecutor, make_live_folder
from bench.cluster.job_folder import JobFolder
from bench.errors import UsageError
from bench.plan.job import Job
from bench.settings import EngineOptions, Settings
from bench.store.result import Result
from bench.store.spool import Spool

STORE: Any = SimpleNamespace(
    peak_memory=lambda methods: [], durations=lambda *_: [], stored_jobs=lambda keys: {}
)


def make_job(number: int, dataset: str = "toy") -> Job:
    facts = {"n_cells": 90, "packages": {}}
    return Job(
        "pca", "pca", "baseline", "bench.methods.pca", dataset, number, "default", "default", {},
        {}, (), None, 1, "cpu", 60.0, 1.0, "/cache/datasets/x", "prepared", f"fit{number}",
        f"score{dataset}{number}", facts,
    )  # fmt: skip


class FakeBackend:
    """Ends the jobs of each task at once, as ``work`` says."""

    shares_tasks = True

    def __init__(self, folder: JobFolder, spool: Spool) -> None:
        self.folder, self.spool, self.most_tasks = folder, spool, 2
        self.started: list[list[int]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.work: Callable[[Job], dict[str, str]] = self.end
        self.cancelled = False

    def start(self, tasks) -> None:
        for task in tasks:
            jobs = [one.job for one in self.folder.task(task.number)]
            self.started.append([job.seed for job in jobs])
            answer: dict[str, str] = {}
            for job in jobs:
                answer |= self.work(job)
            self.answers.append((task.number, answer))

    def end(self, job: Job) -> dict[str, str]:
        self.spool.add(self.spool.work_folder(job), Result(job, "done"))
        self.folder.write_end(job, "done")
        return {}

    def ended_tasks(self):
        while self.answers:
            yield self.answers.pop()

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None: ...


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def make(tmp_path: Path, spool: Spool, monkeypatch):
    """Make an executor with its backend; ``options`` are those of the engine."""
    monkeypatch.setattr(engines, "_GRACE_SECONDS", 0.05)
    monkeypatch.setattr(engines, "POLL_SECONDS", 0.01)

    def build(**options: Any) -> tuple[EngineExecutor, FakeBackend]:
        settings = Settings(results=tmp_path, engine_options=EngineOptions(**options))
        folder = make_live_folder(settings, tmp_path / "cache")
        backend = FakeBackend(folder, spool)
        return (
            EngineExecutor(folder, backend, settings, spool, STORE, lambda job, report: None),
            backend,
        )

    return build


def results(executor: EngineExecutor) -> dict[int, str | None]:
    """Return the status of each job by its seed."""
    found = {}
    for job, path in executor.as_completed():
        assert job.seed not in found
        found[job.seed] = None if path is None else Result.read(path).status
    return found


def test_every_job_ends_once(make):
    executor, backend = make()
    with executor:
        for number in range(7):
            executor.submit(make_job(number))
        assert results(executor) == dict.fromkeys(range(7), "done")
    assert 2 <= len(backend.started) < 7  # short jobs share tasks, but not all of them one
    assert not backend.folder.root.exists()


def test_a_backend_may_take_one_job_a_task(make):
    executor, backend = make()
    backend.shares_tasks = False
    with executor:
        for number in range(3):
            executor.submit(make_job(number))
        results(executor)
    assert sorted(backend.started) == [[0], [1], [2]]


def test_jobs_that_another_driver_has_are_dropped(make):
    executor, backend = make()
    with executor:
        executor.submit(make_job(0), lambda: False)
        executor.submit(make_job(1), lambda: True)
        assert results(executor) == {0: None, 1: "done"}
    assert backend.started == [[1]]


def test_no_more_jobs_are_open_than_the_options_say(make, spool):
    executor, backend = make(open_jobs=2)
    most = 0

    def count(job: Job) -> dict[str, str]:
        nonlocal most
        most = max(most, sum(len(task.jobs) for task in executor._tasks.values()))
        return backend.end(job)

    backend.work, backend.shares_tasks, backend.most_tasks = count, False, 10
    with executor:
        for number in range(6):
            executor.submit(make_job(number))
        assert len(results(executor)) == 6
    assert most == 2


@pytest.mark.parametrize(("losses", "status"), [(1, "done"), (2, "interrupted")])
def test_a_lost_worker_gets_one_more(make, losses, status):
    executor, backend = make()
    left = losses

    def lose(job: Job) -> dict[str, str]:
        nonlocal left
        left -= 1
        return {"reason": "the node was switched off"} if left >= 0 else backend.end(job)

    backend.work = lose
    with executor:
        executor.submit(make_job(0))
        assert results(executor) == {0: status}
    assert len(backend.started) == 2
    assert (backend.folder.root / "logs").is_dir()


def test_a_worker_killed_after_its_result_counts_as_done(make, spool):
    executor, backend = make()

    def die(job: Job) -> dict[str, str]:
        spool.add(spool.work_folder(job), Result(job, "done"))
        return {"reason": "killed"}

    backend.work = die
    with executor:
        executor.submit(make_job(0))
        assert results(executor) == {0: "done"}
    assert backend.started == [[0]]


def test_a_result_that_another_driver_stored_is_not_made_again(make, spool, monkeypatch):
    executor, backend = make()
    stored: dict[str, Any] = {}
    monkeypatch.setattr(
        STORE, "stored_jobs", lambda keys: {k: stored[k] for k in keys if k in stored}
    )

    def store(job: Job) -> dict[str, str]:
        backend.folder.write_end(job, "done")
        stored[job.score_key] = "done"
        return {}

    backend.work = store
    with executor:
        executor.submit(make_job(0))
        ((_, path),) = executor.as_completed()
    assert path == spool.root / make_job(0).score_key
    assert backend.started == [[0]]


def test_an_error_that_the_user_must_mend_ends_the_run(make):
    executor, backend = make()
    backend.work = lambda job: {"error": "numpy differs", "code": "other_versions"}
    executor.submit(make_job(0))
    with pytest.raises(UsageError) as error, executor:
        results(executor)
    assert error.value.code == "other_versions"
    assert backend.cancelled


def test_jobs_may_be_submitted_while_others_run(make):
    executor, _ = make()
    with executor:
        executor.submit(make_job(0))
        seen = []
        for job, _path in executor.as_completed():
            seen.append(job.seed)
            if job.seed < 3:
                executor.submit(replace(make_job(job.seed + 1), score_key=f"next{job.seed}"))
        assert seen == [0, 1, 2, 3]
