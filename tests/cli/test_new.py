"""Files of ``bench new``: each passes its check as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from _command import bench, bench_json, error_code


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))


def new(kind: str, name: str) -> None:
    result = bench("new", kind, name)
    assert result.exit_code == 0, result.output
    assert f"{name}.py" in result.stdout


def test_a_new_method_passes_the_conformance_checks():
    new("method", "my_svd")
    result = bench("test-method", "my_svd.py")
    assert result.exit_code == 0, result.output
    assert "failed" not in result.stdout


@pytest.mark.slow
def test_a_new_dataset_and_a_new_metric_run():
    new("dataset", "my_cells")
    new("metric", "my_purity")
    card = bench_json("datasets", "my_cells", "--plugin", "my_cells.py")
    assert (card["dataset"], card["data"]) == ("my_cells", "rna")
    outcome = bench_json(
        "run", "-m", "pca", "-d", "my_cells", "--plugin", "my_cells.py", "--plugin",
        "my_purity.py", "--seeds", "1", "--jobs", "1", "--no-report",
    )  # fmt: skip
    (row,) = outcome["results"]
    assert row["status"] == "done"
    assert 0.9 < row["kmeans/my_purity"] <= 1


@pytest.mark.parametrize("name", ["My_svd", "my svd", "my-svd", "class", "../x", "1st", ""])
def test_a_name_that_no_module_can_have_is_refused(name: str, tmp_path: Path):
    result = bench("new", "method", name)
    assert (result.exit_code, error_code(result)) == (2, "invalid_name")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_overwritten():
    new("metric", "mine")
    Path("mine.py").write_text("mine")
    assert error_code(bench("new", "metric", "mine")) == "file_exists"
    assert Path("mine.py").read_text() == "mine"


def test_another_folder():
    assert bench("new", "dataset", "mine", "--out", "a/b").exit_code == 0
    assert Path("a/b/mine.py").is_file()
