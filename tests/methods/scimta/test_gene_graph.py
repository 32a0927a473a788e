"""Imputation, gene graph and interpretation of scIMTA on data whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from bench.methods.scimta import gene_graph as genes
from bench.methods.scimta.cell_graph import neighbors, principal_components
from bench.methods.scimta.imputation import find_rank, low_rank_imputation


def log_normalized(counts: np.ndarray) -> sp.csr_matrix:
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return sp.csr_matrix(np.log1p(counts / totals * 1e4))


def planted(seed: int = 0) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray]:
    """Return counts of 1,500 cells × 600 genes at 3 % density, depth, and 6 modules of 40."""
    rng = np.random.default_rng(seed)
    truth = np.full(600, -1)
    truth[:240] = np.repeat(np.arange(6), 40)
    activity = 1.3 * rng.normal(size=(1500, 6)) - 1.3**2 / 2
    log_rate = np.where(truth >= 0, activity[:, truth], 0.0)
    base = rng.gamma(2.0, 0.5, 600) * 0.03
    depth = rng.lognormal(0.0, 0.3, 1500)
    counts = rng.poisson(np.exp(log_rate) * base * depth[:, None])
    totals = counts.sum(axis=1)
    return sp.csr_matrix(counts.astype(float)), totals / np.median(totals), truth


def test_imputation_keeps_true_zeros_and_fills_dropouts():
    rng = np.random.default_rng(0)
    profile = rng.gamma(2.0, 1.0, (6, 600))
    profile[rng.random((6, 600)) < 0.5] = 0
    profile /= profile.sum(axis=1, keepdims=True)
    rate = rng.lognormal(np.log(800), 0.3, 1500)[:, None] * profile[np.arange(1500) % 6]
    counts = rng.poisson(rate)
    done = low_rank_imputation(log_normalized(counts), seed=0)
    assert (done.rank, done.by_gap) == (6, True)
    kept = done.rows(slice(None)) == 0
    assert kept[rate == 0].mean() >= 0.99
    assert (~kept)[(rate > 0) & (counts == 0)].mean() >= 0.6
    assert not kept[counts > 0].any()


def test_imputed_values_have_the_moments_of_what_was_observed():
    rng = np.random.default_rng(0)
    rate = np.array([[3.0] * 20 + [0.0] * 20, [0.0] * 20 + [3.0] * 20])[np.arange(200) % 2]
    values = log_normalized(rng.poisson(rate))
    filled = low_rank_imputation(values, seed=0).values.toarray()
    gene, found = values[:, 3].toarray().ravel(), filled[:, 3]
    assert found[found > 0].mean() == pytest.approx(gene[gene > 0].mean(), rel=0.02)
    assert found[found > 0].std() == pytest.approx(gene[gene > 0].std(), rel=0.05)
    assert (filled >= 0).all()


def test_rank_of_few_cells_and_of_noise():
    noise = sp.csr_matrix(np.random.default_rng(0).random((30, 40)))
    rank, by_gap = find_rank(noise, seed=0, threshold=1e6)
    assert (rank, by_gap) == (7, False)
    assert find_rank(noise[:2], seed=0, threshold=6.0) == (1, False)
    for few in (noise[:2], noise[:, :1], sp.csr_matrix((5, 4))):
        assert np.isfinite(low_rank_imputation(few, seed=0).values.data).all()


@pytest.mark.slow
def test_thinned_counts_of_real_cells_are_recovered(data_dir: Path):
    """Held-out counts where nothing was left: better than by gene means and by neighbours.

    All start from the same log values. By squared error, by correlation over all such entries, and
    by correlation over cells within a gene. Imputed entries as published, with the moments of what
    was observed above zero, are better within genes only: they are no expected values.
    """
    import anndata

    whole = sp.csr_matrix(anndata.read_h5ad(data_dir / "pbmc3k.h5ad").X)[::2]
    common = np.flatnonzero(np.asarray((whole > 0).mean(axis=0)).ravel() > 0.15)
    counts = np.rint(whole[:, common].toarray()).astype(int)
    kept = np.random.default_rng(0).binomial(counts, 0.8)
    held_out, values = counts - kept, log_normalized(kept)
    dense = values.toarray()
    done = low_rank_imputation(values, seed=0)
    scores = (dense - dense.mean(axis=0)) / dense.std(axis=0)
    near = neighbors(
        principal_components(scores, 50, 0), 15, metric="euclidean", seed=0, parity=True
    )
    share = kept / kept.sum(axis=1, keepdims=True)
    rivals = {
        "gene means": np.tile(kept.sum(axis=0) / kept.sum(), (len(kept), 1)),
        "mean log values of neighbours": np.expm1(np.asarray(near @ dense) / 15),
        "mean shares of neighbours": np.asarray(near @ share),
    }
    zero = kept == 0

    def quality(predicted: np.ndarray) -> tuple[float, float, float]:
        """Return the negative squared error, the correlation, and that within genes."""
        expected = predicted / predicted.sum(axis=1, keepdims=True)
        expected = expected * held_out.sum(axis=1, keepdims=True)
        within = []
        for gene in range(dense.shape[1]):
            both = expected[zero[:, gene], gene], held_out[zero[:, gene], gene]
            if zero[:, gene].any() and min(both[0].std(), both[1].std()) > 0:
                within.append(np.corrcoef(*both)[0, 1])
        error = np.square(expected[zero] - held_out[zero]).mean()
        over_all = np.corrcoef(expected[zero], held_out[zero])[0, 1]
        return -float(error), float(over_all), float(np.mean(within))

    ours = quality(np.expm1(done.expected(slice(None))))
    published = quality(np.expm1(done.rows(slice(None))))
    for name, predicted in rivals.items():
        other = quality(predicted)
        assert all(a > b for a, b in zip(ours, other, strict=True)), name
        assert published[2] > other[2], name


def test_residuals_of_a_poisson_gene_have_unit_variance():
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0.0, 0.5, 2000)
    counts = sp.csr_matrix(rng.poisson(depth[:, None] * np.full(5, 2.0)).astype(float))
    found = genes.pearson_residuals(counts, depth, theta=1e9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(found.var(axis=0), 1, atol=0.1)
    assert np.abs(found).max() <= np.sqrt(2000)
    # Depth alone correlates no genes.
    assert abs(np.corrcoef(found.T)[np.triu_indices(5, 1)]).max() < 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_modules_are_found_better_than_by_kmeans(seed: int):
    counts, depth, truth = planted(seed)
    residuals = genes.pearson_residuals(counts, depth)
    graph = genes.gene_graph(residuals, k=10, power=6, max_rank=50, seed=0)
    found = genes.gene_modules(graph.adjacency, resolution=1.0, smallest=10, seed=0)
    assert graph.rank == 6
    assert found.max() + 1 == 6
    assert (found[240:] == -1).mean() > 0.9
    centred = residuals - residuals.mean(axis=0)
    _, strengths, right = np.linalg.svd(centred, full_matrices=False)
    by_kmeans = KMeans(7, n_init=5, random_state=0).fit_predict(right[:6].T * strengths[:6])
    ours, other = (adjusted_rand_score(truth, labels) for labels in (found, by_kmeans))
    planted_only = [
        adjusted_rand_score(truth[:240], labels[:240]) for labels in (found, by_kmeans)
    ]
    assert ours > 0.8
    assert ours >= other
    assert planted_only[0] > planted_only[1] + 0.05


def test_noise_has_no_modules():
    counts = sp.csr_matrix(np.random.default_rng(0).poisson(0.5, (300, 120)).astype(float))
    residuals = genes.pearson_residuals(counts, np.ones(300))
    graph = genes.gene_graph(residuals, k=10, power=6, max_rank=50, seed=0)
    assert (graph.adjacency != graph.adjacency.T).nnz == 0
    assert (graph.adjacency.diagonal() == 0).all()
    found = genes.gene_modules(graph.adjacency, resolution=1.0, smallest=60, seed=0)
    assert (found == -1).all()


def test_eigengenes_and_membership():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=400)
    residuals = rng.normal(size=(400, 9)).astype(np.float32)
    residuals[:, :4] += 2 * factor[:, None].astype(np.float32)
    community = np.array([0] * 4 + [1] * 3 + [-1] * 2)
    eigen = genes.eigengenes(residuals, community, 3)
    assert np.corrcoef(eigen[:, 0], factor)[0, 1] > 0.9
    assert (eigen[:, 2] == 0).all()
    belongs = genes.membership(residuals, community, eigen)
    expected = np.corrcoef(residuals[:, 0], eigen[:, 0])[0, 1]
    assert belongs[0] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(belongs[7:]).all()


def test_interpretation_links_clusters_and_communities():
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1, 1], 50)
    eigen = rng.normal(size=(150, 2))
    eigen[:50, 0] += 2
    table = pd.DataFrame(
        {"community": ["community1", "community1", "unassigned", "community2"],
         "membership": [0.5, 0.9, 0.1, 0.4], "variance": [1.0, 1.0, 9.0, 1.0]},
        index=["a", "b", "c", "d"],
    )  # fmt: skip
    found = genes.interpretation(eigen, cluster, np.arange(6.0).reshape(3, 2), table)
    assert len(found) == 4  # the third cluster has no cells
    first = found.iloc[0]
    assert first["community"] == "community1"
    assert first["genes"] == "b a"
    row = found[(found["cluster"] == "cluster1") & (found["community"] == "community1")].iloc[0]
    assert row["effect"] == pytest.approx(eigen[:50, 0].mean() - eigen[50:, 0].mean())
    expected = stats.mannwhitneyu(eigen[:50, 0], eigen[50:, 0])
    assert row["auroc"] == pytest.approx(expected.statistic / 5000)
    assert row["fdr"] >= expected.pvalue
    assert row["affinity"] == 0
    assert found["auroc"].sub(0.5).abs().is_monotonic_decreasing
    one_cluster = genes.interpretation(eigen, np.zeros(150, int), np.zeros((1, 2)), table)
    assert one_cluster.empty
