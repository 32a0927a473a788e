"""Principal components against NumPy's SVD, and their UMAP."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.apply.estimator import Estimator
from bench.contract import ATAC, RNA
from bench.registry import methods


def estimator(name: str, **params: object) -> Estimator:
    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(params, owner=name)))


@pytest.mark.parametrize("modality", [RNA, ATAC])
def test_scores_are_those_of_the_svd(modality: str, toy_counts: AnnData):
    """Dense for RNA, sparse and centred on the fly for chromatin; up to the sign."""
    fitted = estimator("pca", n_components=3).fit(toy_counts, modality=modality)
    values = fitted.prepared_.X
    dense = (values.toarray() if sp.issparse(values) else values).astype(np.float64)
    u, s, vt = np.linalg.svd(dense - dense.mean(axis=0), full_matrices=False)
    for number in range(3):
        score, expected = fitted.embedding_[:, number], u[:, number] * s[number]
        sign = np.sign(score @ expected)
        np.testing.assert_allclose(score, sign * expected, rtol=1e-3, atol=1e-4)
        loading = fitted.fit_.tables["loadings"][f"PC{number + 1}"]
        np.testing.assert_allclose(loading, sign * vt[number], rtol=1e-3, atol=1e-4)
    share = (s[:3] ** 2).sum() / (s**2).sum()
    assert float(fitted.fit_.notes["variance explained"]) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("modality", [RNA, ATAC])
def test_kept_model_embeds_alike(modality: str, toy_counts: AnnData, tmp_path: Path):
    fitted = estimator("pca", n_components=5).fit(toy_counts, modality=modality)
    fitted.method.save(tmp_path)
    other = estimator("pca", n_components=5)
    other.method.load(tmp_path)
    for model in (fitted, other):
        scores = model.transform(fitted.prepared_)
        np.testing.assert_allclose(scores, fitted.embedding_, rtol=1e-4, atol=1e-4)
    few = other.transform(fitted.prepared_[7:9])
    np.testing.assert_allclose(few, fitted.embedding_[7:9], rtol=1e-4, atol=1e-4)


def test_fewer_components_than_asked(toy_counts: AnnData):
    fitted = estimator("pca").fit(toy_counts)
    assert fitted.embedding_.shape == (60, 39)
    assert "39" in fitted.fit_.notes["n_components"]
    assert "n_components" not in estimator("pca", n_components=39).fit(toy_counts).fit_.notes


def test_seed_moves_rounding_only(toy_counts: AnnData):
    one, again, other = (
        estimator("pca", n_components=3).fit(toy_counts, seed=seed).embedding_
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(np.abs(one), np.abs(other), rtol=1e-3, atol=1e-4)


@pytest.mark.slow  # umap-learn compiles for half a minute
def test_umap_is_seeded_and_leaves_global_state_alone(toy_counts: AnnData):
    np.random.seed(5)  # noqa: NPY002 - the global state is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        one, again = (
            estimator("pca_umap", n_components=10).fit(toy_counts, seed=1).embedding_
            for _ in range(2)
        )
    np.testing.assert_array_equal(one, again)
    assert one.shape == (60, 2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
