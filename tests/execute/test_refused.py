"""Results that the store does not take, and jobs that end outside their fit."""

from __future__ import annotations

import json
import platform
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench.execute.limited_process import ProcessOutcome, run_limited
from bench.plan.job import Job
from bench.store.mlflow_store import Tracker
from bench.store.result import InvalidResult, Result
from bench.store.spool import Spool


def statuses(outcome: Any) -> dict[str, str]:
    return dict(zip(outcome.table["method"], outcome.table["status"], strict=True))


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch):
    """Let the processes of one kind end with a given outcome."""

    def let(kind: str, outcome: ProcessOutcome) -> None:
        def limited(function: str, *args: Any, **more: Any) -> ProcessOutcome:
            return outcome if function == kind else run_limited(function, *args, **more)

        monkeypatch.setattr("bench.execute.local_executor.run_limited", limited)

    return let


def test_names_that_mlflow_refuses_are_kept_in_another_form(bench_run, flags):
    from bench.settings import load_settings

    outcome = bench_run("odd_names,noop")
    assert statuses(outcome) == {"odd_names": "done", "noop": "done"}
    row = outcome.table.set_index("method").loc["odd_names"]
    assert row["n_parameters"] == 12
    assert json.loads(row["notes"])["chosen"] == "3"
    assert row["k_5_auto_/n_clusters"] == 5
    curves = Tracker(load_settings({"results": flags["results"]})).curves([row["run_id"]])
    found = {one["name"]: one["value"] for one in curves}
    assert found.pop("loss") == 1
    assert found == {"CD4_naive_loss": 0.5, "a_.._b": 1.0, "curve_a_.._b": 2.0}
    kept = json.loads((Path(row["artifacts"]) / "result.json").read_text())
    assert set(kept["curves"]) == {"CD4+ (naive): loss", "a/../b", "a+..+b", "loss"}


def test_what_lies_unreadable_in_the_spool_is_set_aside(bench_run, flags):
    left, empty = (flags["results"] / "spool" / name for name in ("0123", "4567"))
    for folder in (left, empty):
        folder.mkdir(parents=True)
    (left / "result.json").write_text('{"job": ')
    outcome = bench_run("noop")
    assert statuses(outcome) == {"noop": "done"}
    assert outcome.text.count("not fit for the store, kept in") == 2
    assert not left.exists()
    kept, other = sorted((flags["results"] / "refused").iterdir())
    assert (kept / "result.json").read_text() == '{"job": '
    assert list(other.iterdir()) == []


def test_a_result_that_mlflow_takes_for_wrong_fails_its_job_only(
    bench_run, flags, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    write = Tracker._write

    def refuse(self: Tracker, result: Result, folder: Path) -> str:
        run = write(self, result, folder)
        if result.job.method == "noop" and result.status == "done":
            self._client.update_run(run, status="RUNNING")  # as one that was half written
            raise MlflowException("no such value", INVALID_PARAMETER_VALUE)
        return run

    monkeypatch.setattr(Tracker, "_write", refuse)
    outcome = bench_run("noop,told")
    assert statuses(outcome) == {"noop": "failed", "told": "done"}
    reason = outcome.table.set_index("method")["reason"]["noop"]
    assert "cannot be stored" in reason
    assert "no such value" in reason
    (kept,) = (flags["results"] / "refused").iterdir()
    assert (kept / "artifacts" / "embedding.parquet").is_file()
    assert len(outcome.table) == 2


def test_a_fit_whose_scores_failed_is_not_repeated(bench_run, ends):
    ends("score", ProcessOutcome("timeout", "longer than the limit"))
    first = bench_run("slow[seconds=0.2]").table.iloc[0]
    assert (first["status"], first["reason"]) == ("timeout", "scoring: longer than the limit")
    assert first["seconds"] >= 0.2
    ends("fit", ProcessOutcome("failed", "fitted again"))
    again = bench_run("slow[seconds=0.2]", retry="timeout").table.iloc[0]
    assert again["status"] == "done"
    assert again["seconds"] == first["seconds"]


def test_a_preparation_out_of_memory_is_no_other_failure(bench_run, ends, cache):
    from shutil import rmtree

    rmtree(cache / "prepared")
    ends("prepare", ProcessOutcome("oom", "more than the limit"))
    row = bench_run("noop").table.iloc[0]
    assert (row["status"], row["reason"]) == ("oom", "preparation: more than the limit")


def test_an_error_of_the_harness_in_one_job_spares_the_others(
    bench_run, monkeypatch: pytest.MonkeyPatch
):
    from bench.execute import local_executor

    fit_result = local_executor._fit_result

    def fails(job: Job, outcome: ProcessOutcome) -> Result:
        if job.method == "noop":
            raise RuntimeError("a bug")
        return fit_result(job, outcome)

    monkeypatch.setattr(local_executor, "_fit_result", fails)
    outcome = bench_run("noop,told")
    assert statuses(outcome) == {"noop": "interrupted", "told": "done"}
    assert outcome.table.set_index("method")["reason"]["noop"] == "RuntimeError: a bug"


def test_the_spool_leaves_what_others_are_at(tmp_path: Path):
    spool = Spool(tmp_path / "spool")
    gone = 2**22 + 1  # above the largest process number
    for host in ("elsewhere", platform.node()):
        (spool.root / f".1.{host}.{gone}").mkdir()
    spool.remove_abandoned()
    assert [path.name for path in spool.root.iterdir()] == [f".1.elsewhere.{gone}"]
    (spool.root / "result.json").write_text("{")
    with pytest.raises(InvalidResult) as error:
        Result.read(spool.root)
    assert error.value.code == "damaged_result"


def test_an_interrupt_ends_the_wait_for_another_driver(bench_run, flags):
    from rich.console import Console

    from bench.data.cache.data_cache import DataCache
    from bench.execute.driver import Driver
    from bench.plan.job import Plan
    from bench.settings import load_settings

    bench_run("noop")
    settings = load_settings({key: flags[key] for key in ("results", "cache_dir")})
    driver = Driver(settings, DataCache(settings.cache_dir), Plan(), Console())
    driver.open()
    job = Result.read(Path(driver.tracker.rows()[0]["artifacts"])).job
    stop, answers = threading.Event(), []
    with FileLock(settings.results / "locks" / f"{job.score_key}.lock", thread_local=False):
        assert not driver._claim(job)
        waits = threading.Thread(target=lambda: answers.append(driver._claim(job, cancelled=stop)))
        waits.start()
        time.sleep(0.2)
        assert waits.is_alive()
        stop.set()
        waits.join(30)
    assert answers == [False]


def test_a_page_shows_what_was_asked_for(bench_run, monkeypatch: pytest.MonkeyPatch):
    """The same fits under another profile, name or with a metric of a plugin: another page."""
    written: list[Path] = []

    def write(table: Any, folder: Path, *args: Any, **more: Any) -> None:
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("")
        written.append(folder)

    monkeypatch.setattr("bench.reports.write.write_report", write)
    bench_run("slow[seconds=0]", report=True)
    bench_run("slow[seconds=0]", report=True)
    assert len(written) == 1
    bench_run("slow[seconds=0]", report=True, profile="quick")
    bench_run("slow[seconds=0.0]", report=True)
    assert len(set(written)) == 3


def test_a_job_that_the_store_refuses_whatever_comes_of_it_ends_the_run(
    bench_run, flags, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    def refuse(self: Tracker, result: Result, folder: Path) -> str:
        raise MlflowException("no such job", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(Tracker, "_write", refuse)
    with pytest.raises(InvalidResult) as error:
        bench_run("noop")
    assert error.value.code == "refused_by_mlflow"
    assert not list((flags["results"] / "spool").iterdir())
