"""``bench transform``: new cells through the model of a finished fit, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import _command
import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score


def bench(*words: str | Path) -> str:
    """Return what a call prints on both streams."""
    result = _command.bench(*map(str, words))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def error_code(*words: str | Path) -> str:
    return _command.error_code(_command.bench(*map(str, words)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells in two files, the second with its features in another order and one more."""
    from bench.datasets.sim_rna import SimRNA

    folder = tmp_path_factory.mktemp("files")
    data = SimRNA(SimRNA.Params(n_cells=90, n_features=60)).load()
    data.uns.clear()
    data[:60].copy().write_h5ad(folder / "old.h5ad")
    mixed = data[40:, ::-1].copy()
    more = anndata.AnnData(np.ones((mixed.n_obs, 1), dtype=np.float32))
    more.obs_names, more.var_names = mixed.obs_names, ["unknown"]
    new = anndata.concat([mixed, more], axis=1, merge="first")
    new.write_h5ad(folder / "new.h5ad")
    bench("fit", "pca", folder / "old.h5ad", "--no-umap", "--out", folder / "fit",
          "--set", "pca.n_components=5")  # fmt: skip
    return folder


def latent(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "latent.csv", index_col="cell")


def test_cells_of_the_fit_get_their_place_again(files: Path, tmp_path: Path):
    output = bench("transform", files / "fit", files / "new.h5ad", "--out", tmp_path / "out")
    old, new = latent(files / "fit"), latent(tmp_path / "out")
    shared = old.index.intersection(new.index)
    assert (len(shared), len(new)) == (20, 50)
    np.testing.assert_allclose(new.loc[shared], old.loc[shared], rtol=1e-3, atol=1e-4)
    assert "kmeans: ARI" in output
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["clusters.csv", "latent.csv", "result.h5ad", "transform.json"]
    result = anndata.read_h5ad(tmp_path / "out" / "result.h5ad")
    np.testing.assert_allclose(result.obsm["X_pca"], new, rtol=1e-4, atol=1e-4)
    counts = anndata.read_h5ad(files / "new.h5ad")
    assert (result[:, counts.var_names].X != counts.X).nnz == 0
    about = json.loads((tmp_path / "out" / "transform.json").read_text())
    assert about["cells"] == 50
    assert sorted(about["files"]) == written


def test_cells_get_the_clusters_and_types_of_the_fit(files: Path, tmp_path: Path):
    bench("transform", files / "fit", files / "new.h5ad", "--out", tmp_path / "out")
    fitted = pd.read_csv(files / "fit" / "clusters.csv", index_col="cell", dtype=str)
    fitted["type"] = anndata.read_h5ad(files / "old.h5ad").obs["cell_type"].astype(str)
    votes = pd.read_csv(tmp_path / "out" / "clusters.csv", index_col="cell", dtype={"kmeans": str})
    assert set(votes) == {name + end for name in fitted for end in ("", "_share")}
    # By hand, for each new cell: the labels of the 15 nearest cells of the fit.
    old, new = latent(files / "fit"), latent(tmp_path / "out")
    for cell in new.index:
        near = ((old - new.loc[cell]) ** 2).sum(axis=1).nsmallest(15).index
        counts = fitted.loc[near, "type"].value_counts()
        assert votes.loc[cell, "type_share"] == pytest.approx(counts.max() / 15, abs=1e-3)
        assert counts[votes.loc[cell, "type"]] == counts.max()
    result = anndata.read_h5ad(tmp_path / "out" / "result.h5ad")
    assert list(result.obs["type_pca"]) == list(votes["type"])
    about = json.loads((tmp_path / "out" / "transform.json").read_text())
    truth = anndata.read_h5ad(files / "new.h5ad").obs["cell_type"].astype(str)
    expected = adjusted_rand_score(truth.loc[votes.index], votes["type"])
    assert about["scores"]["fit_type/ari"] == pytest.approx(expected)


def test_of_equal_votes_the_nearest_decides_and_unknown_types_do_not_vote():
    from bench.apply.neighbour_votes import vote
    from bench.store.saved_model import FittedCells

    points = np.array([[0.0], [1.0], [2.0], [3.0]])
    labels = {"leiden": np.array(["1", "0", "0", "1"]), "type": np.array(["", "b", "", ""])}
    votes = vote(FittedCells(points, labels), np.array([[-1.0], [1.4]]), pd.Index(["x", "y"]))
    assert list(votes["leiden"]) == ["1", "0"]
    assert list(votes["leiden_share"]) == [0.5, 0.5]
    assert list(votes["type"]) == ["b", "b"]
    assert list(votes["type_share"]) == [1, 1]
    none = vote(FittedCells(points, {"type": np.array([""] * 4)}), points, pd.Index(list("abcd")))
    assert list(none) == []


@pytest.mark.slow
def test_a_job_of_the_store(files: Path, tmp_path: Path):
    results, cache = tmp_path / "results", tmp_path / "cache"
    bench("run", "-m", "pca[n_components=5],random", "-d", files / "old.h5ad", "--seeds", "1",
          "--results", results, "--cache-dir", cache, "--no-report")  # fmt: skip
    words = [results, files / "new.h5ad", "--cache-dir", cache, "--out", tmp_path / "out"]
    bench("transform", *words, "-m", "pca[n_components=5]")
    votes = pd.read_csv(tmp_path / "out" / "clusters.csv", index_col="cell")
    assert {"type", "type_share", "leiden", "kmeans"} <= set(votes)
    old, new = latent(files / "fit"), latent(tmp_path / "out")
    shared = old.index.intersection(new.index)
    # Components are the same up to their sign.
    np.testing.assert_allclose(new.loc[shared].abs(), old.loc[shared].abs(), rtol=1e-2, atol=1e-3)
    assert error_code("transform", *words) == "several_matches"
    assert error_code("transform", *words, "-m", "random") == "not_supported"
    for data in (cache / "datasets").glob("*/data.npy"):
        data.write_bytes(data.read_bytes()[:-100])
    result = _command.bench("transform", *map(str, words), "-m", "pca[n_components=5]")
    assert result.exit_code == 2
    assert "'bench plan -m random -d old' puts the dataset back" in result.stderr


def test_unsuitable_files_and_folders(files: Path, tmp_path: Path):
    new, out = files / "new.h5ad", ["--out", tmp_path / "out"]
    assert error_code("transform", tmp_path, new, *out) == "no_results"
    few = anndata.read_h5ad(new)[:, 5:].copy()
    few.write_h5ad(tmp_path / "few.h5ad")
    few_features = ["transform", files / "fit", tmp_path / "few.h5ad", *out]
    assert error_code(*few_features) == "missing_features"
    assert not (tmp_path / "out").exists()
    assert "features of the fit are taken as zero" in bench(*few_features, "--fill-missing")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    foreign = ["transform", files / "fit", new, "--out", tmp_path / "mine"]
    assert error_code(*foreign) == "folder_not_empty"
    peaks = few.copy()
    peaks.var_names = [f"chr1:{100 * i}-{100 * i + 50}" for i in range(peaks.n_vars)]
    peaks.write_h5ad(tmp_path / "peaks.h5ad")
    peaks_for_genes = ["transform", files / "fit", tmp_path / "peaks.h5ad", *out]
    assert error_code(*peaks_for_genes) == "missing_features"


def test_a_model_without_a_preparation(files: Path, tmp_path: Path):
    import shutil

    shutil.copytree(files / "fit", tmp_path / "fit")
    (tmp_path / "fit" / "model" / "preparation.npz").unlink()
    words = ["transform", tmp_path / "fit", files / "new.h5ad", "--out", tmp_path / "out"]
    assert error_code(*words) == "no_preparation"


@pytest.mark.slow
def test_paired_cells(tmp_path: Path):
    from bench.contract.multiome import select_cells, write_pair
    from bench.datasets.sim_multiome import SimMultiome

    data = SimMultiome(SimMultiome.Params(n_cells=60, n_genes=40, n_peaks=120)).load()
    data.uns.clear()
    for part in ("rna", "atac"):
        data[part].uns.clear()
        data[part].varm.clear()
    write_pair(data, tmp_path / "all.h5mu")
    write_pair(select_cells(data, slice(10, 40)), tmp_path / "some.h5mu")
    bench("fit", "pca_lsi", tmp_path / "all.h5mu", "--no-umap", "--out", tmp_path / "fit")
    bench("transform", tmp_path / "fit", tmp_path / "some.h5mu", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "result.h5mu").is_file()
    old, new = latent(tmp_path / "fit"), latent(tmp_path / "out")
    assert len(new) == 30
    np.testing.assert_allclose(new, old.loc[new.index], rtol=1e-2, atol=1e-3)
    (tmp_path / "genes").mkdir()
    data["rna"].write_h5ad(tmp_path / "genes.h5ad")
    words = ["transform", tmp_path / "fit", tmp_path / "genes.h5ad", "--out", tmp_path / "o"]
    assert error_code(*words) == "wrong_modality"


def test_labels_that_cannot_be_compared_cost_the_scores_only(files: Path, tmp_path: Path):
    cells = anndata.read_h5ad(files / "new.h5ad")[:12].copy()
    cells.obs["batch"] = pd.Series(["a", None] * 6, index=cells.obs_names, dtype="object")
    cells.obs["cell_type"] = "one"
    cells.write_h5ad(tmp_path / "one.h5ad")
    out = tmp_path / "out"
    output = bench("transform", files / "fit", tmp_path / "one.h5ad", "--batch-key", "batch",
                 "--out", out)  # fmt: skip
    assert "no scores by 'cell_type': " in output
    assert "has one type only" in output
    assert "no scores by 'batch': " in output
    assert "ARI" not in output
    assert len(latent(out)) == 12


PLUGIN = """
import numpy as np
from bench.methods.pca import PrincipalComponents

class Bad(PrincipalComponents):
    name = "bad_{name}"
    summary = "bad"
    def transform(self, data):
        {body}
"""


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("raises", "raise RuntimeError('boom')", "RuntimeError: boom (bad.py, line 9)"),
        pytest.param(
            "nan",
            "return np.full((data.n_obs, 2), np.nan)",
            "50 of 50 cells is not finite",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "vector",
            "return np.zeros(data.n_obs)",
            "an embedding of shape (50,)",
            marks=pytest.mark.slow,
        ),
        ("short", "return np.zeros((data.n_obs - 1, 2))", "shape (49, 2); expected (50"),
    ],
)
def test_a_bad_transform(files: Path, tmp_path: Path, name: str, body: str, message: str):
    plugin = tmp_path / "bad.py"
    plugin.write_text(PLUGIN.format(name=name, body=body))
    fit = ["--plugin", plugin, "--out", tmp_path / "fit"]
    bench("fit", f"bad_{name}", files / "old.h5ad", "--no-umap", *fit)
    words = ["transform", tmp_path / "fit", files / "new.h5ad", "--plugin", plugin]
    result = _command.bench(*map(str, words), "--out", str(tmp_path / "out"))
    assert result.exit_code == 3
    assert f"bad_{name} failed on {files / 'new.h5ad'}: " in result.stderr
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("note", ["[1, 2]", "{}", '{"method": "pca"}', "{"])
def test_a_damaged_note(files: Path, tmp_path: Path, note: str):
    (tmp_path / "fit.json").write_text(note)
    words = ["transform", tmp_path, files / "new.h5ad", "--out", tmp_path / "out"]
    assert error_code(*words) == "damaged_result"


def test_the_folder_of_the_user(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The present folder may be written into; a note of the same name is not taken for ours."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    bench("transform", files / "fit", files / "new.h5ad", "--out", ".")
    assert len(latent(tmp_path / "here")) == 50
    bench("transform", files / "fit", files / "new.h5ad", "--out", ".")
    (tmp_path / "mine").mkdir()
    for foreign in ("[1, 2]", '{"files": null}', "{}"):
        (tmp_path / "mine" / "transform.json").write_text(foreign)
        words = ["transform", files / "fit", files / "new.h5ad", "--out", tmp_path / "mine"]
        assert error_code(*words) == "folder_not_empty"


def test_columns_that_h5ad_cannot_hold(files: Path, tmp_path: Path):
    names = anndata.read_h5ad(files / "new.h5ad").obs_names
    table = pd.DataFrame({"_index": 1, "type": ["a", "b"] * 25}, index=names)
    table.to_csv(tmp_path / "labels.csv", index_label="cell")
    code = error_code(
        "transform", files / "fit", files / "new.h5ad", "--labels", tmp_path / "labels.csv",
        "--label-key", "type", "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == "unwritable_column"


def test_a_wrong_run_makes_no_folder(files: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("BENCH_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    for run in (tmp_path / "typo", files / "old.h5ad"):
        words = ["transform", run, files / "new.h5ad", "--out", tmp_path / "out"]
        assert error_code(*words) == "no_results"
    assert not (tmp_path / "typo").exists()
