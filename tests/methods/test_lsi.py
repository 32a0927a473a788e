"""Latent semantic indexing against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.apply.estimator import Estimator
from bench.contract import ATAC
from bench.registry import methods


@pytest.fixture(scope="module")
def peaks() -> AnnData:
    """80 cells of two types and of very unequal depth × 120 peaks, 0 or 1."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.3, 1.0, size=(80, 1))
    chance = np.full((80, 120), 0.3)
    chance[::2, :40] = chance[1::2, 40:80] = 0.8
    return AnnData(sp.csr_matrix((rng.random((80, 120)) < chance * depth).astype(np.float32)))


def estimator(**params: object) -> Estimator:
    cls = methods().get("lsi")
    return Estimator(cls(cls.Params.build(params, owner="lsi")))


def test_is_its_formula(peaks: AnnData):
    fitted = estimator(n_components=4).fit(peaks, modality=ATAC)
    counts = peaks.X.toarray().astype(np.float64)
    term = counts / counts.sum(axis=1, keepdims=True)
    idf = len(counts) / counts.sum(axis=0)
    u, s, _ = np.linalg.svd(np.log1p(term * idf * 1e4), full_matrices=False)
    expected = u[:, 1:5] * s[1:5]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    signs = np.sign((fitted.embedding_ * expected).sum(axis=0))
    np.testing.assert_allclose(fitted.embedding_, expected * signs, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(fitted.embedding_, axis=1), 1.0, rtol=1e-5)


def test_each_part_can_be_switched_off(peaks: AnnData):
    counts = peaks.X.toarray().astype(np.float64)
    term = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    u, s, _ = np.linalg.svd(term, full_matrices=False)
    plain = estimator(n_components=4, idf=False, drop_first=False, unit_rows=False)
    found = plain.fit(peaks, modality=ATAC).embedding_
    expected = u[:, :4] * s[:4]
    expected *= np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_dropped_component_is_depth(peaks: AnnData):
    """The first component, not in the embedding, follows depth; the next one follows types."""
    fitted = estimator(n_components=4).fit(peaks, modality=ATAC)
    left, _, _ = np.linalg.svd(fitted.prepared_.X.toarray(), full_matrices=False)
    depth = np.asarray(peaks.X.sum(axis=1)).ravel()
    assert abs(np.corrcoef(left[:, 0], depth)[0, 1]) > 0.9
    assert abs(np.corrcoef(fitted.embedding_[:, 0], depth)[0, 1]) < 0.5
    assert abs(np.corrcoef(fitted.embedding_[:, 0], np.arange(80) % 2)[0, 1]) > 0.9


def test_fewer_components_than_asked(peaks: AnnData):
    fitted = estimator(n_components=100).fit(peaks, modality=ATAC)
    assert fitted.embedding_.shape == (80, 78)
    assert "78" in fitted.fit_.notes["n_components"]
