"""Singular vectors, independent components, factors and diffusion maps against known answers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from _method_data import fit_context, typed_counts
from anndata import AnnData
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.decomposition import FactorAnalysis

from bench.apply.estimator import Estimator
from bench.errors import DataError
from bench.registry import methods


def fitted(name: str, data: AnnData, **params: object):
    """Return the method, fitted on data as they are, and its result."""
    cls = methods().get(name)
    method = cls(cls.Params.build(params, owner=name))
    return method, method.fit(data, fit_context())


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the absolute correlation of each column of one with each of the other."""
    n = one.shape[1]
    return np.abs(np.corrcoef(one.T, other.T)[:n, n:])


def test_svd_is_that_of_numpy_and_keeps_zeros(toy_counts: AnnData):
    cls = methods().get("svd")
    found = Estimator(cls(cls.Params(n_components=3))).fit(toy_counts)
    values = found.prepared_.X
    assert sp.issparse(values)
    u, s, _ = np.linalg.svd(values.toarray().astype(np.float64), full_matrices=False)
    for number in range(3):
        score, expected = found.embedding_[:, number], u[:, number] * s[number]
        expected *= np.sign(score @ expected)
        np.testing.assert_allclose(score, expected, rtol=1e-3, atol=1e-4)


def test_independent_sources_are_found():
    rng = np.random.default_rng(0)
    sources = rng.laplace(size=(2000, 3))
    data = AnnData(sources @ rng.standard_normal((3, 8)))
    _, fit = fitted("ica", data, n_components=3)
    found = correlations(fit.embedding, sources)
    assert (found.max(axis=1) > 0.99).all()
    assert sorted(found.argmax(axis=1)) == [0, 1, 2]
    # The scale is what a component explains: together the variance of the data.
    assert fit.embedding.var(axis=0).sum() == pytest.approx(data.X.var(axis=0).sum(), rel=1e-2)


def test_independent_components_do_not_depend_on_the_order_of_the_cells():
    """The start is that of the seed: whitening that leaves signs open would change it."""
    data = typed_counts(90)
    order = np.random.default_rng(0).permutation(90)
    one = fitted("ica", data, n_components=10, max_iter=10)[1].embedding
    other = fitted("ica", data[order], n_components=10, max_iter=10)[1].embedding
    np.testing.assert_allclose(pdist(other), pdist(one[order]), atol=1e-3 * pdist(one).max())


def test_factors_are_those_of_scikit_learn_and_leave_noise_out():
    rng = np.random.default_rng(0)
    factors, loadings = rng.standard_normal((500, 2)), rng.standard_normal((2, 12))
    loadings[:, -1] = 0.0  # a gene of noise alone
    values = factors @ loadings + 0.5 * rng.standard_normal((500, 12))
    values = (values / values.std(axis=0)).astype(np.float32)
    _, fit = fitted("fa", AnnData(values), n_components=2, tol=1e-6, max_iter=500)
    model = FactorAnalysis(2, tol=1e-6, max_iter=500, svd_method="lapack")
    expected = model.fit_transform(values.astype(np.float64))
    # Up to a rotation: the same inner products.
    ours = fit.embedding @ fit.embedding.T
    assert np.abs(ours - expected @ expected.T).max() < 0.01 * np.abs(ours).max()
    assert correlations(fit.embedding, values[:, -1:]).max() < 0.2
    assert (correlations(factors, fit.embedding).max(axis=1) > 0.6).all()


def test_diffusion_components_follow_a_curve():
    angle = np.sort(np.random.default_rng(0).uniform(0, np.pi, 200))
    circle = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(200)]).astype(np.float32)
    _, fit = fitted("diffmap", AnnData(circle), n_components=2, n_diffusion=3)
    order = spearmanr(fit.embedding[:, 0], angle).statistic
    assert abs(order) > 0.99
    assert fit.embedding.shape == (200, 3)


@pytest.mark.parametrize("name", ["svd", "ica", "fa", "spectral", "lda", "cnmf"])
def test_new_cells_need_the_features_of_the_fit(name: str):
    cls = methods().get(name)
    found = Estimator(cls(cls.Params(n_components=3))).fit(typed_counts(60))
    with pytest.raises(DataError) as error:
        found.method.transform(found.prepared_[:, ::-1])
    assert error.value.code == "other_features"
