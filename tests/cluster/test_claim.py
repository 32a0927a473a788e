"""One worker has a job at a time, and takes it over from one that was lost."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from bench.cluster import claim as claims
from bench.cluster.claim import Claim
from bench.cluster.job_folder import LOST, RUNNING, STALE_SECONDS, JobFolder


@pytest.fixture
def folder(plan_array) -> JobFolder:
    return JobFolder(plan_array("noop", "toy", "--seeds", "1"))


@pytest.fixture
def job(folder):
    return folder.task(1)[0].job


@pytest.fixture
def make(folder, job, tmp_path):
    return lambda: Claim(folder, job, tmp_path / "log.txt", threading.Event())


def write_other(folder, job, age: float = 0.0, **more) -> None:
    """Write the claim of a worker on another machine."""
    path = folder.claim_file(job)
    content = {"host": "elsewhere", "pid": 1, "attempt": 1, "started": time.time(), **more}
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age, time.time() - age))


def state(folder):
    return next(folder.states())


def test_a_live_worker_keeps_its_job(folder, job, make):
    write_other(folder, job)
    assert not make().take()
    assert state(folder).state == RUNNING


def test_a_lost_worker_loses_its_job(folder, job, make):
    write_other(folder, job, age=STALE_SECONDS + 5)
    assert state(folder).state == LOST
    mine = make()
    assert mine.take()
    assert mine.attempt == 2
    mine.release()
    assert folder.read_claim(job) is None


def test_a_requeued_task_takes_its_job_at_once(folder, job, make, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    write_other(folder, job, scheduler="SLURM_JOB_ID/12")
    mine = make()
    assert mine.take()
    mine.release()


def test_a_job_that_has_ended_is_not_taken(folder, job, make):
    folder.write_end(job, "done")
    assert not make().take()
    assert folder.read_claim(job) is None


def test_a_worker_shows_its_step_and_its_log(folder, job, make, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    (tmp_path / "log.txt").write_text("epoch 3\n")
    mine = make()
    assert mine.take()
    mine.show_step({"step": 3, "total": 9, "values": {"loss": 0.5}})
    log = folder.claim_file(job).with_suffix(".log")
    deadline = time.monotonic() + 10
    while not (log.is_file() and state(folder).claim.get("step") == 3):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert log.read_text() == "epoch 3\n"
    mine.release()
