"""A configuration of the original, and marker lists, on the command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from _command import error_code
from anndata import AnnData

FILES = Path(__file__).parent / "files"


def invoke(*words: str):
    from typer.testing import CliRunner

    from bench.cli.main import app

    return CliRunner().invoke(app, ["fit", "sakura", *words])


@pytest.fixture
def files(tmp_path: Path, cells: AnnData, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    cells.write_h5ad(tmp_path / "x.h5ad")
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_dry_run_describes_the_training_and_writes_nothing(files: Path):
    before = sorted(files.iterdir())
    outcome = invoke("x.h5ad", "--config", "config.json", "--dry-run")
    assert outcome.exit_code == 0, outcome.output
    assert "task guides: cd8, rare, state, age on split overall_train" in outcome.output
    assert "config.json: log_path: not used" in outcome.output
    assert sorted(files.iterdir()) == before


def test_a_dry_run_counts_the_classes_of_the_file(files: Path, cells: AnnData):
    (files / "guides.yaml").write_text(
        "phenotypes:\n  state: {kind: categorical}\n  age: {kind: categorical, bins: 2}\n"
    )
    outcome = invoke("x.h5ad", "--config", "guides.yaml", "--dry-run")
    assert outcome.exit_code == 0, outcome.output
    classes = cells.obs["state"].nunique()
    assert re.findall(r"phenotype (\w+) \((\d+) classes", outcome.output) == [
        ("state", str(classes)), ("age", "2"),
    ]  # fmt: skip


def test_a_dry_run_without_a_file_is_refused(files: Path):
    assert error_code(invoke("x.h5ad", "--dry-run")) == "not_supported"


def test_a_fit_by_configuration_writes_the_tables(files: Path):
    outcome = invoke("x.h5ad", "--config", "config.json", "--no-umap", "--out", "done")
    assert outcome.exit_code == 0, outcome.output
    header = (files / "done" / "6_test.csv").read_text().splitlines()[0].split(",")
    assert header[:2] == ["cell", "main.1"]
    assert json.loads((files / "done" / "fit.json").read_text())["setup"] == "config.json"
    assert "told config.json" in outcome.output


def test_an_error_in_a_file_ends_with_2_and_its_place(files: Path):
    path = files / "signature_config.json"
    content = json.loads(path.read_text())
    content["cd8"]["signature_list"] = ["gene1", "Gene22"]
    path.write_text(json.dumps(content))
    outcome = invoke("x.h5ad", "--config", "config.json", "--dry-run")
    assert outcome.exit_code == 2
    assert "signature_config.json: cd8.signature_list: gene 'Gene22' is not among" in (
        outcome.stderr
    )


def test_marker_lists_are_required_and_read(files: Path):
    assert "--markers FILE" in invoke("x.h5ad").stderr
    (files / "m.gmt").write_text("one\t\tgene1\tgene2\n")
    outcome = invoke(
        "x.h5ad", "--markers", "m.gmt", "--no-umap", "--out", "done", "--set",
        "sakura.max_epochs=1",
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert json.loads((files / "done" / "fit.json").read_text())["markers"] == "m.gmt"
    assert "told marker genes" in outcome.output


# --- interrupted fits ------------------------------------------------------------------------


def test_an_interrupted_fit_goes_on_and_ends_like_an_uninterrupted_one(files: Path, monkeypatch):
    from bench.methods.sakura.training import Trainer

    words = ["x.h5ad", "--config", "config.json", "--no-umap", "--no-impute", "--out"]
    assert invoke(*words, "whole").exit_code == 0
    end = Trainer._end_epoch

    def interrupted(trainer: Trainer, report: Any) -> None:
        if trainer.epoch == 2:
            raise KeyboardInterrupt
        end(trainer, report)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_end_epoch", interrupted)
        ended = invoke(*words, "done")
    assert ended.exit_code != 0
    assert "done: interrupted; the same command with --resume goes on" in ended.output
    assert [path.name for path in files.glob("*done*")] == [".done.checkpoint"]
    other = invoke(*words, "done", "--resume", "--seed", "5").stderr
    assert "--resume: the interrupted fit had another seed; repeat its command" in other
    outcome = invoke(*words, "done", "--resume")
    assert outcome.exit_code == 0, outcome.output
    assert "going on where the fit was interrupted" in outcome.output
    for name in ("latent.csv", "6_test.csv", "curves.csv"):
        assert (files / "done" / name).read_text() == (files / "whole" / name).read_text()
    assert json.loads((files / "done" / "fit.json").read_text())["resumed"]
    assert not (files / ".done.checkpoint").exists()
