"""Controls for guided methods: values by hand, and rare cells found by their markers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import Context, Knowledge
from bench.methods._marker_pca import scale_genes
from bench.methods.marker_controls import MarkerPca, MarkerSum
from bench.scoring.metrics.rare_ap import rare_ap

RARE = {"rare": ("gene0", "gene1", "gene2")}


@pytest.fixture
def data() -> AnnData:
    """400 cells × 200 genes in log scale; 12 cells are high in three genes and alike elsewhere."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(1.0, 1.0, size=200) * np.ones((400, 1))
    rate[:, :3] = 0.05
    rate[:12, :3] = 2.0
    types = np.arange(400) % 4
    for number in range(4):
        rate[types == number, 50 + 20 * number : 70 + 20 * number] *= 3.0
    adata = AnnData(sp.csr_matrix(np.log1p(rng.poisson(rate)).astype(np.float32)))
    adata.var_names = [f"gene{number}" for number in range(200)]
    return adata


def context(markers: dict[str, tuple[str, ...]], scratch: Path) -> Context:
    return Context(
        0,
        None,
        "cpu",
        1,
        Knowledge(markers=markers),
        lambda *a, **k: None,
        lambda t: None,
        scratch,
    )


def test_the_marker_sum_is_the_sum(data, tmp_path: Path):
    method = MarkerSum(MarkerSum.Params())
    fit = method.fit(data, context(RARE | {"other": ("gene9",)}, tmp_path))
    values = data.X.toarray().astype(float)
    sums = np.column_stack([values[:, :3].sum(axis=1), values[:, 9]])
    np.testing.assert_allclose(fit.embedding, sums / sums.std(axis=0), rtol=1e-5)
    assert list(fit.tables["marker_sums"].columns) == ["rare", "other"]
    np.testing.assert_allclose(method.transform(data[:7]), fit.embedding[:7], rtol=1e-6)


def test_markers_lift_the_rare_cells(data, tmp_path: Path):
    rare = np.arange(400) < 12

    def found(embedding) -> float:
        return rare_ap(embedding, rare, None, seed=0)[0]

    assert found(MarkerSum(MarkerSum.Params()).fit(data, context(RARE, tmp_path)).embedding) > 0.8

    def components(weight: float) -> np.ndarray:
        method = MarkerPca(MarkerPca.Params(n_components=10, weight=weight, n_top_genes=100))
        return method.fit(data, context(RARE, tmp_path)).embedding

    assert found(components(1.0)) > 0.7
    assert found(components(1.0)) > found(components(1e-6)) + 0.3


def test_weight_is_the_ratio_of_variances(data, tmp_path: Path):
    method = MarkerPca(MarkerPca.Params(weight=0.5))
    method.fit(data, context(RARE, tmp_path))
    variance = scale_genes(data, method._arrays).var(axis=0)
    marked = np.isin(method._arrays["genes"], [0, 1, 2])
    # Values are clipped at ten standard deviations, which few of these reach.
    assert variance[marked].sum() / variance[~marked].sum() == pytest.approx(0.5, rel=0.02)
