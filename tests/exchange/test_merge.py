"""``bench merge``: the union of results folders, disagreements, and what is not taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _command import bench, bench_json, error_code
from _exchange import contents, make_result, rows_of


@pytest.fixture
def merge(tmp_path: Path, empty_store: Path, cache: Path) -> Callable[..., Any]:
    """Merge folders into ``into``; returns what is printed."""

    def go(*places: str, exit_code: int = 0, into: str = "into") -> Any:
        target = tmp_path / into
        if not target.exists():
            target.mkdir()
            shutil.copy(empty_store, target / "mlflow.db")
        paths = [str(tmp_path / place) for place in places]
        words = ["--into", str(target), "--cache-dir", str(cache)]
        return bench_json("merge", *paths, *words, exit_code=exit_code)

    return go


def test_the_union_has_each_result_once_with_its_files(
    tmp_path: Path, written: Callable[..., Any], merge: Callable[..., Any]
):
    a = written("a", make_result(0, 0.1), make_result(1, 0.2))
    b = written("b", make_result(1, 0.2), make_result(2, 0.3))
    before = contents(a.folder), contents(b.folder)
    summary = merge("a", "b")
    assert (summary["copied"], summary["doubled"], summary["disagreements"]) == (3, 1, [])
    assert (contents(a.folder), contents(b.folder)) == before, "a source was written"
    rows = rows_of(tmp_path / "into")
    assert {seed: row["kmeans/ari"] for seed, row in rows.items()} == {0: 0.1, 1: 0.2, 2: 0.3}
    row = rows[2]
    assert (row["git_commit"], json.loads(row["versions"])) == ("abc", {"numpy": "1.0"})
    assert row["cpu"] == "A"
    assert json.loads(row["notes"])["from"] == str(b.folder)
    assert row["command"].startswith("bench"), "no session"
    files = Path(row["artifacts"])
    assert (files / "log.txt").read_text() == "seed 2\n"
    assert (files / "embedding.parquet").is_file()
    assert (
        "somebody" not in (files / "result.json").read_text() + (files / "config.json").read_text()
    )
    assert not list((tmp_path / "into" / "spool").iterdir())
    again = merge("b", "a")
    assert (again["copied"], again["doubled"]) == (0, 4)


def test_a_planted_disagreement_is_shown(
    written: Callable[..., Any], merge: Callable[..., Any], tmp_path: Path
):
    written("a", make_result(0, 0.1), make_result(1, 0.2))
    written("b", make_result(1, 0.2 + 1e-6), make_result(2, 0.3))
    summary = merge("a", "b", exit_code=1)
    (found,) = summary["disagreements"]
    assert found["job"] == "noop · toy · seed 1"
    assert (found["score"], found["kept"], found["other"]) == ("kmeans/ari", 0.2, 0.2 + 1e-6)
    assert found["verdict"] == "different"
    assert rows_of(tmp_path / "into")[1]["kmeans/ari"] == 0.2
    assert summary["copied"] == 3
    shown = bench("merge", str(tmp_path / "a"), str(tmp_path / "b"))
    assert shown.exit_code == 1
    assert "seed 1" in shown.stdout
    # The target disagrees with a source, too.
    assert len(merge("b", "a", exit_code=1)["disagreements"]) == 1


def test_the_last_digit_and_another_processor_are_no_fault(
    written: Callable[..., Any], merge: Callable[..., Any]
):
    seeds = [make_result(seed, 0.1 * seed) for seed in range(4)]
    written("a", *seeds)
    written("b", make_result(1, 0.1 + 1e-16), make_result(2, 0.21, cpu="B"))
    summary = merge("a", "b")
    (found,) = summary["disagreements"]
    assert (found["job"], found["verdict"]) == ("noop · toy · seed 2", "within the seeds")
    written("c", make_result(2, 0.95, cpu="B"))
    (far,) = merge("a", "c", exit_code=1, into="other")["disagreements"]
    assert far["verdict"] == "different"


def test_a_finished_job_comes_before_a_failed_one(
    written: Callable[..., Any], merge: Callable[..., Any], tmp_path: Path
):
    failed = make_result(0, status="failed", reason="no", metrics={}, stamps={})
    written("a", failed, replace(failed, job=make_result(1).job))
    written("b", make_result(0, 0.4))
    summary = merge("a", "b")
    assert (summary["copied"], summary["disagreements"]) == (2, [])
    rows = rows_of(tmp_path / "into")
    assert {seed: row["status"] for seed, row in rows.items()} == {0: "done", 1: "failed"}
    assert merge("a", "b")["copied"] == 0


def test_only_data_are_taken(
    written: Callable[..., Any], merge: Callable[..., Any], tmp_path: Path
):
    a = written("a")
    folder = a.add(make_result(0))
    (folder / "model").mkdir()
    (folder / "model" / "net.pt").write_bytes(b"\x80\x02")
    (folder / "model" / "params.json").write_text("{}")
    (folder / "hook.py").write_text("raise SystemExit")
    written("b")
    summary = merge("a", "b")
    assert summary["copied"] == 1
    assert summary["left_behind"] == ["hook.py", "model/net.pt", "model/params.json"]
    names = {path.name for path in Path(rows_of(tmp_path / "into")[0]["artifacts"]).rglob("*")}
    assert names == {
        "embedding.parquet", "cells.npy", "log.txt", "result.json", "config.json", "scores.json"
    }  # fmt: skip


def _link(folder: Path) -> None:
    (folder / "log.txt").unlink()
    (folder / "log.txt").symlink_to("/etc/hostname")


def _folder_link(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.symlink_to(folder.with_name("away"))


def _pickle(folder: Path) -> None:
    np.save(folder / "cells.npy", np.array([{}], dtype=object), allow_pickle=True)


def _zipped_pickle(folder: Path) -> None:
    np.savez(folder / "translation.npz", a=np.array([{}], dtype=object))


def _no_parquet(folder: Path) -> None:
    (folder / "embedding.parquet").write_text("PAR1 but not at the end")


def _key(folder: Path, **values: str) -> None:
    content = json.loads((folder / "result.json").read_text())
    content["job"] |= values
    (folder / "result.json").write_text(json.dumps(content))


def _fit_key(folder: Path) -> None:
    _key(folder, fit_key="../../../x")


def _other_fit(folder: Path) -> None:
    _key(folder, fit_key="0" * 24)


def _wrong_type(folder: Path) -> None:
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(content | {"metrics": ["ari"]}))


def _no_record(folder: Path) -> None:
    (folder / "result.json").unlink()


def _deep(folder: Path) -> None:
    (folder / "result.json").write_text("[" * 100_000)


SLOW = (_folder_link, _zipped_pickle, _no_parquet, _other_fit, _wrong_type, _no_record, _deep)


@pytest.mark.parametrize(
    "fault",
    [_link, _pickle, _fit_key, *(pytest.param(fault, marks=pytest.mark.slow) for fault in SLOW)],
)
def test_a_faulty_result_is_left_out_and_named(
    fault: Callable[[Path], None], written: Callable[..., Any], merge: Callable[..., Any],
    tmp_path: Path,
):  # fmt: skip
    a = written("a", make_result(1, 0.2))
    fault(a.add(make_result(0, 0.1)))
    written("b")
    summary = merge("a", "b", exit_code=3)
    (line,) = summary["not_taken"]
    assert "noop · toy · seed 0" in line
    assert list(rows_of(tmp_path / "into")) == [1]
    assert not list((tmp_path / "into" / "spool").iterdir())


def test_a_score_key_that_is_a_path_is_left_out(
    written: Callable[..., Any], merge: Callable[..., Any], tmp_path: Path
):
    import sqlite3

    a = written("a", make_result(0))
    with sqlite3.connect(a.folder / "mlflow.db") as store:
        store.execute("UPDATE tags SET value = '../../planted' WHERE key = 'score_key'")
    written("b")
    assert len(merge("a", "b", exit_code=3)["not_taken"]) == 1
    assert not list(tmp_path.rglob("*planted*"))


def test_large_files_are_left_out(
    written: Callable[..., Any], merge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    written("a", make_result(0))
    written("b")
    monkeypatch.setattr("bench.exchange.data_files.MAX_FILE_BYTES", 10)
    assert "at most" in merge("a", "b", exit_code=3)["not_taken"][0]


@pytest.mark.slow
def test_an_interrupted_merge_goes_on(
    written: Callable[..., Any], merge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):  # fmt: skip
    from bench.exchange.source import FolderSource

    written("a", *(make_result(seed) for seed in range(3)))
    written("b")
    copy, calls = FolderSource.copy_files, []

    def stop(self: Any, row: Any, folder: Path) -> Any:
        calls.append(row)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return copy(self, row, folder)

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "copy_files", stop)
        assert merge("a", "b", exit_code=130)["copied"] == 1
    assert merge("a", "b")["copied"] == 2
    assert sorted(rows_of(tmp_path / "into")) == [0, 1, 2]


def test_places_that_cannot_be_merged(written: Callable[..., Any], tmp_path: Path):
    a, b = written("a").folder, written("b").folder
    assert error_code(bench("merge", str(a))) == "too_few"
    assert error_code(bench("merge", str(a), f"{a}/../a")) == "same_place"
    assert error_code(bench("merge", str(a), str(b), "--into", f"{b}/")) == "same_place"
    assert error_code(bench("merge", str(a), str(tmp_path / "none"))) == "no_results"
    other = bench("merge", str(a), str(b), "--experiment", "none")
    assert error_code(other) == "unknown_name"
