from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from _sources import forget_sources

import bench
from bench.errors import BenchError


def by_method(outcome) -> pd.DataFrame:
    return outcome.table.set_index("method")


def test_every_fault_is_a_typed_result_and_the_grid_completes(bench_run):
    outcome = bench_run(
        "crash,leave,eat,nans,explode,peek,wrong_shape,noop", timeout=30.0, memory=0.5
    )
    table = by_method(outcome)
    assert dict(table["status"]) == {
        "crash": "failed",
        "leave": "failed",
        "eat": "oom",
        "nans": "diverged",
        "explode": "diverged",
        "peek": "failed",
        "wrong_shape": "failed",
        "noop": "done",
    }
    reasons = table["reason"]
    assert "SIGSEGV" in reasons["crash"]
    assert "exit code 7" in reasons["leave"]
    assert "0.5 GiB" in reasons["eat"]
    assert "90 of 90 cells" in reasons["nans"]
    assert "loss is inf at step 1" in reasons["explode"]
    assert "cell_type" in reasons["peek"]
    assert "expected (90, d ≥ 1)" in reasons["wrong_shape"]
    assert all("\n" not in reason for reason in reasons)
    assert "KeyError" in table["log_tail"]["peek"]
    assert "Segmentation fault" in table["log_tail"]["crash"]
    assert outcome.exit_code == 3


def test_a_hanging_method_ends_with_all_its_children(bench_run):
    outcome = bench_run("hang", timeout=3.0)
    assert by_method(outcome)["status"]["hang"] == "timeout"
    assert outcome.exit_code == 3
    sleepers = [
        p for p in psutil.process_iter(["cmdline"])
        if "time.sleep(3600)" in " ".join(p.info["cmdline"] or [])
    ]  # fmt: skip
    assert sleepers == []


def test_the_result_of_a_job(bench_run):
    environment = dict(os.environ)
    outcome = bench_run("slow[seconds=0.5]")
    assert dict(os.environ) == environment
    assert "slow[seconds=0.5] · toy · seed 0  done" in outcome.text
    row = outcome.table.iloc[0]
    assert row["status"] == "done"
    assert row["method"] == "slow[seconds=0.5]"
    assert 0.5 <= row["seconds"] < 5
    assert row["cpu_seconds"] < 0.5
    assert row["coverage"] == 1.0
    assert row["n_cells"] == 90
    assert row["n_types"] == 3
    assert abs(row["kmeans/ari"]) < 0.2
    assert "half/ari" in outcome.table
    artifacts = Path(row["artifacts"])
    embedding = pd.read_parquet(artifacts / "embedding.parquet")
    clusters = pd.read_parquet(artifacts / "clusters.parquet")
    assert embedding.shape == (90, 4)
    assert list(embedding.index) == list(clusters.index) == [f"cell{i}" for i in range(90)]
    assert {"type", "kmeans", "leiden", "half"} <= set(clusters)
    features = pd.read_parquet(artifacts / "features.parquet")
    assert len(features) == row["n_features"]
    assert features["kept"].all()
    config = json.loads((artifacts / "config.json").read_text())
    assert config["params"] == {"seconds": 0.5}
    assert config["fit_key"] == row["fit_key"]


def test_only_declared_inputs_reach_a_method(bench_run):
    table = by_method(bench_run("told,noop"))
    assert table["uses"]["told"] == "n_clusters"
    assert table["uses"]["noop"] == ""
    embedding = pd.read_parquet(Path(table["artifacts"]["told"]) / "embedding.parquet")
    assert (embedding["z0"] == 3).all()


def test_the_same_command_again_fits_nothing(bench_run):
    first = bench_run("noop,crash", seeds=2)
    again = bench_run("noop,crash", seeds=2)
    assert (first.fitted, again.fitted, again.reused) == (4, 0, 4)
    assert "nothing to fit: all 4 jobs are in the store" in again.text
    assert "2 of the stored jobs failed" in again.text
    assert again.exit_code == 3
    pd.testing.assert_frame_equal(first.table, again.table)


def test_one_more_seed_or_method_fits_only_that(bench_run):
    bench_run("noop")
    assert bench_run("noop,told", seeds=2).fitted == 3


def test_retry_and_raised_limits(bench_run):
    assert bench_run("slow[seconds=2],crash", timeout=1.0).counts == {"timeout": 1, "failed": 1}
    assert bench_run("slow[seconds=2],crash", timeout=1.0).fitted == 0
    assert bench_run("slow[seconds=2],crash", timeout=0.8, retry="failed").fitted == 1
    raised = bench_run("slow[seconds=2],crash", timeout=30.0)
    assert raised.fitted == 1
    assert by_method(raised)["status"]["slow[seconds=2]"] == "done"
    # The retried failure stands once, by its newest run.
    assert len(raised.table) == 2


def test_equal_jobs_under_two_names_are_fitted_once(bench_run):
    outcome = bench_run("slow[seconds=0],slow[seconds=0.0]")
    assert outcome.fitted == 1
    assert list(outcome.table["method"]) == ["slow[seconds=0]", "slow[seconds=0.0]"]


def test_unavailable_methods_are_excluded_with_a_reason(bench_run):
    outcome = bench_run("no*,mis*")
    assert outcome.counts == {"done": 1}
    assert "a_package_nobody_has not installed" in outcome.text
    with pytest.raises(BenchError) as error:
        bench_run("missing")
    assert error.value.code == "unavailable"


def test_a_run_whose_combinations_are_all_skipped_is_an_error_with_the_reasons(bench_run):
    with pytest.raises(BenchError) as error:
        bench_run("cca", "toy")
    assert (error.value.code, error.value.exit_code) == ("nothing_to_run", 2)
    assert "cca × toy" in str(error.value)


def test_a_failing_preparation_fails_its_jobs_only(bench_run, flags, monkeypatch):
    """A recipe whose filters leave nothing is a result with its reason."""
    from bench.contract import Recipe
    from bench.registry import methods

    cls = methods(flags["plugins"]).get("noop")
    monkeypatch.setattr(cls, "recipe", lambda self, info: Recipe(min_features=1000))
    outcome = bench_run("noop,told,nans")
    table = by_method(outcome)
    assert set(table["status"]) == {"failed"}
    assert "the filters leave no cell" in table["reason"]["noop"]


def test_scores_are_computed_anew_without_a_fit(bench_run, monkeypatch):
    first = bench_run("noop")
    monkeypatch.setattr("bench.scoring.metrics.metrics_version", lambda *_: "another")
    again = bench_run("noop")
    assert again.fitted == 1
    assert list(again.table["fit_key"]) == list(first.table["fit_key"])
    assert list(again.table["score_key"]) != list(first.table["score_key"])
    assert again.table["seconds"][0] == first.table["seconds"][0]
    assert again.table["kmeans/ari"][0] == first.table["kmeans/ari"][0]
    assert json.loads(again.table["notes"][0])["fitted"].startswith("an earlier run's fit")


def test_an_edited_method_is_fitted_again(bench_run, flags, tmp_path):
    plugin = tmp_path / "mine.py"
    text = (Path(flags["plugins"][0])).read_text()
    plugin.write_text(text)
    first = bench_run("noop", plugins=(str(plugin), flags["plugins"][1]))

    plugin.write_text(text + "\n# edited\n")
    forget_sources()
    second = bench_run("noop", plugins=(str(plugin), flags["plugins"][1]))
    assert (first.fitted, second.fitted) == (1, 1)


def test_a_method_edited_during_the_run_fails(bench_run, tmp_path: Path, results: Path):
    plugin = tmp_path / "edits.py"
    plugin.write_text(
        "import time\n"
        "from bench.contract import Fit, Method, RNA\n"
        "class Edited(Method):\n"
        "    name, summary, reference, family = 'edited', 'is edited', 'none', 'baseline'\n"
        "    modalities = frozenset({RNA})\n"
        "    def fit(self, data, context):\n"
        "        while '# changed' not in open(__file__).read()[400:]:\n"
        "            time.sleep(0.05)\n"
        "        return Fit(data.X.toarray()[:, :3])\n"
    )

    def edit_when_it_runs() -> None:
        while not any((results / "spool").glob(".*/artifacts/log.txt")):
            time.sleep(0.05)
        with plugin.open("a") as file:
            file.write(" " * 400 + "# changed\n")

    editor = threading.Thread(target=edit_when_it_runs, daemon=True)
    editor.start()
    toy = str(Path(__file__).parents[1] / "plugins" / "toy.py")
    outcome = bench_run("edited", plugins=(str(plugin), toy))
    assert by_method(outcome)["status"]["edited"] == "failed"
    assert "edited during the run" in by_method(outcome)["reason"]["edited"]


def test_one_line_for_each_reason_of_exclusion():
    from bench.plan.build import exclusion_lines
    from bench.selectors import Exclusion

    rows = [(method, data, "made for atac") for data in "xy" for method in "ab"]
    rows += [("c", "x", "made for atac"), ("a", "z", "no markers")]
    exclusions = [Exclusion(method, data, "skipped", reason) for method, data, reason in rows]
    exclusions += [Exclusion("d", "all", "unavailable", "needs torch")]
    assert exclusion_lines(exclusions) == [
        "skipped: a, b × x, y: made for atac",
        "skipped: c × x: made for atac",
        "skipped: a × z: no markers",
        "unavailable: d × all: needs torch",
    ]
    assert exclusion_lines([]) == []


@pytest.mark.slow
def test_the_time_estimate_counts_methods_without_an_earlier_run(bench_run):
    first = bench_run("noop", seeds=1)
    assert "about 10 s (a guess: 1 job has no earlier run to go by)" in first.text
    again = bench_run("noop,slow[seconds=0.1]", seeds=2)
    assert "(a guess: 2 jobs have no earlier run to go by)" in again.text
    assert "guess" not in bench_run("noop", seeds=3).text


def test_a_moved_results_folder_keeps_its_artifacts(bench_run, flags, caplog):
    bench_run("noop", seeds=1)
    old, new = flags["results"], flags["results"].with_name("renamed 100 %")
    old.rename(new)
    again = bench_run("noop", seeds=2, results=new)
    assert "1 job to run, 1 in the store" in again.text
    assert f"{new} was moved or copied" in again.text
    caplog.clear()
    table = bench.load_results(new, columns="all")
    assert len(table) == 2
    for folder in table["artifacts"]:
        assert Path(folder).is_relative_to(new)
        assert (Path(folder) / "embedding.parquet").is_file()
    assert not old.exists()
    assert not caplog.records


def test_processes_of_fits_import_no_tracking_or_search_library(bench_run, tmp_path: Path):
    plugin = tmp_path / "imports.py"
    plugin.write_text(
        "import sys\n"
        "from bench.contract import RNA, Fit, Method\n"
        "class Imports(Method):\n"
        "    name, summary, reference, family = 'imports', 'names modules', 'none', 'baseline'\n"
        "    modalities = frozenset({RNA})\n"
        "    def fit(self, data, context):\n"
        "        heavy = [name for name in ('mlflow', 'optuna') if name in sys.modules]\n"
        "        return Fit(data.X.toarray()[:, :3], notes={'heavy': ','.join(heavy)})\n"
    )
    toy = str(Path(__file__).parents[1] / "plugins" / "toy.py")
    outcome = bench_run("imports", plugins=(str(plugin), toy))
    assert json.loads(outcome.table["notes"][0])["heavy"] == ""
