"""``bench audit``: edited scores, other code and data, and what is fitted again."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _command import bench, bench_json, error_code
from _exchange import contents, make_result

import bench as bench_package
from bench.errors import UsageError
from bench.exchange.audit import draw_rows
from bench.exchange.own_jobs import OwnJobs
from bench.registry import datasets
from bench.settings import load_settings
from bench.store.result_store import ResultStore

PLUGINS = Path(__file__).parents[1] / "plugins"
WORDS = ["--plugin", str(PLUGINS / "toy.py"), "--memory", "1", "--timeout", "60", "--jobs", "2"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, cache: Path) -> Path:
    """Results of two methods with two seeds, and a failed job."""
    from rich.console import Console

    from bench.execute.run import run

    folder = tmp_path_factory.mktemp("fitted")
    shutil.copy(empty_store, folder / "mlflow.db")
    run(
        "noop,random,wrong_shape", "toy", seeds=2, results=folder, cache_dir=cache, jobs=2,
        memory=1.0, timeout=60.0, report=False, console=Console(file=StringIO()),
        plugins=(str(PLUGINS / "faulty.py"), str(PLUGINS / "toy.py")),
    )  # fmt: skip
    return folder


@pytest.fixture
def audit(fitted: Path, tmp_path: Path, cache: Path) -> Callable[..., Any]:
    """Audit a copy of the results; returns the certificate."""

    def go(*words: str, exit_code: int = 0, folder: Path | str = "") -> Any:
        options = [*WORDS, "--cache-dir", str(cache), "--out", str(tmp_path / "audit")]
        return bench_json("audit", str(folder or fitted), *options, *words, exit_code=exit_code)

    return go


@pytest.fixture
def store(fitted: Path, tmp_path: Path) -> Path:
    """A copy of the results, to be edited."""
    return Path(shutil.copytree(fitted, tmp_path / "copy"))


def test_predictions_for_unseen_cells_are_scored_again(tmp_path: Path, empty_store, cache):
    folder = tmp_path / "paired"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    outcome = bench_package.run(
        "cca", "sim_multiome[n_cells=80,n_genes=60,n_peaks=90]", seeds=1, results=folder,
        cache_dir=cache, jobs=1, report=False,
    )  # fmt: skip
    table = outcome.load_results(columns="all")
    assert table["paired/foscttm"].notna().all()
    words = ["--share", "0", "--cache-dir", str(cache), "--out", str(tmp_path / "audit")]
    found = bench_json("audit", str(folder), *words)
    assert found["counts"]["scores"] == {"equal": 1}


def test_files_of_the_data_folder_are_found_by_their_names(
    tmp_path: Path, empty_store, cache, monkeypatch
):
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    cls = datasets().get("sim_rna")
    cls(cls.Params(n_cells=80, n_features=50)).load().write_h5ad(tmp_path / "mine.h5ad")
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    bench_package.run(
        "pca", "mine", seeds=1, results=folder, cache_dir=cache, jobs=1, report=False
    )
    words = ["--share", "1", "--cache-dir", str(cache), "--out", str(tmp_path / "audit")]
    found = bench_json("audit", str(folder), *words)
    assert found["counts"] == {"scores": {"equal": 1}, "fit": {"equal": 1}}
    monkeypatch.delenv("BENCH_DATA_DIR")
    found = bench_json("audit", str(folder), *words, exit_code=3)
    assert found["counts"]["scores"] == {"not checked": 1}


def edit_score(folder: Path, method: str, change: float) -> None:
    """Add to the ARI of a method with seed 0, in the database and in the record."""
    row = next(
        one
        for one in ResultStore(load_settings({"results": folder})).rows()
        if one["method"] == method and one["seed"] == 0
    )
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        for table in ("metrics", "latest_metrics"):
            connection.execute(
                f"UPDATE {table} SET value = value + ? WHERE run_uuid = ? AND key = 'kmeans/ari'",
                (change, row["run_id"]),
            )
    record = Path(row["artifacts"]) / "result.json"
    content = json.loads(record.read_text())
    content["metrics"]["kmeans/ari"] += change
    record.write_text(json.dumps(content))


def test_honest_results_are_equal(audit: Callable[..., Any], fitted: Path, tmp_path: Path):
    before = contents(fitted)
    found = audit("--share", "1", "--plugin", str(PLUGINS / "faulty.py"))
    assert contents(fitted) == before
    assert found["verdict"] == "equal"
    assert found["counts"] == {"scores": {"equal": 4}, "fit": {"equal": 6}}
    written = json.loads((tmp_path / "audit" / "certificate.json").read_text())
    assert {**written, "date": ""} == {**found, "date": ""}
    assert found["cpu"]
    assert found["versions"]["numpy"]
    page = (tmp_path / "audit" / "certificate.md").read_text()
    assert "**equal**" in page
    assert found["results_digest"] in page


def test_an_edited_score_is_found_without_a_fit(audit: Callable[..., Any], store: Path):
    edit_score(store, "random", 0.001)
    found = audit("--share", "0", folder=store, exit_code=1)
    assert found["fitted_again"] == 0
    (finding,) = [one for one in found["findings"] if one["verdict"] == "different"]
    assert (finding["job"], finding["score"]) == ("random · toy · seed 0", "kmeans/ari")
    assert finding["stored"] == pytest.approx(finding["now"] + 0.001)
    assert audit("--share", "0")["results_digest"] != found["results_digest"]


def test_an_edited_score_of_a_forged_embedding_is_found_by_a_fit(
    audit: Callable[..., Any], store: Path
):
    for embedding in store.glob("artifacts/*/artifacts/embedding.parquet"):
        embedding.unlink()
    edit_score(store, "random", 0.001)
    found = audit("--share", "1", folder=store, exit_code=1)
    assert found["counts"]["scores"] == {"not checked": 4}
    (finding,) = [one for one in found["findings"] if one["verdict"] == "different"]
    assert (finding["job"], finding["computed"]) == ("random · toy · seed 0", "fit")
    # Without its plugin a method is not run, whatever file the record names.
    noop = [
        one
        for one in found["findings"]
        if one["job"].startswith("noop") and one["computed"] == "fit"
    ]
    assert {one["verdict"] for one in noop} == {"not checked"}
    assert "--plugin" in noop[0]["reason"]


def test_the_record_chooses_no_code_and_no_file(
    audit: Callable[..., Any], store: Path, tmp_path: Path
):
    planted = tmp_path / "planted.py"
    planted.write_text("raise SystemExit('planted code ran')")
    for record in store.glob("artifacts/*/artifacts/result.json"):
        content = json.loads(record.read_text())
        content["job"] |= {"origin": str(planted), "dataset": str(planted)}
        content["job"]["dataset_folder"] = str(tmp_path)
        record.write_text(json.dumps(content))
    found = audit("--share", "1", folder=store, exit_code=3)
    assert found["verdict"] == "not checked"
    reasons = {one["reason"] for one in found["findings"]}
    assert any("no dataset" in reason for reason in reasons)
    assert not any("planted code ran" in reason for reason in reasons)


def test_an_embedding_computed_elsewhere_is_not_fitted(cache: Path):
    record: Any = SimpleNamespace(job=SimpleNamespace(method_name="obsm:X_mine"))
    source: Any = SimpleNamespace(result=lambda row: record)
    with pytest.raises(UsageError) as error:
        OwnJobs(source, load_settings({"cache_dir": cache})).fit_job({})
    assert error.value.code == "precomputed"


def test_results_of_an_address_are_audited(
    audit: Callable[..., Any], fitted: Path, tmp_path: Path
):
    address = (tmp_path / "shared").as_uri()
    assert bench("push", address, "--results", str(fitted)).exit_code == 0
    found = audit("--share", "0", folder=address)
    assert found["counts"] == {"scores": {"equal": 4}, "fit": {}}


def test_a_share_is_rounded_up_and_depends_on_the_seed_alone():
    rows = [{"score_key": f"{number:02}"} for number in range(40)]
    assert draw_rows(rows, 0.0, 1) == []
    assert len(draw_rows(rows, 0.01, 1)) == 1
    drawn = draw_rows(rows, 0.2, 1)
    assert len(drawn) == 8
    assert draw_rows(reversed(rows), 0.2, 1) == drawn
    assert draw_rows(rows, 0.2, 2) != drawn


def test_nothing_to_audit(written: Callable[..., Any], audit: Callable[..., Any], tmp_path: Path):
    empty = written("empty", make_result(0, status="timeout", metrics={}, stamps={})).folder
    assert error_code(bench("audit", str(empty))) == "no_results"
    assert error_code(bench("audit", str(tmp_path / "none"))) == "no_results"
    assert bench("audit", str(empty), "--share", "2").exit_code == 2
