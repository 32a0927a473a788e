"""A method as an estimator: raw counts in, in the manner of scikit-learn and scanpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

import bench
from bench.apply.estimator import Estimator
from bench.contract import ATAC, RNA
from bench.datasets.sim_multiome import SimMultiome
from bench.errors import DataError, UsageError

SHORT = {
    "ae": {"max_epochs": 1, "hidden": "8", "n_latent": 2},
    "nmf": {"n_components": 3, "max_iter": 20},
    "lsnmf": {"n_components": 3, "max_iter": 10},
    "pca": {"n_components": 3},
    "lsi": {"n_components": 3},
}
IMPUTE = ("ae", "nmf", "lsnmf")


@pytest.fixture(scope="module")
def fitted(toy_counts: AnnData) -> dict[str, Estimator]:
    return {
        name: bench.estimator(name, **params).fit(
            toy_counts, modality=ATAC if name == "lsi" else RNA
        )
        for name, params in SHORT.items()
    }


@pytest.mark.parametrize("name", SHORT)
def test_raw_counts_are_prepared_like_those_of_the_fit(
    name: str, fitted: dict[str, Estimator], toy_counts: AnnData
):
    model = fitted[name]
    few = toy_counts[[7, 2]].copy()[:, ::-1].copy()  # in another order of the features
    expected = model.method.transform(model.prepared_[[7, 2]].copy())
    np.testing.assert_allclose(model.transform(few), expected, rtol=1e-3, atol=1e-4)
    if name in IMPUTE:
        expected = model.method.impute(model.prepared_[[7, 2]].copy())
        np.testing.assert_allclose(model.impute(few), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SHORT)
def test_a_loaded_model_prepares_cells_itself(
    name: str, fitted: dict[str, Estimator], toy_counts: AnnData, tmp_path: Path
):
    model = fitted[name]
    model.save(tmp_path)
    other = bench.estimator(name, **SHORT[name]).load(tmp_path)
    np.testing.assert_allclose(
        other.transform(toy_counts), model.transform(toy_counts), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(DataError) as error:
        other.transform(toy_counts[:, :5].copy())
    assert error.value.code == "missing_features"
    assert other.transform(toy_counts[:, :5].copy(), fill_missing=True).shape[0] == 60


def test_a_model_without_a_preparation_embeds_no_counts(
    fitted: dict[str, Estimator], toy_counts: AnnData, tmp_path: Path
):
    fitted["pca"].method.save(tmp_path)
    other = bench.estimator("pca", **SHORT["pca"]).load(tmp_path)
    with pytest.raises(UsageError) as error:
        other.transform(toy_counts)
    assert error.value.code == "not_fitted"


def test_normalised_values_are_refused_and_counts_of_a_layer_are_taken(toy_counts: AnnData):
    data = toy_counts.copy()
    data.X = np.log1p(data.X.toarray())
    for action in (bench.estimator("pca").fit, fit_pca(toy_counts).transform):
        with pytest.raises(DataError) as error:
            action(data)
        assert error.value.code == "not_counts"
    data.layers["counts"] = toy_counts.X
    expected = fit_pca(toy_counts).embedding_
    np.testing.assert_array_equal(fit_pca(data).embedding_, expected)
    named = bench.estimator("pca", layer="counts", **SHORT["pca"])
    np.testing.assert_array_equal(named.fit(data).embedding_, expected)


def fit_pca(data: object) -> Estimator:
    return bench.estimator("pca", **SHORT["pca"]).fit(data)


def test_matrices_and_tables_are_data(toy_counts: AnnData):
    expected = fit_pca(toy_counts).embedding_
    for data in (toy_counts.X, toy_counts.X.toarray(), toy_counts.to_df()):
        np.testing.assert_array_equal(fit_pca(data).embedding_, expected)
    with pytest.raises(DataError) as error:
        fit_pca([1, 2])
    assert error.value.code == "not_a_dataset"
    with pytest.raises(UsageError) as error:
        bench.estimator("pca").fit(toy_counts.X, key_added="X_pca")
    assert error.value.code == "not_a_dataset"


def test_every_method_has_labels(toy_counts: AnnData):
    found = bench.estimator("pca", **SHORT["pca"]).fit(toy_counts)
    assert found.clustering_ == "leiden"
    assert found.labels_.shape == (60,)
    assert adjusted_rand_score(toy_counts.obs["cell_type"], found.labels_) > 0.9
    by_number = bench.estimator("pca", **SHORT["pca"]).fit(toy_counts, n_clusters=3)
    assert (by_number.clustering_, len(set(by_number.labels_))) == ("kmeans", 3)
    truth = bench.estimator("truth").fit(toy_counts, labels="cell_type")
    assert truth.clustering_ == "truth"
    assert list(truth.labels_) == list(toy_counts.obs["cell_type"])
    with pytest.raises(AttributeError):
        bench.estimator("pca").labels_  # noqa: B018


def test_results_are_written_under_the_key_only(toy_counts: AnnData):
    data = toy_counts.copy()
    before = data.copy()
    fit_pca(data)
    assert set(data.obsm) == set(before.obsm)
    assert list(data.obs) == list(before.obs)
    model = bench.estimator("pca", **SHORT["pca"]).fit(data, key_added="X_mine")
    np.testing.assert_allclose(data.obsm["X_mine"], model.embedding_, rtol=1e-6)
    assert list(data.obs["leiden_mine"]) == [str(one) for one in model.labels_]
    assert (data.X != before.X).nnz == 0
    new = toy_counts[:5].copy()
    always = bench.estimator("pca", key_added="X_pca", **SHORT["pca"]).fit(data)
    np.testing.assert_allclose(always.transform(new), new.obsm["X_pca"], rtol=1e-6)
    with pytest.raises(UsageError) as error:
        always.fit(data, key_added="a/b")
    assert error.value.code == "invalid_name"


def test_cells_that_the_method_leaves_out_have_no_values():
    counts = (np.random.default_rng(0).random((40, 60)) < 0.3).astype(float)
    counts[3] = 0
    counts[3, 0] = 1
    data = AnnData(counts)
    ae = bench.estimator("ae", min_peaks=5, **SHORT["ae"])
    ae.fit(data, modality=ATAC, key_added="X_ae")
    assert ae.embedding_.shape == (39, 2)
    assert np.isnan(data.obsm["X_ae"]).any(axis=1).nonzero()[0].tolist() == [3]
    assert pd.isna(data.obs[f"{ae.clustering_}_ae"]).to_numpy().nonzero()[0].tolist() == [3]


def test_presets_and_profiles():
    faithful = bench.estimator("scmgca", preset="faithful")
    by_hand = bench.estimator("scmgca", **faithful.presets["faithful"])
    assert faithful.get_params() == by_hand.get_params()
    assert faithful.get_params() != bench.estimator("scmgca").get_params()
    assert bench.estimator("ae", profile="quick").get_params() == (
        bench.estimator("ae", preset="quick").get_params()
    )
    # A profile is for all methods, a preset must be one of the method.
    assert bench.estimator("pca", profile="quick").get_params() == (
        bench.estimator("pca").get_params()
    )
    for wrong in ({"preset": "faithfull"}, {"profile": "fast"}, {"n_latnt": 2}):
        with pytest.raises(UsageError) as error:
            bench.estimator("ae", **wrong)
        assert error.value.code == "unknown_name"


def test_the_repr_makes_the_estimator_again():
    model = bench.estimator("ae", n_latent=7, hidden="16-8", device="cuda", key_added="X_a")
    again = eval(repr(model), {"bench": bench})
    assert again.get_params() == model.get_params()
    assert repr(bench.estimator("pca")) == "bench.estimator('pca')"


def test_the_manners_of_scikit_learn(toy_counts: AnnData):
    model = bench.estimator("pca", n_components=3, threads=1).fit(toy_counts)
    other = clone(model)
    assert other.get_params() == model.get_params() == {"name": "pca"} | other.get_params()
    assert bench.estimator(**model.get_params()).get_params() == model.get_params()
    check_is_fitted(model)
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(other)
    changed = other.set_params(n_components=2, threads=2)
    assert changed is other
    assert (changed.get_params()["n_components"], changed.threads) == (2, 2)
    assert changed.fit_transform(toy_counts).shape == (60, 2)
    assert model.embedding_.shape == (60, 3)
    with pytest.raises(UsageError) as error:
        model.set_params(n_component=2)
    assert error.value.code == "unknown_name"
    pipeline = make_pipeline(FunctionTransformer(), bench.estimator("pca", n_components=2))
    np.testing.assert_array_equal(
        pipeline.fit_transform(toy_counts.X), changed.fit_transform(toy_counts)
    )
    assert pipeline.transform(toy_counts.X[:4]).shape == (4, 2)


def test_inputs_are_columns_or_arrays(toy_counts: AnnData):
    types = toy_counts.obs["cell_type"].to_numpy()
    by_array = bench.estimator("truth").fit(toy_counts, labels=types)
    assert list(by_array.labels_) == list(types)
    for wrong, code in (("celltype", "missing_column"), (types[:5], "other_cells")):
        with pytest.raises(DataError) as error:
            bench.estimator("truth").fit(toy_counts, labels=wrong)
        assert error.value.code == code
    with pytest.raises(UsageError) as error:
        bench.estimator("truth").fit(toy_counts)
    assert error.value.code == "missing_input"


def test_a_type_may_be_missing_and_a_batch_may_not(toy_counts: AnnData):
    data = toy_counts.copy()
    data.obs["some"] = data.obs["cell_type"].astype(object).where(np.arange(data.n_obs) > 2)
    truth = bench.estimator("truth").fit(data, labels="some")
    assert set(truth.labels_) == {"", *data.obs["cell_type"]}
    for batch in ("some", data.obs["some"].to_numpy()):
        with pytest.raises(DataError) as error:
            bench.estimator("ae").fit(data, batch=batch)
        assert error.value.code == "missing_values"


def test_more_clusters_than_cells(toy_counts: AnnData):
    for number, code in ((61, "too_many_clusters"), (0, "invalid_value")):
        with pytest.raises(UsageError) as error:
            bench.estimator("pca").fit(toy_counts, n_clusters=number)
        assert error.value.code == code


def test_paired_data():
    data = SimMultiome(SimMultiome.Params(n_cells=60, n_genes=40, n_peaks=120)).load()
    model = bench.estimator("pca_lsi").fit(data, key_added="X_both")
    np.testing.assert_allclose(model.transform(data), model.embedding_, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(data.obsm["X_both"], model.embedding_, rtol=1e-5)
    with pytest.raises(DataError) as error:
        model.transform(data["rna"].copy())
    assert error.value.code == "wrong_modality"
    with pytest.raises(UsageError) as wrong:
        bench.estimator("pca_lsi").fit(data["rna"].copy())
    assert wrong.value.code == "wrong_modality"


def test_functions_that_a_method_lacks(toy_counts: AnnData, tmp_path: Path):
    model = bench.estimator("random").fit(toy_counts)
    for action, argument in (
        ("transform", toy_counts), ("impute", toy_counts), ("save", tmp_path), ("load", tmp_path),
    ):  # fmt: skip
        with pytest.raises(UsageError) as error:
            getattr(model, action)(argument)
        assert error.value.code == "not_supported"
