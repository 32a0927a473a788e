"""``bench`` without a verb, and the last lines of ``bench doctor``."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from _command import bench

from bench.cli import doctor


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def next_commands(output: str) -> list[str]:
    lines = output.partition("What you may want next:\n")[2].splitlines()
    return [line.strip().split("  ")[0] for line in lines if line.startswith("  ")]


def test_without_results_the_verbs_are_listed(here: Path):
    result = bench()
    assert result.exit_code == 0
    assert "test-method" in result.stdout
    assert list(here.iterdir()) == []


def test_with_an_empty_store_a_first_run_is_proposed(here: Path, empty_store: Path):
    (here / "results").mkdir()
    shutil.copy(empty_store, here / "results" / "mlflow.db")
    result = bench()
    assert result.exit_code == 0
    assert next_commands(result.stdout)[0].startswith("bench run ")


def job_tags(number: int, **tags: str) -> dict[str, str]:
    return {
        "kind": "job", "method": "vae[n_latent=8]", "dataset": "a", "status": "done",
        "score_key": str(number), "fit_key": str(number), "seed": "0", "n_cells": "40",
        "n_features": "5", "n_types": "3", "threads": "1", "timeout": "60", "memory": "1",
    } | tags  # fmt: skip


@pytest.fixture
def add_jobs(here: Path, empty_store: Path):
    """Write jobs into the store of the folder: their tags, and the ARI of those that have one."""
    from mlflow import MlflowClient

    (here / "results").mkdir()
    shutil.copy(empty_store, here / "results" / "mlflow.db")
    client = MlflowClient(tracking_uri=f"sqlite:///{here}/results/mlflow.db")
    experiment = client.create_experiment("bench", (here / "results" / "artifacts").as_uri())

    def add(*jobs: tuple[dict[str, str], float | None]) -> None:
        for number, (tags, ari) in enumerate(jobs):
            run = client.create_run(experiment, tags=job_tags(number, **tags)).info.run_id
            if ari is not None:
                client.log_metric(run, "kmeans/ari", ari)
            client.set_terminated(run, "FINISHED")

    return add


def test_with_results_the_report_comes_first(here: Path, add_jobs):
    add_jobs(({}, None), ({"seed": "1"}, None), ({"seed": "2", "status": "failed"}, None))
    before = sorted(path.name for path in (here / "results").iterdir())
    result = bench()
    assert "2 done" in result.stdout
    assert "1 failed" in result.stdout
    retry, report, third = next_commands(result.stdout)
    assert retry.endswith("--retry all")
    assert report == "bench report"
    assert third == "bench ui"
    assert sorted(path.name for path in (here / "results").iterdir()) == before
    (here / "results" / "report.html").touch()
    assert "bench report" not in next_commands(bench().stdout)


def searched(output: str) -> list[str]:
    """Return the methods of the searches among the next commands."""
    commands = [command.split() for command in next_commands(output)]
    return [words[words.index("-m") + 1] for words in commands if words[1] == "search"]


def test_a_search_is_proposed_of_the_best_method_with_something_to_search(here: Path, add_jobs):
    add_jobs(
        ({"method": "truth", "method_name": "truth", "family": "control"}, 1.0),
        ({"method": "ae", "method_name": "ae"}, 0.2),
        ({"method": "nmf", "method_name": "nmf"}, 0.5),
        ({"method": "unknown", "method_name": "unknown"}, 0.9),  # a plugin that is not here
    )
    (here / "results" / "report.html").touch()
    assert searched(bench().stdout) == ["nmf"]


def test_no_search_is_proposed_where_no_method_has_a_score(here: Path, add_jobs):
    add_jobs(({"method": "ae", "method_name": "ae"}, None))
    (here / "results" / "report.html").touch()
    commands = next_commands(bench().stdout)
    assert len(commands) == 2
    assert searched(bench().stdout) == []


def test_doctor_ends_with_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "resolve_device", lambda asked: "cuda")
    monkeypatch.setattr("bench.execute.wall.wall_state", lambda: "kernel-enforced")
    monkeypatch.setattr(doctor, "_unavailable", lambda: iter(()))
    monkeypatch.setattr(doctor, "_LEAST_DISK_GIB", 0.0)
    assert bench("doctor").stdout.splitlines()[-1] == "All is well."
    monkeypatch.setattr("bench.execute.wall.wall_state", lambda: "by process only")
    monkeypatch.setattr(doctor, "_LEAST_DISK_GIB", 1e9)
    missing = bench("doctor").stdout.partition("Missing, and what it costs:\n")[2].splitlines()
    assert len(missing) == 3
    assert any("labels" in line for line in missing)


def test_doctor_has_a_line_for_each_missing_package(monkeypatch: pytest.MonkeyPatch):
    entries = [
        SimpleNamespace(name=name, unavailable=reason)
        for name, reason in (("a", "x is missing"), ("b", ""), ("c", "x is missing"), ("d", "y"))
    ]
    monkeypatch.setattr(doctor, "methods", lambda: entries)
    monkeypatch.setattr(doctor, "datasets", list)
    lines = [line for line in bench("doctor").stdout.splitlines() if "without" in line]
    assert [line.strip() for line in lines] == ["without a, c: x is missing", "without d: y"]
