"""What a run leaves in MLflow with its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from bench.execute.mlflow_report import UMAP_FILE, add_umap_pictures, summary_values
from bench.settings import load_settings


def client_of(results: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{results / 'mlflow.db'}")


def runs_of(results: Path, kind: str) -> list[Run]:
    client = client_of(results)
    experiment = client.get_experiment_by_name("bench").experiment_id
    return client.search_runs([experiment], f"tags.kind = '{kind}'")


@pytest.fixture
def finished(bench_run):
    return bench_run("noop,wrong_shape", seeds=2, report=True, umap=False)


def test_the_session_holds_report_tables_figure_and_means(finished, flags, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{flags['results'] / 'mlflow.db'}")
    client = client_of(flags["results"])
    (session,) = runs_of(flags["results"], "session")
    names = {one.path for one in client.list_artifacts(session.info.run_id)}
    assert names == {
        "plan.json", "report.html", "summary.md", "scores.csv", "scores.png", "jobs.json",
        "leaderboard.json",
    }  # fmt: skip
    shown = {one["path"] for one in json.loads(session.data.tags["mlflow.loggedArtifacts"])}
    assert shown == {"jobs.json", "leaderboard.json"}
    experiment = session.info.experiment_id
    jobs = client.load_table(experiment, "jobs.json")
    assert sorted(jobs["status"]) == ["done", "done", "failed", "failed"]
    assert set(client.load_table(experiment, "leaderboard.json")["method"]) == {
        "noop", "wrong_shape",
    }  # fmt: skip
    table = finished.table
    assert session.data.metrics["summary/kmeans/ari/noop"] == pytest.approx(
        table["kmeans/ari"].mean()
    )
    assert session.data.metrics["jobs/done"] == session.data.metrics["jobs/failed"] == 2
    assert "" not in session.data.tags.values()
    assert session.info.run_name == "noop, wrong_shape on toy"
    assert {run.data.tags["mlflow.parentRunId"] for run in runs_of(flags["results"], "job")} == {
        session.info.run_id
    }


def test_a_run_that_fits_nothing_adds_nothing(finished, bench_run, flags):
    again = bench_run("noop,wrong_shape", seeds=2, report=True, umap=False)
    assert again.fitted == 0
    assert again.session == ""
    assert len(runs_of(flags["results"], "session")) == 1


def test_umaps_of_the_report_are_added_once_to_the_median_seed(finished, flags):
    settings = load_settings({"results": flags["results"]})
    done = finished.table[finished.table["status"] == "done"]
    median = done.sort_values("kmeans/ari").iloc[0]
    folder = settings.results / "reports" / "umaps"
    folder.mkdir()
    cells = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0], "type": ["a", "b"], "n_dims": 4})
    cells.to_parquet(folder / f"{median['score_key']}.parquet")
    add_umap_pictures(finished.table, settings)
    pictures = [Path(text) / UMAP_FILE for text in done["artifacts"]]
    (picture,) = [path for path in pictures if path.is_file()]
    assert picture.parent == Path(median["artifacts"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    before = picture.stat().st_mtime_ns
    add_umap_pictures(finished.table, settings)
    assert picture.stat().st_mtime_ns == before


def test_a_store_that_cannot_be_written_leaves_the_report(bench_run, flags, monkeypatch):
    from bench.store.mlflow_store import Tracker

    outcome = bench_run("noop", report=False)
    shutil.rmtree(flags["results"] / "reports", ignore_errors=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tracker, "_check_present", full)
    from bench.execute.report import write_run_report

    settings = load_settings({"results": flags["results"]})
    assert write_run_report(outcome, settings, umap=False).is_file()


def test_means_are_over_datasets_not_over_jobs():
    rows = [
        {"method": "pca[n=2]", "dataset": name, "seed": seed, "status": "done", "kmeans/ari": ari}
        for name, seed, ari in (("a", 0, 0.2), ("a", 1, 0.4), ("b", 0, 0.9))
    ]
    table = pd.DataFrame(rows).assign(method_name="pca", profile="default", protocol="default")
    values = summary_values(table)
    assert values["summary/kmeans/ari/pca_n_2_"] == pytest.approx((0.3 + 0.9) / 2)
