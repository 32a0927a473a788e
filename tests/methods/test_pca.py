"""Principal components against NumPy's SVD, and their UMAP."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

from bench.apply.estimator import Estimator
from bench.contract import ATAC, RNA
from bench.errors import DataError
from bench.methods import _covariance, pca
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


def test_components_of_many_cells_are_those_of_the_solver(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(900, 8)) @ rng.normal(size=(8, 40))).astype(np.float32)
    values += rng.normal(size=values.shape).astype(np.float32) + 0.5
    model, scores = pca.decompose(values, 6, seed=0)
    np.save(tmp_path / "values.npy", values)
    monkeypatch.setattr(pca, "MANY_CELLS", 899)
    monkeypatch.setattr(_covariance, "_ROWS", 128)
    in_file = np.load(tmp_path / "values.npy", mmap_mode="r")
    blocked, blocked_scores = pca.decompose(in_file, 6, seed=0)
    np.testing.assert_allclose(blocked_scores, scores, atol=1e-3)
    names = ("components_", "mean_", "explained_variance_ratio_", "singular_values_")
    for name in names:
        np.testing.assert_allclose(getattr(blocked, name), getattr(model, name), rtol=1e-3)
    np.testing.assert_allclose(blocked.transform(values), scores, atol=1e-3)


@pytest.mark.slow
def test_dense_data_in_a_file_are_not_copied(tmp_path):
    """Components and an epoch of training over 320 MB take less than a third in memory.

    Of the epoch, whose rows are read at random, only memory of its own counts: how many pages of
    the file the kernel maps beside a row is up to the kernel.
    """
    n_cells, n_genes = 80_000, 1000
    path = tmp_path / "values.npy"
    written = np.lib.format.open_memmap(path, "w+", np.float32, (n_cells, n_genes))
    rng = np.random.default_rng(0)
    for start in range(0, n_cells, 8000):
        written[start : start + 8000] = rng.normal(size=(8000, n_genes))
    written.flush()
    del written
    program = f"""
import numpy as np, torch
from pathlib import Path
from anndata import AnnData
from bench.methods.nn.batches import Cells
from bench.methods.pca import decompose
def mib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
decompose(np.ones((20, 5), np.float32) * np.arange(20)[:, None], 2, 0)
data = AnnData(np.load({str(path)!r}, mmap_mode="r"))
before = mib("VmHWM")
decompose(data.X, 10, 0)
components = mib("VmHWM") - before
before = mib("RssAnon")
cells = Cells(data, counts=False, device="cpu")
rows = np.random.default_rng(0).permutation({n_cells})
epoch = max(mib("RssAnon") - before for block in cells.blocks(rows, 64) if len(block))
print(max(components, epoch))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert float(done.stdout) < 110


def test_fewer_components_than_asked(toy_counts: AnnData):
    fitted = estimator("pca").fit(toy_counts)
    assert fitted.embedding_.shape == (60, 39)
    assert "39" in fitted.fit_.notes["n_components"]
    assert "n_components" not in estimator("pca", n_components=39).fit(toy_counts).fit_.notes


@pytest.mark.parametrize("name", ["pca", "nmf", "lsnmf", "lsi"])
def test_other_features_are_refused(name: str, toy_counts: AnnData):
    modality = ATAC if name == "lsi" else RNA
    fitted = estimator(name, n_components=3).fit(toy_counts, modality=modality)
    with pytest.raises(DataError) as error:
        fitted.method.transform(fitted.prepared_[:, ::-1])
    assert error.value.code == "other_features"


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


def test_scale_off_leaves_logarithms(toy_counts: AnnData):
    plain = estimator("pca", n_components=3, scale=False).fit(toy_counts).prepared_.X
    values = plain.toarray() if sp.issparse(plain) else plain
    assert values.min() >= 0
    assert values.std(axis=0).max() != pytest.approx(1, abs=0.05)


def test_pearson_residuals_are_those_of_scanpy(toy_counts: AnnData):
    fitted = estimator("pearson_pca", n_components=3).fit(toy_counts)
    expected = sc.experimental.pp.normalize_pearson_residuals(
        fitted.prepared_, inplace=False
    )["X"]  # fmt: skip
    centred = expected - expected.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    for number in range(3):
        score, wanted = fitted.embedding_[:, number], u[:, number] * s[number]
        np.testing.assert_allclose(score, np.sign(score @ wanted) * wanted, rtol=1e-3, atol=1e-3)


def test_pearson_residuals_of_new_cells_are_those_of_the_fit(toy_counts: AnnData):
    fitted = estimator("pearson_pca", n_components=3, n_top_genes=20).fit(toy_counts)
    assert fitted.fit_.tables["loadings"].shape == (20, 3)
    again = fitted.method.transform(fitted.prepared_[5:9])
    np.testing.assert_allclose(again, fitted.embedding_[5:9], rtol=1e-4, atol=1e-4)
