"""The matrix-free spectral embedding against the whole matrix, and against SnapATAC2."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from bench.methods._cosine_laplacian import cosine_spectrum, embed


def open_peaks(n_cells: int = 90, n_peaks: int = 200) -> sp.csr_matrix:
    """Return binary peaks of three types of cells."""
    rng = np.random.default_rng(0)
    own = np.arange(n_cells)[:, None] % 3 == np.arange(n_peaks)[None, :] % 3
    return sp.csr_matrix(rng.random((n_cells, n_peaks)) < np.where(own, 0.3, 0.1), dtype=float)


def whole_embedding(values: sp.csr_matrix, n: int) -> np.ndarray:
    """Return the same from the dense matrix of similarities."""
    count = np.asarray((values > 0).sum(axis=0)).ravel()
    count = np.asarray((values > 0).sum(axis=0)).ravel()
    dense = values.toarray() * np.log(values.shape[0] / (1 + count))
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    similarity = dense @ dense.T
    np.fill_diagonal(similarity, 0.0)
    degree = similarity.sum(axis=1)
    values, vectors = np.linalg.eigh(similarity / np.sqrt(degree[:, None] * degree[None, :]))
    return vectors[:, ::-1][:, :n] * np.sqrt(values[::-1][:n])


def assert_same_up_to_sign(one: np.ndarray, other: np.ndarray) -> None:
    signs = np.sign((one * other).sum(axis=0))
    np.testing.assert_allclose(one, other * signs, atol=1e-5)


def test_the_matrix_of_similarities_is_never_needed():
    values = open_peaks()
    found = embed(values, cosine_spectrum(values, 6, seed=0))
    assert_same_up_to_sign(found, whole_embedding(values, 6))


def test_a_cell_that_is_like_no_other_has_zeros():
    values = open_peaks().tolil()
    values[0] = 0
    found = embed(values.tocsr(), cosine_spectrum(values.tocsr(), 6, seed=0))
    assert (found[0] == 0).all()
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_it_is_that_of_snapatac2():
    """With all peaks and weights by inverse frequency; figures in docs/extras.md."""
    snap = pytest.importorskip("snapatac2")
    from anndata import AnnData

    values = open_peaks(300, 600)
    expected = snap.tl.spectral(
        AnnData(values), n_comps=10, features=None, feature_weights=None, inplace=False,
        distance_metric="cosine", random_state=0,
    )  # fmt: skip
    found = embed(values, cosine_spectrum(values, 10, seed=0))
    assert_same_up_to_sign(found[:, :6], np.asarray(expected[1])[:, :6])
