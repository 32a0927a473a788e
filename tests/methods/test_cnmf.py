"""Consensus programmes against a planted answer and the authors' program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from _method_data import fit_context, typed_counts
from anndata import AnnData

from bench.execute.curves import Curves
from bench.methods._consensus import find_consensus
from bench.registry import methods

CNMF: Any = methods().get("cnmf")


def replicated(rank: int = 4, n_replicates: int = 20, n_genes: int = 50) -> np.ndarray:
    """Return programmes of replicates, nearly alike, with one outlier in each tenth."""
    rng = np.random.default_rng(0)
    programmes = rng.dirichlet(np.full(n_genes, 0.3), rank)
    rows = np.vstack([programmes + rng.uniform(0, 0.002, programmes.shape)] * n_replicates)
    rows = rows * rng.uniform(0.5, 2.0, (len(rows), 1))
    rows[::10] = rng.dirichlet(np.full(n_genes, 0.1), len(rows[::10]))
    return rows


def test_outliers_are_dropped_and_groups_are_medians():
    rows = replicated()
    found = find_consensus(rows, 4, 6, 0.5, seed=0)
    assert found.n_outliers == len(rows[::10])
    assert found.stability > 0.9
    np.testing.assert_allclose(found.programmes.sum(axis=1), 1)
    kept = np.delete(rows, np.s_[::10], axis=0)
    kept = kept / np.linalg.norm(kept, axis=1, keepdims=True)
    for programme in found.programmes:
        near = np.linalg.norm(kept - programme / np.linalg.norm(programme), axis=1) < 0.2
        median = np.median(kept[near], axis=0)
        np.testing.assert_allclose(programme, median / median.sum(), atol=1e-6)


def test_too_few_programmes_without_outliers_are_all_kept():
    rows = np.random.default_rng(0).dirichlet(np.full(30, 0.1), 12)
    assert find_consensus(rows, 4, 1, 1e-6, seed=0).n_outliers == 0


def test_types_are_programmes():
    data = typed_counts(90)
    curves = Curves()
    method = CNMF(CNMF.Params(n_components=3, n_replicates=4))
    fit = method.fit(data, fit_context(curves))
    np.testing.assert_allclose(fit.embedding.sum(axis=1), 1, rtol=1e-5)
    top = fit.embedding.argmax(axis=1)
    assert len(set(zip(data.obs["cell_type"], top, strict=True))) == 3
    assert len(curves.values["loss"]) == 4
    assert 0 < curves.values["loss"][-1] < 0.5
    np.testing.assert_allclose(method.transform(data[5:9]), fit.embedding[5:9], atol=1e-3)


@pytest.mark.slow
def test_the_authors_program_finds_the_same(tmp_path):
    """Its consensus on its own replicates against ours on them; figures in docs/extras.md."""
    cnmf = pytest.importorskip("cnmf")
    data = typed_counts(120, 80, 4)
    counts = tmp_path / "counts.h5ad"
    AnnData(sp.csr_matrix(data.X), obs=data.obs, var=data.var).write_h5ad(counts)
    program = cnmf.cNMF(output_dir=str(tmp_path), name="test")
    program.prepare(str(counts), components=[4], n_iter=20, seed=1, num_highvar_genes=80)
    program.factorize()
    program.combine()
    program.consensus(4, density_threshold=0.5, show_clustering=False)
    merged = np.load(program.paths["merged_spectra"] % 4, allow_pickle=True)["data"]
    theirs = np.load(
        program.paths["consensus_spectra"] % (4, "0_5"), allow_pickle=True
    )["data"]  # fmt: skip
    ours = find_consensus(np.asarray(merged, float), 4, 6, 0.5, seed=1).programmes
    nearest = np.abs(ours[:, None, :] - theirs[None, :, :]).max(axis=2)
    np.testing.assert_allclose(nearest.min(axis=1), 0, atol=1e-8)
