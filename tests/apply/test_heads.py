"""Heads of a fitted method: spaces, predictions, stories, parts, kept states, going on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import _command
import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

FILES = Path(__file__).parents[1] / "methods" / "sakura" / "files"


def bench(*words: str | Path) -> str:
    result = _command.bench(*map(str, words))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def error_code(*words: str | Path) -> str:
    return _command.error_code(_command.bench(*map(str, words)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of cells with proteins, a configuration of the original, and its fit."""
    folder = tmp_path_factory.mktemp("heads")
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    rng = np.random.default_rng(0)
    adata = anndata.AnnData(sp.csr_matrix(rng.poisson(1.0, (80, 30)).astype(np.float32)))
    adata.obs_names = [f"cell{n}" for n in range(80)]
    adata.var_names = [f"gene{n}" for n in range(30)]
    adata.obs["state"] = np.array(["a", "b", "c", "other"])[np.arange(80) % 4]
    adata.obs["age"] = rng.normal(size=80)
    adata.write_h5ad(folder / "x.h5ad")
    config = json.loads((folder / "config.json").read_text())
    more = {"checkpoint_on_segment": "True", "checkpoint_segment": 6, "checkpoint_prefix": "run"}
    config["story"][0] |= more
    (folder / "config.json").write_text(json.dumps(config))
    bench("fit", "sakura", folder / "x.h5ad", "--config", folder / "config.json", "--no-umap",
          "--out", folder / "fit")  # fmt: skip
    return folder


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "heads" / name, index_col="cell")


def note(folder: Path, name: str = "fit.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


def test_the_note_says_what_was_trained(files: Path):
    about = note(files / "fit")
    settings = about["configuration"]["settings"]
    assert (settings["optimizer"], settings["n_latent"]) == ("rmsprop", 50)
    assert settings["n_top_features"] == "all"
    assert about["params"] == {}
    names = [one["name"] for one in about["configuration"]["signatures"]]
    assert names == ["cd8", "rare"]
    assert about["configuration"]["splits"] == {
        "all": 80, "overall_train": 40, "overall_test": 40, "signature_rare_train": 32,
        "signature_rare_test": 8, "held_out": 0,
    }  # fmt: skip
    assert not {"schedule", "batch_size", "max_epochs", "max_ticks", "patience"} & settings.keys()
    assert settings["stages"][0]["max_ticks"] == 12
    splits = pd.read_csv(files / "fit" / "splits.csv", index_col="cell")
    assert splits["overall_train"].sum() == 40
    assert (splits["overall_train"] + splits["overall_test"] == 1).all()
    losses = pd.read_csv(files / "fit" / "losses.csv")
    assert list(losses.columns) == ["epoch", "term", "weight", "loss", "held_out_loss"]


def test_splits_of_a_fit_are_splits_of_the_next(files: Path, tmp_path: Path):
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    config = json.loads((files / "config.json").read_text())
    config |= {"manual_split": "True", "manual_split_pkl_path": str(files / "fit" / "splits.csv")}
    del config["overall_train_test_split"]
    (tmp_path / "again.json").write_text(json.dumps(config))
    bench("fit", "sakura", files / "x.h5ad", "--config", tmp_path / "again.json", "--no-umap",
          "--out", tmp_path / "again")  # fmt: skip
    first, second = (pd.read_csv(f / "splits.csv", index_col="cell") for f in
                     (files / "fit", tmp_path / "again"))  # fmt: skip
    assert first["overall_test"].equals(second["overall_test"])


def test_a_fit_writes_every_head(files: Path):
    written = sorted(path.name for path in (files / "fit" / "heads").iterdir())
    assert written == [
        "latent_main.csv", "latent_rare.csv", "latent_state.csv", "phenotype_age.csv",
        "phenotype_state.csv", "reconstruction.csv", "signature_cd8.csv", "signature_rare.csv",
    ]  # fmt: skip
    state = table(files / "fit", "phenotype_state.csv")
    assert list(state.columns) == ["predicted", "a", "b", "c"]
    assert set(state["predicted"]) <= {"a", "b", "c"}
    np.testing.assert_allclose(state[["a", "b", "c"]].sum(axis=1), 1, rtol=1e-4)
    assert list(table(files / "fit", "signature_cd8.csv").columns) == ["gene1", "gene2"]
    assert table(files / "fit", "reconstruction.csv").shape == (80, 27)


def test_heads_of_new_cells_and_of_a_split(files: Path, tmp_path: Path):
    words = ["transform", files / "fit", files / "x.h5ad"]
    bench(*words, "--heads", "--out", tmp_path / "all")
    names = ("latent_main.csv", "signature_rare.csv", "phenotype_state.csv", "reconstruction.csv")
    for name in names:
        pd.testing.assert_frame_equal(
            table(tmp_path / "all", name), table(files / "fit", name), rtol=1e-3, atol=1e-4
        )
    bench(*words, "--heads", "--split", "overall_test", "--out", tmp_path / "test")
    splits = pd.read_csv(files / "fit" / "splits.csv", index_col="cell")
    chosen = list(splits.index[splits["overall_test"] == 1])
    assert list(table(tmp_path / "test", "latent_main.csv").index) == chosen
    about = note(tmp_path / "test", "transform.json")
    assert about["params"] == {}
    assert "heads/latent_main.csv" in about["files"]
    assert error_code(*words, "--split", "overall_test") == "missing_value"
    wrong = [*words, "--heads", "--split", "overal_test", "--out", tmp_path / "wrong"]
    assert error_code(*wrong) == "unknown_name"
    assert not (tmp_path / "wrong").exists()


def test_a_story_of_the_original(files: Path, tmp_path: Path):
    test = {"on_split": "overall_test", "make_logs": "False", "dump_latent": "True",
            "dump_predicted_phenos": "True", "latent_prefix": "inferred"}  # fmt: skip
    story = tmp_path / "inference.json"
    story.write_text(json.dumps({"one": test, "two": test | {"on_split": "all"}}))
    words = ["transform", files / "fit", files / "x.h5ad", "--story", story]
    bench(*words, "--out", tmp_path / "out")
    first = table(tmp_path / "out", "6_inferred.csv")
    whole = table(tmp_path / "out", "6_inferred_2.csv")
    trained = pd.read_csv(files / "fit" / "6_test.csv", index_col="cell")
    assert (len(first), len(whole)) == (40, 80)
    np.testing.assert_allclose(first["state.out.1"], trained["state.out.1"], rtol=1e-3, atol=1e-4)
    story.write_text(json.dumps([test | {"on_split": "tset"}]))
    assert error_code(*words, "--out", tmp_path / "wrong") == "unknown_name"
    story.write_text(json.dumps([test | {"on_splitt": "all"}]))
    assert error_code(*words, "--out", tmp_path / "wrong") == "unknown_key"


def test_a_split_without_these_cells(files: Path, tmp_path: Path):
    other = anndata.read_h5ad(files / "x.h5ad")
    other.obs_names = [f"new{n}" for n in range(80)]
    other.write_h5ad(tmp_path / "new.h5ad")
    words = ["transform", files / "fit", tmp_path / "new.h5ad", "--heads", "--out", tmp_path / "o"]
    assert error_code(*words, "--split", "overall_test") == "no_cells"


def test_a_kept_state_is_transformed_and_goes_on(files: Path, tmp_path: Path):
    model = files / "fit" / "model"
    assert sorted(path.name for path in model.glob("*.pt")) == [
        "run_tick_12.pt", "run_tick_6.pt", "sakura.pt", "training.pt"
    ]  # fmt: skip
    words = ["transform", model / "run_tick_6.pt", files / "x.h5ad", "--heads"]
    bench(*words, "--out", tmp_path / "half")
    half, whole = (table(one, "latent_main.csv") for one in (tmp_path / "half", files / "fit"))
    assert not np.allclose(half, whole)
    bench("fit", "sakura", files / "x.h5ad", "--config", files / "config.json", "--no-umap",
          "--continue", model / "run_tick_6.pt", "--out", tmp_path / "again")  # fmt: skip
    pd.testing.assert_frame_equal(table(tmp_path / "again", "latent_main.csv"), whole)
    assert note(tmp_path / "again")["continued"] == str(model / "run_tick_6.pt")


def test_markers_knowledge_and_states_by_flag(files: Path, tmp_path: Path):
    (tmp_path / "m.gmt").write_text("one two\t\tgene1\tgene2\n")
    words = ["fit", "sakura", files / "x.h5ad", "--markers", tmp_path / "m.gmt", "--no-umap"]
    short = [*words, "--set", "sakura.max_epochs=2"]
    bench(*short, "--keep-every", "1", "--no-impute", "--out", tmp_path / "short")
    assert (tmp_path / "short" / "model" / "epoch_1.pt").is_file()
    written = sorted(path.name for path in (tmp_path / "short" / "heads").iterdir())
    assert written == ["latent_main.csv", "signature_markers_one_two.csv"]
    assert note(tmp_path / "short")["configuration"]["splits"]["held_out"] == 8
    bench("transform", tmp_path / "short", files / "x.h5ad", "--heads", "--split", "held_out",
          "--out", tmp_path / "held_out")  # fmt: skip
    splits = pd.read_csv(tmp_path / "short" / "splits.csv", index_col="cell")
    held_out = table(tmp_path / "held_out", "latent_main.csv")
    assert list(held_out.index) == list(splits.index[splits["held_out"] == 1])
    longer = [*words, "--set", "sakura.max_epochs=4"]
    bench(*longer, "--out", tmp_path / "whole")
    bench(*longer, "--continue", tmp_path / "short", "--out", tmp_path / "again")
    assert (tmp_path / "again" / "latent.csv").read_text() == (
        (tmp_path / "whole" / "latent.csv").read_text()
    )
    bench(*short, "--insert", f"decoder={tmp_path / 'whole'}:frozen", "--out", tmp_path / "insert")
    assert note(tmp_path / "insert")["configuration"]["settings"]["frozen"] == ["decoder"]
    assert error_code(*short, "--continue", tmp_path / "short", "--out", tmp_path / "no") == (
        "trained"
    )
    (tmp_path / "k.yaml").write_text(
        "phenotypes: {age: {kind: categorical, bins: 3}, state: {kind: categorical}}\n"
    )
    bench("fit", "sakura", files / "x.h5ad", "--config", tmp_path / "k.yaml", "--no-umap",
          "--set", "sakura.max_epochs=1", "--out", tmp_path / "known")  # fmt: skip
    assert table(tmp_path / "known", "phenotype_age.csv").shape == (80, 4)


def test_a_part_of_another_fit_reads_genes_that_no_new_cell_has(files: Path, tmp_path: Path):
    cells = anndata.read_h5ad(files / "x.h5ad")
    cells.X = sp.csr_matrix(cells.X.toarray() * (np.arange(30) != 7))
    cells.write_h5ad(tmp_path / "new.h5ad")
    words = ["--set", "sakura.markers=false", "--set", "sakura.max_epochs=1", "--no-umap"]
    bench("fit", "sakura", files / "x.h5ad", *words, "--out", tmp_path / "first")
    bench("fit", "sakura", tmp_path / "new.h5ad", *words, "--insert",
          f"decoder={tmp_path / 'first'}", "--out", tmp_path / "second")  # fmt: skip
    about = note(tmp_path / "second")
    assert about["configuration"]["inputs"] == 30
    assert about["notes"]["filtered"].startswith("1 features of the other fit, taken as 0")
    bench("transform", tmp_path / "second", files / "x.h5ad", "--heads", "--out", tmp_path / "out")
    assert table(tmp_path / "out", "reconstruction.csv").shape == (80, 30)
    longer = [*words, "--set", "sakura.max_epochs=2", "--continue", tmp_path / "second"]
    bench("fit", "sakura", tmp_path / "new.h5ad", *longer, "--out", tmp_path / "third")
    fewer = cells[:, cells.var_names != "gene7"]
    fewer.write_h5ad(tmp_path / "fewer.h5ad")
    refused = ["fit", "sakura", tmp_path / "fewer.h5ad", *words, "--out", tmp_path / "no"]
    assert error_code(*refused, "--insert", f"decoder={tmp_path / 'first'}") == "other_features"


def test_other_methods_have_no_heads(files: Path, tmp_path: Path):
    fit = ["fit", "pca", files / "x.h5ad", "--no-umap", "--set", "pca.n_components=3"]
    assert error_code(*fit, "--keep-every", "2", "--out", tmp_path / "no") == "not_supported"
    bench(*fit, "--out", tmp_path / "pca")
    assert not (tmp_path / "pca" / "heads").exists()
    words = ["transform", tmp_path / "pca", files / "x.h5ad", "--heads"]
    assert error_code(*words, "--out", tmp_path / "out") == "not_supported"
