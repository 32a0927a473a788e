"""``bench search``: protocols, resumption, pruning, result files, errors."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock
from mlflow import MlflowClient
from rich.console import Console
from typer.testing import CliRunner

import bench
from bench.cli.main import app
from bench.data.cache.data_cache import DataCache
from bench.errors import UsageError
from bench.plan.build import load_datasets
from bench.reports.tables.leaderboard import leaderboard
from bench.scoring.holdout import split_file
from bench.settings import load_settings
from bench.store.results_table import load_results
from bench.tuning.search import search

PLUGIN = Path(__file__).parents[1] / "plugins" / "tunable.py"


def make_flags(results: Path, empty_store: Path, cache: Path) -> dict[str, Any]:
    if not results.is_dir():
        results.mkdir()
        shutil.copy(empty_store, results / "mlflow.db")
    return {
        "results": results, "cache_dir": cache, "plugins": (str(PLUGIN),), "jobs": 1,
        "seeds": "1", "memory": 1.0,
    }  # fmt: skip


def run_search(methods: str = "tunable", datasets: str = "blobs", **options: Any) -> Any:
    return search(methods, datasets, console=Console(file=StringIO()), **options)


@pytest.fixture
def flags(tmp_path: Path, empty_store: Path, cache: Path) -> Callable[..., dict[str, Any]]:
    return lambda name="results": make_flags(tmp_path / name, empty_store, cache)


@pytest.fixture
def go(flags) -> Callable[..., Any]:
    def run(*selectors: str, **more: Any) -> Any:
        options = flags(more.pop("results", "results")) | {"trials": 4, "report": False} | more
        return run_search(*selectors, **options)

    return run


@pytest.fixture(scope="module")
def finished_flags(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, cache: Path
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("finished") / "results"
    return make_flags(folder, empty_store, cache) | {"seeds": "2"}


@pytest.fixture(scope="module")
def finished(finished_flags) -> Any:
    """A search of five trials and two report seeds, for tests that change nothing of it."""
    return run_search(trials=5, report=False, **finished_flags)


def trials_of(outcome: Any) -> list[list[str]]:
    """Return the rows of trials.csv of the first study without their seconds."""
    study = outcome.studies[0]["study"]
    folder = outcome.best[0].parent / study
    rows = [line.split(",") for line in (folder / "trials.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    return [row[:seconds] + row[seconds + 1 :] for row in rows]


def test_gain_of_a_search(finished):
    study = finished.studies[0]
    assert study["trials"] == {"done": 5}
    assert study["protocol"] == "holdout"
    assert study["winner"] != 0
    main = study["gains"][0]
    assert main["key"] == "kmeans/ari"
    assert main["seeds"] == 2
    assert main["gain"] == pytest.approx(main["tuned"] - main["default"])
    assert "holdout" in study["statement"]
    assert "95 % interval" in study["statement"]
    rows = finished.run.table
    assert set(rows["method"]) == {"tunable", "tunable·tuned"}
    assert set(rows["protocol"]) == {"holdout"}
    assert set(rows["seed"]) == {0, 1}


@pytest.mark.slow
def test_the_best_so_far_counts_the_trial_just_ended(flags):
    shown = StringIO()
    console = Console(file=shown, width=200)
    search("tunable", "blobs", console=console, trials=4, report=False, **flags())
    ended = [line for line in shown.getvalue().splitlines() if "best so far" in line]
    pairs = [tuple(map(float, re.findall(r"-?\d\.\d{3}", line))) for line in ended]
    values = [value for value, _ in pairs]
    assert len(values) == 4
    assert values[0] < max(values)  # a trial was better than those before it
    assert [best for _, best in pairs] == [max(values[: i + 1]) for i in range(4)]


def run_file(file: Path, flags: dict[str, Any], methods: str = "tunable", **more: Any) -> Any:
    """Run methods on blobs with a file of parameters."""
    options = {"report": False, "console": Console(file=StringIO())} | flags | more
    return bench.run(methods, options.pop("datasets", "blobs"), params=[file], **options)


def check_mark(searched: Any, file: Path, again: Any, protocol: str) -> None:
    """A run with the parameters of a search has its names, its protocol and its scores."""
    rows, own = again.table, searched.run.table
    own = own[own["method"] == "tunable·tuned"]
    assert set(rows["method"]) == {"tunable·tuned"}
    assert set(rows["protocol"]) == {protocol}
    assert set(rows["n_trials"]) == {str(searched.studies[0]["trials"]["done"])}
    assert rows["kmeans/ari"].iloc[0] == own.set_index("seed").at[0, "kmeans/ari"]
    assert rows["score_key"].iloc[0] == own.set_index("seed").at[0, "score_key"]


def test_a_run_with_the_file_of_a_holdout_search_keeps_its_mark(
    finished, finished_flags, flags, tmp_path
):
    file = shutil.copy(finished.best[0], tmp_path / "mine.yaml")
    again = run_file(
        file, flags() | {"cache_dir": finished_flags["cache_dir"]}, report=True, umap=False
    )
    check_mark(finished, file, again, "holdout")
    assert "tunable·tuned (holdout)" in again.report.read_text()
    summary = (again.report.parent / "summary.md").read_text()
    assert "the best of 5 trials" in summary


def test_holdout_cells_are_set_apart_in_a_cache_without_the_split(
    finished, flags, tmp_path, monkeypatch
):
    again = run_file(finished.best[0], flags("other") | {"cache_dir": tmp_path / "cache"})
    check_mark(finished, finished.best[0], again, "holdout")


@pytest.mark.slow
def test_a_run_with_the_file_of_an_oracle_search_is_never_ranked(go, flags, tmp_path):
    searched = go(trials=3, protocol="oracle", seeds="1")
    file = shutil.copy(searched.best[0], tmp_path / "honest.yaml")
    again = run_file(file, flags("other"), report=True, umap=False)
    check_mark(searched, file, again, "oracle")
    board = leaderboard(again.table).set_index("method")
    assert board["rank"].isna().all()
    note = board.at["tunable·tuned (oracle ⚠)", "note"]
    assert "tuned on the labels" in note
    assert "the best of 3 trials" in note
    assert "tunable·tuned (oracle ⚠)" in (again.report.parent / "summary.md").read_text()
    # Another value on top is no longer the search's choice; the mark stays.
    other = run_file(file, flags("other"), "tunable[steps=3]")
    assert other.table["method"].iloc[0].startswith("tunable[params=blobs-oracle-")
    assert set(other.table["protocol"]) == {"oracle"}
    # A search that hides the labels cannot begin with them.
    with pytest.raises(UsageError) as error:
        go(trials=2, protocol="holdout", params=[file], results="third")
    assert error.value.code == "hidden_input"


def test_on_other_data_the_file_of_a_search_counts_as_set_by_hand(finished, flags):
    again = run_file(finished.best[0], flags(), "tunable", datasets="small_blobs")
    assert again.table["method"].iloc[0].startswith("tunable[params=blobs-holdout-")
    assert set(again.table["protocol"]) == {"default"}


def test_a_plan_takes_the_file_of_a_search(finished, flags):
    given = flags()
    words = ["plan", "-m", "tunable", "-d", "blobs", "--params", str(finished.best[0]), "--json"]
    words += ["--results", str(given["results"]), "--cache-dir", str(given["cache_dir"])]
    ran = CliRunner().invoke(app, [*words, "--plugin", str(PLUGIN)])
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(ran.stdout)["jobs"]
    assert (row["method"], row["protocol"]) == ("tunable·tuned", "holdout")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"protocol": None}, "invalid_search"),
        ({"counts_digest": None}, "invalid_search"),
        ({"protocol": "default"}, "invalid_search"),
        ({"trials": {"rigid": 3}}, "invalid_search"),
        ({"more": 1}, "invalid_search"),
        ({"counts_digest": "0" * 24}, "other_data"),
        ({"labels_digest": "0" * 24}, "other_data"),
    ],
)
def test_a_search_that_does_not_fit_is_refused(finished, flags, tmp_path, change, code):
    content = yaml.safe_load(finished.best[0].read_text())
    search = content["search"] | change
    content["search"] = {name: value for name, value in search.items() if value is not None}
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError) as error:
        run_file(file, flags())
    assert error.value.code == code
    assert "changed.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_second_search_runs_missing_trials_only(go):
    first = trials_of(go(trials=2))
    again = go(trials=2)
    assert trials_of(again) == first
    assert again.run.fitted == 0
    more = trials_of(go(trials=4))
    assert more[:3] == first
    assert len(more) == 5


def test_labels_of_report_cells_do_not_change_the_best_trial(
    go, finished, finished_flags, cache, monkeypatch, tmp_path
):
    """The two datasets have the same counts and split; the report cells' labels differ."""

    def cached_folder(selector: str) -> Path:
        settings = load_settings(finished_flags)
        (dataset,), _ = load_datasets(selector, settings, DataCache(cache))
        return dataset.folder

    folder = cached_folder("blobs")
    split = split_file(cache, folder)
    in_file = np.argsort(np.load(folder / "order.npy"))
    np.save(tmp_path / "split.npy", np.load(split)[in_file])
    monkeypatch.setenv("BLOBS_SPLIT", str(tmp_path / "split.npy"))
    mixed_split = split_file(cache, cached_folder("blobs[labels=mixed]"))
    assert mixed_split != split
    shutil.copy(split, mixed_split)
    mixed = go("tunable", "blobs[labels=mixed]", trials=5, seeds="2")
    assert trials_of(mixed) == trials_of(finished)
    assert mixed.studies[0]["winner"] == finished.studies[0]["winner"]
    assert mixed.studies[0]["changed"] == finished.studies[0]["changed"]
    # Only the report differs, so the labels did differ.
    assert mixed.studies[0]["gains"][0]["tuned"] != finished.studies[0]["gains"][0]["tuned"]


@pytest.mark.slow
def test_unsupervised_search_does_not_depend_on_labels(go):
    options = {"protocol": "unsupervised", "trials": 3}
    plain = go(results="plain", **options)
    other = go("tunable", "blobs[labels=other]", results="other", **options)
    assert trials_of(other) == trials_of(plain)
    assert trials_of(other)[0][2] == "silhouette"
    mine, theirs = plain.studies[0], other.studies[0]
    assert mine["winner"] == theirs["winner"]
    assert mine["changed"] == theirs["changed"]
    assert mine["values"] == theirs["values"]
    assert mine["study"].rpartition("-")[2] == theirs["study"].rpartition("-")[2]
    assert mine["gains"] != theirs["gains"]
    assert mine["headline"] == "leiden/ari"


@pytest.mark.slow
def test_protocols_share_fits_and_oracle_is_marked(go, flags):
    go(trials=4, report=False)
    outcome = go(trials=4, protocol="oracle", report=True, umap=False)
    study = outcome.studies[0]
    assert "too good" in study["watermark"]
    assert set(outcome.run.table["protocol"]) == {"oracle"}
    notes = [json.loads(text) for text in outcome.run.table["notes"]]
    assert sum("earlier run's fit" in note.get("fitted", "") for note in notes) >= 2
    page = outcome.run.report.read_text()
    assert "too good" in page
    assert "(oracle)" in page
    assert "too good" in (outcome.run.report.parent / "summary.md").read_text()
    client = client_of(flags())
    marked = [r for r in runs_of(client, flags()) if r.data.tags.get("protocol") == "oracle"]
    assert {r.data.tags["kind"] for r in marked} == {"study", "trial", "job"}
    assert all("too good" in r.data.tags["watermark"] for r in marked)


def client_of(flags: dict[str, Any]) -> Any:
    return MlflowClient(tracking_uri=f"sqlite:///{flags['results'] / 'mlflow.db'}")


def runs_of(client: Any, flags: dict[str, Any]) -> list[Any]:
    experiment = client.get_experiment_by_name("bench")
    return list(client.search_runs([experiment.experiment_id], max_results=5000))


def check_tree(flags: dict[str, Any], n_trials: int) -> None:
    """Each trial stands once in MLflow, under its study, which hangs under a session."""
    client = client_of(flags)
    runs = runs_of(client, flags)
    by_id = {run.info.run_id: run for run in runs}
    trials = [run for run in runs if run.data.tags["kind"] == "trial"]
    numbers = Counter(run.data.tags["trial"] for run in trials)
    assert len(numbers) == n_trials
    assert set(numbers.values()) == {1}
    params = {json.dumps(dict(sorted(run.data.params.items()))) for run in trials}
    assert len(params) == n_trials
    for run in trials:
        study = by_id[run.data.tags["mlflow.parentRunId"]]
        assert study.data.tags["kind"] == "study"
        assert by_id[study.data.tags["mlflow.parentRunId"]].data.tags["kind"] == "session"
        assert run.info.status == "FINISHED"


def test_runs_and_artifacts_of_a_study_in_mlflow(finished, finished_flags):
    check_tree(finished_flags, 5)
    client = client_of(finished_flags)
    runs = runs_of(client, finished_flags)
    study = next(run for run in runs if run.data.tags["kind"] == "study")
    assert study.info.status == "FINISHED"
    names = {file.path for file in client.list_artifacts(study.info.run_id)}
    assert names == {"study.json", "trials.csv", "best.yaml", "figures.html"}
    assert study.data.metrics["gain/kmeans_ari"] == finished.studies[0]["gains"][0]["gain"]
    # Trials are no results: no table of results holds them.
    methods = set(load_results(finished_flags["results"])["method"])
    assert methods == {"tunable", "tunable·tuned"}


@pytest.mark.slow
def test_a_killed_search_is_resumed(go, flags):
    given = flags()
    words = [sys.executable, "-m", "bench", "search", "-m", "tunable[pause=0.05]"]
    words += ["-d", "blobs", "--trials", "9", "--seeds", "1", "--jobs", "2", "--no-report"]
    words += ["--results", str(given["results"]), "--cache-dir", str(given["cache_dir"])]
    words += ["--plugin", str(PLUGIN)]
    for lines in (2, 3):
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        seen = 0
        while seen < lines:
            line = process.stdout.readline()
            assert line, "the driver ended early"
            seen += "trial" in line and "done" in line
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    last = subprocess.run(words, capture_output=True, text=True)
    assert last.returncode == 0, last.stdout + last.stderr
    assert "are run again" in last.stdout + last.stderr
    check_tree(given, 9)


def test_a_second_driver_is_refused(finished, finished_flags):
    study = next((finished_flags["results"] / "studies").glob("tunable*"))
    with FileLock(study / "driver.lock"), pytest.raises(UsageError) as error:
        run_search(trials=5, report=False, **finished_flags)
    assert error.value.code == "study_locked"


@pytest.mark.slow
def test_trials_are_pruned(go, flags):
    outcome = go(
        "tunable[steps=40,pause=0.01]", trials=12, pruner="median", objective="loss", jobs=2
    )
    counts = outcome.studies[0]["trials"]
    assert counts["done"] + counts["pruned"] == 12
    assert counts["pruned"] >= 1
    pruned = [
        r for r in runs_of(client_of(flags()), flags()) if r.data.tags.get("status") == "pruned"
    ]
    assert len(pruned) == counts["pruned"]
    assert all("stopped by median" in run.data.tags["reason"] for run in pruned)
    # The best trial has the least noise of those that ran to their end.
    assert outcome.studies[0]["values"]["loss"] < 3.1


@pytest.mark.slow
def test_several_objectives_give_a_front(go):
    outcome = go(trials=5, objective="ari,seconds", report=True, umap=False)
    front = outcome.studies[0]["front"]
    assert front[0]["trial"] == outcome.studies[0]["winner"]
    pairs = [(one["values"]["ari"], one["values"]["seconds"]) for one in front]
    assert pairs == sorted(pairs, reverse=True)
    assert "Pareto front" in outcome.run.report.read_text()


@pytest.mark.slow
def test_a_method_without_a_search_space_is_scored_with_its_defaults(go):
    outcome = go("tunable,rigid", trials=2)
    assert set(outcome.run.table["method"]) == {"tunable", "tunable·tuned", "rigid"}
    # Also on a dataset on which nothing is searched.
    results = go("tunable,rigid", "blobs,blob_peaks", trials=2, results="both").run.table
    there = results[results["dataset"] == "blob_peaks"].set_index("method")["status"]
    assert there["rigid"] == "done"
    assert set(there.drop("rigid")) == {"skipped"}
    with pytest.raises(UsageError) as error:
        go("rigid", trials=2)
    assert error.value.code == "empty_selection"


@pytest.mark.slow
def test_failed_trials_are_results(go):
    outcome = go("tunable[fails=true]", trials=3, seeds="1")
    assert outcome.studies[0]["trials"] == {"failed": 3}
    assert "No trial gave a result" in outcome.studies[0]["statement"]
    assert "told to fail" in outcome.studies[0]["statement"]
    assert outcome.exit_code == 3
    assert outcome.best == []


def test_the_default_is_the_best_trial(go):
    outcome = go("tunable[noise=0.01,kind=mean]", trials=1)
    assert outcome.studies[0]["winner"] == 0
    assert "Tuning did not help: none of 1 trials was better" in outcome.studies[0]["statement"]


@pytest.mark.slow
def test_a_timeout_ends_a_search(go):
    outcome = go("tunable[pause=0.05]", trials=None, timeout=2.0)
    assert "are over" in outcome.studies[0]["note"]
    assert 1 <= outcome.studies[0]["trials"]["done"] < 20


def test_run_tune_is_a_search(flags, monkeypatch, capsys):
    given = flags()
    ran = CliRunner().invoke(
        app,
        ["run", "-m", "tunable", "-d", "blobs", "--tune", "2", "--seeds", "2", "--no-report",
         "--jobs", "1", "--results", str(given["results"]), "--json",
         "--cache-dir", str(given["cache_dir"]), "--plugin", str(PLUGIN)],
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["studies"][0]["trials"] == {"done": 2}
    assert found["studies"][0]["protocol"] == "holdout"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"trials": None}, "missing_budget"),
        ({"trials": 0}, "invalid_value"),
        ({"protocol": "holdot"}, "unknown_name"),
        ({"sampler": "tp"}, "unknown_name"),
        ({"sampel": "tpe"}, "unknown_name"),
        ({"pruner": "median", "objective": "ari,loss"}, "several_objectives"),
        ({"objective": "loss", "methods": "lossless"}, "not_supported"),
        ({"search_seed": 0}, "seed_in_use"),
        ({"storage": "sqlite:////nonexistent/x.db"}, "unreachable_storage"),
        ({"protocol": "unsupervised", "methods": "tunable[known_k=true]"}, "empty_selection"),
        ({"assign": ["tunable.nois=1"]}, "unknown_name"),
    ],
)
def test_errors_before_the_first_trial(go, flags, more, code):
    with pytest.raises(UsageError) as error:
        go(more.pop("methods", "tunable"), **more)
    assert error.value.code == code
    assert "\n" not in str(error.value)
    with contextlib.suppress(FileNotFoundError):
        assert not any((flags()["results"] / "spool").iterdir())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("tunable: {known_k: [false, true]}", "hidden_input"),
        ("tunable: {noise: {low: 3, high: 1}}", "invalid_range"),
        ("tunable: {unit: {low: 1, high: 2}}", "not_comparable"),
    ],
)
def test_errors_of_search_spaces(go, tmp_path, text, code):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        go(space=path, protocol="unsupervised", objective="loss")
    assert error.value.code == code


def test_a_damaged_journal_is_made_anew_from_the_store(go, flags, caplog):
    before = trials_of(go())
    results = flags()["results"]
    (journal,) = (results / "studies").glob("*/study.journal")
    lines = journal.read_bytes().splitlines()
    lines[len(lines) // 2] = b"\xff\xfe not JSON"
    journal.write_bytes(b"\n".join(lines) + b"\n")
    with caplog.at_level("WARNING", logger="bench"):
        after = go(trials=5)
    assert sum("is damaged" in text for text in caplog.messages) == 1
    assert trials_of(after)[: len(before)] == before
    assert len(trials_of(after)) == len(before) + 1
    with sqlite3.connect(results / "mlflow.db") as store:
        (n_trials,) = store.execute("SELECT count(*) FROM tags WHERE value = 'trial'").fetchone()
    assert n_trials == 5


@pytest.mark.slow
def test_data_in_memory_and_a_class(flags: Callable[..., dict[str, Any]], toy_counts: Any):
    from bench.registry import methods

    own = flags()
    tunable = methods(own["plugins"]).get("tunable")
    found = run_search(tunable, {"mine": toy_counts}, trials=2, report=False, **own)
    assert [study["dataset"] for study in found.studies] == ["mine"]
    assert set(found.run.table["dataset"]) == {"mine"}
    unlabelled = toy_counts.copy()
    del unlabelled.obs["cell_type"]
    with pytest.raises(UsageError) as error:
        run_search("tunable", unlabelled, trials=2, report=False, **own)
    assert error.value.code == "no_labels"
    wrong = toy_counts.copy()
    wrong.X = wrong.X * 0.5
    with pytest.raises(bench.errors.DataError) as caught:
        run_search("tunable", {"mine": wrong}, trials=2, report=False, **own)
    assert caught.value.code == "not_counts"
    assert "data 'mine'" in str(caught.value)
