"""What MLflow's pages get: tags without noise, tables that can be read, views that find runs."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from _exchange import WrittenResults, make_result
from mlflow import MlflowClient

from bench.store.mlflow_pages import (
    SCORES_FILE,
    VIEW_TAG,
    score_rows,
    table_text,
    view_address,
    view_tags,
)
from bench.store.run_tags import FIELDS, KEYS, job_tags, table_row
from bench.store.stored_run import StoredRun


def row_of(tags: dict[str, str]) -> dict[str, object]:
    return table_row(StoredRun("r", "1", "FINISHED/active/1", 0, "", tags, {}, {}))


def test_a_job_has_no_empty_tag_and_one_for_all_keys():
    tags = job_tags(make_result(session="s"))
    assert all(text not in ("", "{}", "[]") for text in tags.values())
    assert not set(tags) & set(KEYS)
    assert json.loads(tags["keys"])["counts_digest"] == "c"
    assert tags["method"] == "noop"


def test_keys_are_read_from_one_tag_or_from_tags_of_their_own():
    tags = job_tags(make_result(session="s", missing={"embedding/ilisi": "one batch"}))
    apart = {name: text for name, text in tags.items() if name != "keys"}
    apart |= json.loads(tags["keys"])
    assert row_of(tags) == row_of(apart)
    assert row_of(tags)["session_id"] == "s"
    assert row_of(tags)["fit_key"] == make_result().job.fit_key
    assert set(FIELDS) <= set(row_of(tags))


def test_a_table_of_scores_is_what_pandas_reads():
    scores = {"kmeans/ari": 0.123456, "leiden/ari": math.nan, "leiden/nmi": 0.5}
    result = make_result(metrics=scores, missing={"leiden/nmi": "one cluster"})
    table = pd.read_json(io.StringIO(table_text(score_rows(result))), orient="split")
    values = dict(zip(table["score"], table["value"], strict=True))
    assert values["kmeans/ari"] == pytest.approx(0.1235, abs=1e-9)
    assert math.isnan(values["leiden/nmi"])
    assert "leiden/ari" not in values
    assert list(table.loc[table["score"] == "leiden/nmi", "missing"]) == ["one cluster"]


@pytest.fixture
def stored(tmp_path: Path, empty_store: Path) -> tuple[MlflowClient, WrittenResults]:
    results = WrittenResults(tmp_path / "results", empty_store)
    good = make_result(0)
    results.add(replace(good, job=replace(good.job, family="baseline")))
    results.add(make_result(1))
    results.add(make_result(2, status="failed", reason="broken", metrics={}, measures={}))
    return MlflowClient(tracking_uri=f"sqlite:///{results.settings.database}"), results


def test_each_view_finds_its_runs(stored):
    client, _ = stored
    experiment = client.get_experiment_by_name("bench")
    found = {}
    for tag, content in view_tags().items():
        assert experiment.tags[tag] == content
        view = json.loads(content)
        assert isinstance(view["name"], str)
        assert isinstance(view["createdAt"], int)
        state = json.loads(view["state"])
        order = state.get("orderByKey")
        runs = client.search_runs(
            [experiment.experiment_id], state.get("searchFilter", ""),
            order_by=[f"{order} DESC"] if order else None,
        )  # fmt: skip
        found[tag.removeprefix(VIEW_TAG)] = sorted(run.data.tags["seed"] for run in runs)
    assert found.pop("tree") == ["0", "1", "2"]
    assert found == {
        "jobs": ["0"], "controls": ["1", "2"], "means": ["0", "1"], "failed": ["2"],
        "sessions": [], "trials": [],
    }  # fmt: skip
    assert view_address(experiment.experiment_id).endswith("viewStateShareKey=jobs")


def test_a_store_without_views_gets_them_and_a_changed_view_stays(stored):
    from bench.store.mlflow_store import Tracker

    client, results = stored
    experiment = client.get_experiment_by_name("bench").experiment_id
    client.set_experiment_tag(experiment, f"{VIEW_TAG}jobs", "mine")
    client.delete_experiment_tag(experiment, f"{VIEW_TAG}tree")
    Tracker(results.settings)
    tags = client.get_experiment(experiment).tags
    assert tags[f"{VIEW_TAG}jobs"] == "mine"
    assert tags[f"{VIEW_TAG}tree"] == view_tags()[f"{VIEW_TAG}tree"]


def test_scores_of_a_job_are_an_artifact_that_mlflow_shows_as_a_table(stored, monkeypatch):
    client, results = stored
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{results.settings.database}")
    experiment = client.get_experiment_by_name("bench").experiment_id
    table = client.load_table(experiment, SCORES_FILE, extra_columns=["run_id"])
    done = {run.info.run_id for run in client.search_runs([experiment], "tags.status = 'done'")}
    assert set(table["run_id"]) == done
    assert list(table["score"]) == 2 * ["kmeans/ari", "coverage", "seconds"]
