"""Jobs of one dataset share tasks, and tasks ask for what earlier fits took."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from _command import bench_json

from bench.cluster.job_folder import JobFolder
from bench.cluster.resources import JobCost, group_jobs, job_costs, task_request
from bench.settings import CostRequest, EngineOptions, Settings


@pytest.fixture
def job(plan_array):
    return JobFolder(plan_array("noop", "toy", "--seeds", "1")).task(1)[0].job


def cost(job, dataset: str, expected: float, memory: float = 1.0, **more) -> JobCost:
    return JobCost(replace(job, dataset=dataset, **more), expected, 2 * expected, memory)


def test_short_jobs_of_a_dataset_share_a_task(job):
    costs = [cost(job, "a", 100) for _ in range(6)] + [cost(job, "b", 100), cost(job, "a", 5000)]
    groups = group_jobs(costs, 330)
    assert [(group[0].job.dataset, len(group)) for group in groups] == [
        ("a", 1), ("a", 3), ("a", 3), ("b", 1)
    ]  # fmt: skip


def test_devices_and_sizes_have_tasks_of_their_own(job):
    costs = [cost(job, "a", 1), cost(job, "a", 1, device="cuda"), cost(job, "a", 1, memory=30)]
    assert len(group_jobs(costs, 600)) == 3


def test_a_request_covers_every_job_of_a_task(job):
    request = task_request([cost(job, "a", 1000), cost(job, "a", 400, memory=9.0)])
    assert request.seconds >= 2000 + 400
    assert request.memory_gib >= 9 + 1


def test_earlier_fits_decide_what_is_asked_for(job):
    store: Any = SimpleNamespace(  # in place of a store of results
        peak_memory=lambda methods: [("noop", "toy", 40.0, 2048.0), ("noop", "toy", 60.0, 512.0)],
        durations=lambda methods, profile: [("noop", "toy", 50.0, 90)],
    )
    roomy = replace(job, memory=16.0, timeout=3600.0)
    (known,) = job_costs([roomy], store, Settings())
    assert (known.memory, known.expected) == (3.0, 50.0)
    assert 90 < known.seconds < 400
    other = replace(roomy, method="other", method_name="pca", origin="bench.methods.pca")
    (unknown,) = job_costs([other], store, Settings())
    assert (unknown.memory, unknown.seconds) == (16.0, 3600.0)
    options = EngineOptions(light=CostRequest(minutes=20, memory=4), heavy=CostRequest(minutes=90))
    settings = Settings(engine_options=options)
    for name, asked in (("pca", (4.0, 1200.0)), ("pca_umap", (16.0, 3600.0))):
        method = replace(other, method_name=name, origin=f"bench.methods.{name}")
        (first,) = job_costs([method], store, settings)
        assert (first.memory, first.seconds) == asked, "never more than the limits of a fit"


def test_arrays_are_no_longer_than_the_scheduler_takes(plan_array, config, words):
    file = config(max_array_size=3, task_minutes=0.01)
    folder = plan_array("noop", "toy", "--seeds", "5", "--config", str(file))
    lines = (folder / "submit.sh").read_text().splitlines()[-3:]
    assert [line.split()[1] for line in lines] == ["--array=1-2", "--array=1-2", "--array=1"]
    assert len(JobFolder(folder).task_numbers()) == 5
    assert bench_json("status", str(folder))["jobs"] == 5
