"""NMF against scikit-learn, nimfa against its formula, and the scale of the factors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.optimize import nnls
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.contract import ATAC, RNA
from bench.errors import UsageError
from bench.methods._factors import initialize_factors, normalize_factors, solve_w
from bench.methods._nimfa import factorize_with_nimfa
from bench.registry import methods
from bench.seeds import derive_seed


def estimator(name: str, *presets: str, **params: object) -> Estimator:
    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(params, presets=presets, owner=name)))


@pytest.fixture(scope="module")
def small() -> sp.csr_matrix:
    """30 × 20, non-negative, a third of it zeros, float64."""
    rng = np.random.default_rng(0)
    dense = rng.random((30, 4)) @ rng.random((4, 20)) + 0.1 * rng.random((30, 20))
    return sp.csr_matrix(np.where(rng.random((30, 20)) < 0.35, 0.0, dense))


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"solver": "mu"},
        {"solver": "mu", "loss": "kullback-leibler"},
        {"init": "random", "alpha_w": 1e-3, "alpha_h": 1e-3, "l1_ratio": 0.5},
    ],
)
def test_is_scikit_learns(params: dict[str, object], toy_counts: AnnData):
    params = {"n_components": 3, "max_iter": 50, "normalize": False, **params}
    fitted = estimator("nmf", **params).fit(toy_counts, seed=4)
    assert sp.issparse(fitted.prepared_.X)
    model = NMF(
        3,
        init=params.get("init", "nndsvda"),
        solver=params.get("solver", "cd"),
        beta_loss=params.get("loss", "frobenius"),
        max_iter=50,
        alpha_W=params.get("alpha_w", 0.0),
        alpha_H=params.get("alpha_h", 0.0),
        l1_ratio=params.get("l1_ratio", 0.0),
        random_state=derive_seed(4, "nmf"),
    )
    np.testing.assert_allclose(fitted.embedding_, model.fit_transform(fitted.prepared_.X))
    loadings = fitted.fit_.tables["loadings"]
    np.testing.assert_allclose(loadings.to_numpy().T, model.components_)
    assert list(loadings.index) == list(fitted.prepared_.var_names)


def test_scale_of_the_components_does_not_matter():
    rng = np.random.default_rng(0)
    w, h = rng.random((50, 4)), rng.random((4, 30))
    w[7] = 0.0
    scale = np.array([1e-3, 0.5, 20.0, 1e4])
    one, other = normalize_factors(w, h), normalize_factors(w * scale, h / scale[:, None])
    np.testing.assert_allclose(one, other, rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(np.delete(one, 7, axis=0), axis=1), 1.0)
    assert not one[7].any()


def test_scale_moves_the_clusters():
    """Why it is removed: the same factorisation, scaled, gives other k-means clusters."""
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1, 2], 40)
    w = np.eye(3)[types] + 0.3 * rng.random((120, 3))
    w = np.column_stack([w, rng.random(120)])  # a component that says nothing about types
    h = rng.random((4, 30))
    scale = np.array([1.0, 1.0, 1.0, 50.0])
    scores = [
        adjusted_rand_score(types, KMeans(3, n_init=5, random_state=0).fit_predict(embedding))
        for embedding in (w, w * scale, normalize_factors(w * scale, h / scale[:, None]))
    ]
    assert scores[0] > 0.95
    assert scores[1] < 0.1
    assert scores[2] > 0.95


@pytest.mark.parametrize("name", ["nmf", "lsnmf"])
def test_chromatin_is_binarised_and_genes_are_not_centred(name: str, toy_counts: AnnData):
    peaks = estimator(name, n_components=3).fit(toy_counts, modality=ATAC).prepared_
    assert set(np.unique(peaks.X.data)) == {1.0}
    peaks = estimator(name, n_components=3, tfidf=True).fit(toy_counts, modality=ATAC).prepared_
    assert len(np.unique(peaks.X.data)) > 3
    genes = estimator(name, n_components=3).fit(toy_counts, modality=RNA).prepared_
    assert genes.X.data.min() > 0
    assert genes.X.dtype == np.float32


@pytest.mark.parametrize("name", ["nmf", "lsnmf"])
def test_types_are_found_and_factors_are_not_negative(name: str, toy_counts: AnnData):
    fitted = estimator(name, n_components=3).fit(toy_counts)
    assert fitted.embedding_.dtype == np.float32
    assert fitted.embedding_.min() >= 0
    assert fitted.fit_.tables["loadings"].to_numpy().min() >= 0
    np.testing.assert_allclose(np.linalg.norm(fitted.embedding_, axis=1), 1.0, rtol=1e-5)
    found = KMeans(3, n_init=10, random_state=0).fit_predict(fitted.embedding_)
    assert adjusted_rand_score(toy_counts.obs["cell_type"], found) > 0.9


@pytest.mark.parametrize("name", ["nmf", "lsnmf"])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_loaded_model_embeds_new_cells(
    name: str, normalize: bool, toy_counts: AnnData, tmp_path: Path
):
    params = {"n_components": 3, "tol": 1e-6, "max_iter": 2000, "normalize": normalize}
    fitted = estimator(name, **params).fit(toy_counts)
    fitted.method.save(tmp_path)
    other = estimator(name, **params)
    other.method.load(tmp_path)
    scale = fitted.embedding_.max()
    np.testing.assert_allclose(
        other.method.transform(fitted.prepared_), fitted.embedding_, atol=5e-3 * scale
    )
    few = other.method.transform(fitted.prepared_[[5, 2]])
    np.testing.assert_allclose(few, fitted.embedding_[[5, 2]], atol=5e-3 * scale)


def test_new_cells_are_least_squares(small: sp.csr_matrix):
    h = np.random.default_rng(1).random((4, 20))
    w = solve_w(small, h)
    expected = [nnls(h.T, row)[0] for row in small.toarray()]
    np.testing.assert_allclose(w, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["nmf", "lsnmf"])
def test_fewer_components_than_asked(name: str, toy_counts: AnnData):
    fitted = estimator(name, n_components=90, max_iter=3).fit(toy_counts)
    assert fitted.embedding_.shape == (60, 40)
    assert "40" in fitted.fit_.notes["n_components"]
    assert fitted.fit_.notes["iterations"] == "3, all, not converged"


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_faithful_preset_is_the_published_call(toy_counts: AnnData):
    """NMF(n_components=20, init='nndsvda', solver='mu') on the table as it is, W as it comes."""
    fitted = estimator("nmf", "faithful").fit(toy_counts, modality=ATAC)
    model = NMF(20, init="nndsvda", solver="mu", random_state=derive_seed(0, "nmf"))
    table = sp.csr_matrix(toy_counts.X, dtype=np.float32)
    assert table.max() > 1
    np.testing.assert_allclose(fitted.embedding_, model.fit_transform(table), rtol=1e-5)


@pytest.mark.parametrize(
    "params", [{"loss": "kullback-leibler"}, {"solver": "nimfa", "alpha_w": 0.1}]
)
def test_contradicting_parameters_raise(params: dict[str, object]):
    with pytest.raises(UsageError) as error:
        estimator("nmf", **params)
    assert error.value.code == "invalid_value"


def test_starts(small: sp.csr_matrix):
    for init in ("nndsvda", "random", "random_vcol"):
        w, h = initialize_factors(small, 4, init, 0)
        assert (w.shape, h.shape) == ((30, 4), (4, 20))
        assert min(w.min(), h.min()) >= 0
        for one, again in zip((w, h), initialize_factors(small, 4, init, 0), strict=True):
            np.testing.assert_array_equal(one, again)
    dense = small.toarray()  # the means of columns lie between their extremes
    w, h = initialize_factors(small, 4, "random_vcol", 0)
    assert np.all(w <= dense.max(axis=1, keepdims=True))
    assert np.all(h <= dense.max(axis=0))
    assert w.mean() == pytest.approx(dense.mean(), rel=0.2)


def test_nimfa_euclidean_iteration(small: sp.csr_matrix):
    """Lee and Seung 2001, equation 4: first H, then W with the new H."""
    v = small.toarray()
    w0, h0 = initialize_factors(small, 4, "random", 0)
    kept = w0.copy(), h0.copy(), v.copy()
    w, h, n_iter = factorize_with_nimfa(
        "Nmf", v, w0, h0, max_iter=1, update="euclidean", objective="fro"
    )
    h1 = h0 * (w0.T @ v) / (w0.T @ w0 @ h0)
    w1 = w0 * (v @ h1.T) / (w0 @ h1 @ h1.T)
    np.testing.assert_allclose(h, h1, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(w, w1, rtol=1e-8, atol=1e-12)
    assert n_iter == 1
    for before, after in zip(kept, (w0, h0, v), strict=True):
        np.testing.assert_array_equal(before, after)


def test_nimfa_divergence_iteration_leaves_zeros_alone(small: sp.csr_matrix):
    """Lee and Seung 2001, equation 5; nimfa itself would write into the caller's zeros."""
    v = small.toarray()
    before = v.copy()
    w0, h0 = initialize_factors(small, 4, "random", 0)
    w, h, _ = factorize_with_nimfa(
        "Nmf", v, w0, h0, max_iter=1, update="divergence", objective="div"
    )
    h1 = h0 * (w0.T @ (v / (w0 @ h0))) / w0.sum(axis=0)[:, None]
    w1 = w0 * ((v / (w0 @ h1)) @ h1.T) / h1.sum(axis=1)
    np.testing.assert_allclose(h, h1, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(w, w1, rtol=1e-6, atol=1e-10)
    np.testing.assert_array_equal(v, before)


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_nimfa_through_the_method(loss: str, toy_counts: AnnData):
    params = {"solver": "nimfa", "loss": loss, "n_components": 3, "init": "random"}
    fitted = estimator("nmf", **params).fit(toy_counts)
    assert type(fitted.embedding_) is np.ndarray
    found = KMeans(3, n_init=10, random_state=0).fit_predict(fitted.embedding_)
    assert adjusted_rand_score(toy_counts.obs["cell_type"], found) > 0.9


def test_numpy_is_left_as_it_was(toy_counts: AnnData):
    assert not hasattr(np, "mat")
    estimator("nmf", solver="nimfa", n_components=3, max_iter=2).fit(toy_counts)
    assert not hasattr(np, "mat")
    with pytest.raises(ValueError, match="not aligned"):  # H has too many rows
        factorize_with_nimfa("Nmf", np.ones((4, 3)), np.ones((4, 2)), np.ones((3, 2)), max_iter=2)
    assert not hasattr(np, "mat")


@pytest.mark.parametrize("name", ["nmf", "lsnmf"])
def test_nimfa_missing(name: str, toy_counts: AnnData, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "nimfa", None)
    with pytest.raises(UsageError) as error:
        estimator(name, solver="nimfa").fit(toy_counts)
    assert error.value.code == "missing_package"
    assert methods().entry(name).unavailable == ""
