"""``bench fit``: a method on a file gives features, imputed values, clusters and a picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from _command import bench, error_code
from anndata import AnnData, read_h5ad
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.apply.fit_file import FileFit, FitOptions, fit_file
from bench.apply.output_files import write_result
from bench.apply.result_data import add_tables
from bench.apply.result_keys import ResultKeys
from bench.contract import Fit
from bench.errors import DataError, UsageError
from bench.registry import methods
from bench.settings import load_settings

NMF = "nmf[n_components=3,max_iter=20]"


@pytest.fixture
def text(toy_counts: AnnData, tmp_path: Path) -> Path:
    """Genes × cells as a text, cells without types."""
    path = tmp_path / "counts.csv"
    table = pd.DataFrame(toy_counts.X.toarray().T.astype(int))
    table.index, table.columns = toy_counts.var_names, toy_counts.obs_names
    table.to_csv(path)
    return path


@pytest.fixture
def types(toy_counts: AnnData, tmp_path: Path) -> Path:
    path = tmp_path / "types.tsv"
    toy_counts.obs[["cell_type"]].sample(frac=1, random_state=0).to_csv(path, sep="\t")
    return path


def fit(
    path: Path,
    out: Path,
    method: str = NMF,
    params: dict[str, object] | None = None,
    n_clusters: int | None = None,
) -> FileFit:
    result = fit_file(
        method, path, settings=load_settings({"seeds": "0,"}), out=out,
        params={"transpose": True} | (params or {}),
        options=FitOptions(n_clusters=n_clusters, umap=False),
    )  # fmt: skip
    assert result is not None
    return result


def test_latent_and_imputed_are_those_of_the_method(text: Path, tmp_path: Path):
    fitted = fit(text, tmp_path / "out")
    latent = pd.read_csv(tmp_path / "out" / "latent.csv", index_col=0)
    imputed = pd.read_csv(tmp_path / "out" / "imputed.csv.gz", index_col=0)
    result = read_h5ad(tmp_path / "out" / "result.h5ad")
    cls = methods().get("nmf")
    made = cls(cls.Params.build({"n_components": 3, "max_iter": 20}, owner="nmf"))
    adata = AnnData(sp.csr_matrix(pd.read_csv(text, index_col=0).T.to_numpy(dtype=np.float32)))
    adata.obs_names = [f"cell{i}" for i in range(60)]
    expected = Estimator(made).fit(adata)
    np.testing.assert_allclose(latent, expected.embedding_, rtol=1e-4, atol=1e-6)
    assert list(latent.index) == [f"cell{i}" for i in range(60)]
    values = made.impute(expected.prepared_)
    np.testing.assert_allclose(imputed, values, rtol=1e-3, atol=1e-5)
    matrix = read_h5ad(tmp_path / "out" / "imputed.h5ad")
    np.testing.assert_allclose(matrix.X, values, rtol=1e-3, atol=1e-5)
    assert list(imputed.columns) == list(matrix.var_names)
    assert (result.X != adata.X).nnz == 0
    loadings = pd.read_csv(tmp_path / "out" / "loadings.csv", index_col=0)
    assert loadings.shape == (result.n_vars, 3)
    for name in fitted.files:
        assert (tmp_path / "out" / name).exists()


def test_imputed_of_a_factorisation_is_the_product(toy_counts: AnnData):
    cls = methods().get("lsnmf")
    made = cls(cls.Params.build({"n_components": 3}, owner="lsnmf"))
    fitted = Estimator(made).fit(toy_counts)
    found = made.impute(fitted.prepared_)
    # The rank-3 approximation is better than the mean of each gene, and not negative.
    values = fitted.prepared_.X.toarray()
    assert found.min() >= 0
    assert ((found - values) ** 2).sum() < 0.8 * ((values - values.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("likelihood", ["gaussian", "nb"])
def test_imputed_of_an_autoencoder_is_its_decoder_at_the_code(
    toy_counts: AnnData, likelihood: str
):
    cls = methods().get("ae")
    values = {"likelihood": likelihood, "max_epochs": 3, "hidden": "8", "n_latent": 2}
    made = cls(cls.Params.build(values, owner="ae"))
    fitted = Estimator(made).fit(toy_counts)
    found = made.impute(fitted.prepared_)
    decoder = made.fitted.network.decoder
    weights, bias = decoder.weight.detach().numpy(), decoder.bias.detach().numpy()
    decoded = fitted.embedding_ @ weights.T + bias
    if likelihood == "nb":
        totals = np.asarray(fitted.prepared_.layers["counts"].sum(axis=1)).reshape(-1, 1)
        decoded = totals / np.median(totals) * np.exp(decoded)
    np.testing.assert_allclose(found, decoded, rtol=1e-3, atol=1e-4)


def test_scores_are_of_the_written_clusters_and_labels(text: Path, types: Path, tmp_path: Path):
    fit(text, tmp_path / "out", params={"labels": str(types)})
    clusters = pd.read_csv(tmp_path / "out" / "clusters.csv", index_col=0)
    truth = pd.read_csv(types, sep="\t", index_col=0)["cell_type"].reindex(clusters.index)
    scores = json.loads((tmp_path / "out" / "fit.json").read_text())["scores"]
    expected = adjusted_rand_score(truth, clusters["kmeans"])
    assert scores["kmeans/ari"] == pytest.approx(expected)
    assert clusters["kmeans"].nunique() == 3


@pytest.mark.slow
def test_labels_change_nothing_in_the_fit(text: Path, types: Path, tmp_path: Path):
    fit(text, tmp_path / "a", params={"labels": str(types)})
    table = pd.read_csv(types, sep="\t", index_col=0)
    table["cell_type"] = np.random.default_rng(1).permutation(table["cell_type"].to_numpy())
    table.to_csv(types, sep="\t")
    fit(text, tmp_path / "b", params={"labels": str(types)})
    fit(text, tmp_path / "c")
    latents = [(tmp_path / name / "latent.csv").read_text() for name in "abc"]
    assert latents[0] == latents[1] == latents[2]


def test_a_later_fit_replaces_the_files_of_an_earlier_one_only(text: Path, tmp_path: Path):
    out = tmp_path / "out"
    fit(text, out)
    (out / "mine.txt").write_text("keep")
    fit(text, out, "random")
    assert (out / "mine.txt").read_text() == "keep"
    assert not (out / "imputed.csv.gz").exists()
    assert not (out / "loadings.csv").exists()
    assert not list(tmp_path.glob(".*.partial"))


def test_a_method_that_changes_the_folder_writes_where_it_was_told(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cls = methods().get("nmf")
    fit_nmf = cls.fit

    def fit_elsewhere(self, data, context):
        os.chdir("/")
        return fit_nmf(self, data, context)

    monkeypatch.setattr(cls, "fit", fit_elsewhere)
    monkeypatch.chdir(tmp_path)
    fit(text, Path("out"))
    assert (tmp_path / "out" / "latent.csv").is_file()


def test_a_folder_with_other_things_is_not_touched(text: Path, tmp_path: Path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("x")
    with pytest.raises(UsageError) as error:
        fit(text, out)
    assert error.value.code == "folder_not_empty"
    assert [one.name for one in out.iterdir()] == ["chapter.txt"]


def write_peaks(counts: np.ndarray, folder: Path) -> None:
    """Write cells × peaks as a Matrix Market folder."""
    scipy.io.mmwrite(folder / "matrix.mtx", sp.coo_matrix(counts.T))
    (folder / "barcodes.tsv").write_text("".join(f"cell{i}\n" for i in range(len(counts))))
    (folder / "peaks.bed").write_text(
        "".join(f"chr1\t{i * 1000}\t{i * 1000 + 500}\n" for i in range(counts.shape[1]))
    )


def test_chromatin_from_matrix_market_with_binary_imputation(tmp_path: Path):
    rng = np.random.default_rng(0)
    write_peaks((rng.random((50, 80)) < 0.3).astype(int), tmp_path)
    scale = "scale[n_components=2,max_epochs=3,normal_epochs=2,hidden=8,n_latent=2]"
    fit(tmp_path / "matrix.mtx", tmp_path / "out", scale)
    result = read_h5ad(tmp_path / "out" / "result.h5ad")
    assert result.var_names[0] == "chr1:0-500"
    assert result.n_vars == 80
    imputed = read_h5ad(tmp_path / "out" / "imputed.h5ad")
    kept = pd.read_csv(tmp_path / "out" / "features.csv", index_col=0)["kept"]
    assert list(kept.index[kept]) == list(imputed.var_names)
    assert len(kept) == 80
    expected, raw = imputed.X, result[:, imputed.var_names].X.toarray()
    on = (expected > raw.mean(axis=1, keepdims=True)) & (
        expected > raw.mean(axis=0, keepdims=True)
    )
    np.testing.assert_array_equal(imputed.layers["binary"], on)
    assert 0 <= expected.min() <= expected.max() <= 1


def test_cells_that_the_method_filters_are_listed(tmp_path: Path, caplog):
    counts = (np.random.default_rng(0).random((50, 80)) < 0.3).astype(int)
    counts[[3, 20]] = 0
    counts[[3, 20], :5] = 1
    write_peaks(counts, tmp_path)
    caplog.set_level("INFO", logger="bench")
    ae = "ae[min_peaks=10,max_epochs=1,hidden=8,n_latent=2]"
    fitted = fit(tmp_path / "matrix.mtx", tmp_path / "out", ae)
    kept = pd.read_csv(tmp_path / "out" / "cells.csv", index_col="cell")["kept"]
    assert list(kept.index) == [f"cell{i}" for i in range(50)]
    assert list(kept.index[~kept]) == ["cell3", "cell20"]
    assert list(pd.read_csv(tmp_path / "out" / "latent.csv")["cell"]) == list(kept.index[kept])
    assert fitted.files["cells.csv"] == "48 of 50 cells kept by the method"
    assert "2 of 50 cells were filtered by the method" in caplog.messages


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("truth", "not_supported"),
        ("lsi", "wrong_modality"),
        ("nmf,pca", "several_matches"),
        ("vea", "unknown_name"),
        ("vae[n_latnt=2]", "unknown_name"),
    ],
)
def test_unsuitable_methods(text: Path, tmp_path: Path, method: str, code: str):
    with pytest.raises(UsageError) as error:
        fit(text, tmp_path / "out", method)
    assert error.value.code == code
    assert not (tmp_path / "out").exists()


def test_wrong_data_are_refused_and_nothing_is_written(text: Path, tmp_path: Path):
    text.write_text(text.read_text().replace(",0,", ",0.5,", 1))
    with pytest.raises(DataError) as error:
        fit(text, tmp_path / "out")
    assert error.value.code == "not_counts"
    assert not (tmp_path / "out").exists()


CONSTANT = """
import numpy as np
from bench.contract import RNA, Fit, Method

class Constant(Method):
    name, summary, reference, family = "constant", "one point", "none", "control"
    modalities = frozenset({RNA})

    def fit(self, data, context):
        return Fit(np.ones((data.n_obs, 3), dtype=np.float32))
"""


def test_a_constant_embedding_has_no_picture_and_all_else(text: Path, types: Path, tmp_path: Path):
    (tmp_path / "constant.py").write_text(CONSTANT)
    out = tmp_path / "out"
    result = bench(
        "fit", "constant", str(text), "--labels", str(types), "--transpose", "--out", str(out),
        "--plugin", str(tmp_path / "constant.py"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "no UMAP: all cells are at one point of the embedding\n" in result.output
    note = json.loads((out / "fit.json").read_text())
    assert set(note["files"]) == {
        "latent.csv", "clusters.csv", "features.csv", "cells.csv", "markers.csv", "confusion.csv",
        "confusion.png", "confusion.svg", "result.h5ad", "fit.json",
    }  # fmt: skip
    assert set(note["files"]) == {path.name for path in out.iterdir()}
    assert note["scores"]["kmeans/ari"] == 0


@pytest.mark.slow
def test_an_autoencoder_through_the_command_line(text: Path, types: Path, tmp_path: Path):
    out = tmp_path / "out"
    result = bench(
        "fit", "ae", str(text), "--labels", str(types), "--transpose", "--out", str(out),
        "--set", "ae.max_epochs=3", "--set", "ae.hidden=8", "--set", "ae.n_latent=2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for words in ("clusters: 3, the number of types", "kmeans: ARI", "leiden: ARI", "umap.png"):
        assert words in result.output
    assert ", told" not in result.output
    cells = [f"cell{i}" for i in range(60)]
    latent = pd.read_csv(out / "latent.csv", index_col="cell")
    assert list(latent.index) == cells
    assert list(latent.columns) == ["latent1", "latent2"]
    data = read_h5ad(out / "result.h5ad")
    np.testing.assert_allclose(data.obsm["X_ae"], latent, rtol=1e-4, atol=1e-5)
    truth = pd.read_csv(types, sep="\t", index_col=0)["cell_type"].reindex(cells)
    assert list(data.obs["cell_type"]) == list(truth)
    imputed = pd.read_csv(out / "imputed.csv.gz", index_col="cell")
    assert imputed.shape == read_h5ad(out / "imputed.h5ad").shape
    plane = pd.read_csv(out / "umap.csv", index_col="cell")
    assert list(plane.index) == cells
    np.testing.assert_allclose(data.obsm["X_umap_ae"], plane, rtol=1e-4, atol=1e-5)
    curves = pd.read_csv(out / "curves.csv")
    assert list(curves.loc[curves["curve"] == "loss", "step"]) == [1, 2, 3]
    assert (out / "model" / "network.pt").is_file()
    assert (out / "umap.png").read_bytes().startswith(b"\x89PNG")
    # The types colour the picture: each stands in its legend with its number of cells.
    svg = (out / "umap.svg").read_text()
    for name in "abc":
        assert f"<!-- {name} (20) -->" in svg
    assert json.loads((out / "fit.json").read_text())["params"]["max_epochs"] == 3


def test_tables_of_cells_are_named_by_them(text: Path, tmp_path: Path):
    short = "scsmd[pretrain_epochs=1,max_epochs=1,pair_epochs=1,batch_size=20]"
    fit(text, tmp_path / "out", short, n_clusters=3)
    written = pd.read_csv(tmp_path / "out" / "memberships.csv", index_col="cell")
    result = read_h5ad(tmp_path / "out" / "result.h5ad")
    assert list(written.index) == list(result.obs_names)
    np.testing.assert_allclose(result.obsm["memberships"], written, rtol=1e-4)
    assert pd.read_csv(tmp_path / "out" / "centres.csv", index_col="cluster").shape == (3, 10)


def test_a_file_holds_text_of_some_features(toy_counts: AnnData, tmp_path: Path):
    prepared = toy_counts[:, 2:].copy()
    table = pd.DataFrame({"community": "1", "variance": 0.5}, index=prepared.var_names)
    found = Fit(np.zeros((60, 2)), tables={"genes": table})
    add_tables(toy_counts, found, prepared, ResultKeys("X_one"))
    write_result(tmp_path, toy_counts)
    genes = read_h5ad(tmp_path / "result.h5ad").varm["genes"]
    assert genes["community"].isna().tolist() == [True] * 2 + [False] * prepared.n_vars
    assert genes["community"].iloc[2] == "1"


def test_a_method_that_fails_writes_nothing(text: Path, tmp_path: Path):
    plugin = tmp_path / "breaks.py"
    plugin.write_text(
        "from bench.contract import Fit, Method, RNA\n"
        "from bench.contract import Parameters\n"
        "class Breaks(Method):\n"
        "    name, summary, reference, family = 'breaks', 'fails', 'none', 'baseline'\n"
        "    modalities = frozenset({RNA})\n"
        "    class Params(Parameters):\n"
        "        how: str = 'raise'\n"
        "    def fit(self, data, context):\n"
        "        if self.params.how == 'raise':\n"
        "            raise RuntimeError('not\\ntoday')\n"
        "        return [1.0] if self.params.how == 'list' else Fit(data.X.toarray()[:-1])\n"
    )
    out, messages = tmp_path / "out", {}
    for how in ("raise", "list", "short"):
        words = ["fit", f"breaks[how={how}]", str(text), "--transpose", "--out", str(out)]
        result = bench(*words, "--no-umap", "--plugin", str(plugin))
        assert error_code(result) == "method_failed"
        assert result.exit_code == 3
        assert not out.exists()
        messages[how] = result.stderr
    line = f"breaks failed on {text}: RuntimeError: not today (breaks.py, line 10)"
    assert line in messages["raise"]
    assert "breaks.fit returned a list; expected Fit(embedding)" in messages["list"]
    assert "shape (59, 40); expected (60, d ≥ 1)" in messages["short"]


def test_cells_without_a_label_are_fitted_and_not_scored(
    toy_counts: AnnData, text: Path, types: Path, tmp_path: Path
):
    fit(text, tmp_path / "whole", params={"labels": str(types)})
    table = pd.read_csv(types, sep="\t", index_col=0)
    table.iloc[:20].to_csv(tmp_path / "few.csv")
    partly = fit(text, tmp_path / "partly", params={"labels": str(tmp_path / "few.csv")})
    latent = pd.read_csv(tmp_path / "partly" / "latent.csv", index_col=0)
    assert list(latent.index) == list(toy_counts.obs_names)
    pd.testing.assert_frame_equal(
        latent, pd.read_csv(tmp_path / "whole" / "latent.csv", index_col=0)
    )
    clusters = pd.read_csv(tmp_path / "partly" / "clusters.csv", index_col=0)["kmeans"]
    known = table.iloc[:20]["cell_type"]
    expected = adjusted_rand_score(known, clusters.loc[known.index])
    assert partly.scores.values["kmeans/ari"] == pytest.approx(expected)


@pytest.fixture
def analysed(toy_counts: AnnData, tmp_path: Path) -> tuple[Path, AnnData]:
    """A file with results of scanpy under its usual names."""
    data = toy_counts.copy()
    data.obsm["X_pca"] = np.full((60, 2), 7.0)
    data.obsm["X_umap"] = np.full((60, 2), 8.0)
    data.obs["leiden"] = "mine"
    data.layers["scaled"] = data.X.toarray()
    data.uns["pca"] = {"variance": np.ones(2)}
    data.write_h5ad(tmp_path / "analysed.h5ad")
    return tmp_path / "analysed.h5ad", data


def test_nothing_of_the_user_is_overwritten(analysed: tuple[Path, AnnData], tmp_path: Path):
    path, before = analysed
    words = ["fit", "pca[n_components=3]", str(path), "--no-umap", "--out"]
    assert bench(*words, str(tmp_path / "out")).exit_code == 0
    result = read_h5ad(tmp_path / "out" / "result.h5ad")
    assert (result.X != before.X).nnz == 0
    for key in before.obsm:
        np.testing.assert_array_equal(result.obsm[key], before.obsm[key])
    for name in before.obs:
        assert list(result.obs[name]) == list(before.obs[name])
    np.testing.assert_array_equal(result.layers["scaled"].toarray(), before.layers["scaled"])
    np.testing.assert_array_equal(result.uns["pca"]["variance"], np.ones(2))
    latent = pd.read_csv(tmp_path / "out" / "latent.csv", index_col="cell")
    np.testing.assert_allclose(result.obsm["X_pca_2"], latent, rtol=1e-4, atol=1e-5)
    assert {"kmeans_pca_2", "leiden_pca_2"} <= set(result.obs)
    # A fit on the result of another keeps that, too.
    words[2] = str(tmp_path / "out" / "result.h5ad")
    assert bench(*words, str(tmp_path / "again")).exit_code == 0
    again = read_h5ad(tmp_path / "again" / "result.h5ad")
    assert {"X_pca", "X_pca_2", "X_pca_3"} <= set(again.obsm)
    # A key that the user names is taken as it is.
    assert bench(*words, str(tmp_path / "named"), "--key-added", "X_pca").exit_code == 0
    named = read_h5ad(tmp_path / "named" / "result.h5ad")
    np.testing.assert_allclose(named.obsm["X_pca"], latent, rtol=1e-3, atol=1e-4)
    assert error_code(bench(*words, str(tmp_path / "x"), "--key-added", "a/b")) == "invalid_name"


@pytest.mark.slow
def test_confusion_and_markers_are_those_of_the_clusters(
    text: Path, types: Path, tmp_path: Path, toy_counts: AnnData
):
    out = tmp_path / "out"
    fit(text, out, params={"labels": str(types)})
    clusters = pd.read_csv(out / "clusters.csv", index_col="cell")
    truth = pd.read_csv(types, sep="\t", index_col=0)["cell_type"].reindex(clusters.index)
    confusion = pd.read_csv(out / "confusion.csv", index_col=["clustering", "type"])
    for name in clusters:
        counts = pd.crosstab(truth, clusters[name])
        found = confusion.loc[name].dropna(axis=1).reindex(counts.index)
        found.columns = found.columns.astype(int)
        assert (found[counts.columns] == counts).all(axis=None)
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")
    # The ten genes of each type are the first markers of the cluster that holds it.
    markers = pd.read_csv(out / "markers.csv", dtype={"cluster": str})
    rows = markers[markers["clustering"] == "kmeans"]
    own = {name: set(toy_counts.var_names[10 * n : 10 * n + 10]) for n, name in enumerate("abc")}
    for cluster, found in rows.groupby("cluster"):
        (name,) = truth[clusters["kmeans"].astype(str) == cluster].mode()
        assert set(found["feature"][:10]) == own[name]
        assert found["score"].is_monotonic_decreasing
        assert (found["log2_fold_change"][:10] > 1).all()
        assert (found["share_in"][:10] > found["share_outside"][:10]).all()
    fit(text, tmp_path / "unlabelled")
    assert not (tmp_path / "unlabelled" / "confusion.csv").exists()
    assert (tmp_path / "unlabelled" / "markers.csv").is_file()


def test_presets_and_profiles(text: Path, tmp_path: Path):
    words = ["fit", "nmf[max_iter=5]", str(text), "--transpose", "--no-umap", "--out"]
    for flags, preset in (["--preset", "quick"], "quick"), (["--profile", "faithful"], "faithful"):
        assert bench(*words, str(tmp_path / "out"), *flags).exit_code == 0
        params = json.loads((tmp_path / "out" / "fit.json").read_text())["params"]
        expected = (
            methods().get("nmf").Params.build({"max_iter": 5}, presets=(preset,), owner="nmf")
        )
        assert params == expected.resolved()
    wrong = bench(*words, str(tmp_path / "x"), "--preset", "faithfull")
    assert error_code(wrong) == "unknown_name"


@pytest.mark.parametrize(
    ("words", "code", "flag"),
    [
        (["pca", "--n-clusters", "61"], "too_many_clusters", "--n-clusters"),
        (["scmgca"], "missing_input", "--n-clusters"),
        (["sakura", "--markers", "nowhere.gmt"], "missing_file", "nowhere.gmt"),
    ],
)
def test_messages_name_flags(text: Path, tmp_path: Path, words: list[str], code: str, flag: str):
    result = bench(
        "fit", words[0], str(text), *words[1:], "--transpose", "--out", str(tmp_path / "out")
    )
    assert error_code(result) == code
    assert result.exit_code == 2
    assert flag in result.stderr
    assert "n_clusters=" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_markers_and_umap_where_no_number_of_threads_is_set(text: Path, tmp_path: Path):
    variables = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    command = [
        sys.executable, "-m", "bench", "fit", "pca[n_components=3]", str(text), "--transpose",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=250)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert {"markers.csv", "umap.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}
