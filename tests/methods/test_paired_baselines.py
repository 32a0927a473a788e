"""Baselines of paired data against the mathematics, and beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contract import Context, Knowledge, pair_data, select_cells
from bench.execute.curves import Curves
from bench.methods._canonical_maps import canonical_pairs, ridge_regression
from bench.methods.cca import CCA
from bench.methods.detection_rate import DetectionRate
from bench.methods.pca_lsi import JointPCALSI
from bench.prepare.in_memory import describe_data, prepare_data


@pytest.fixture(scope="module")
def sim():
    """Return counts of both parts of 240 simulated cells of four clear types."""
    from bench.datasets.sim_multiome import SimMultiome

    size = {
        "n_cells": 300, "n_genes": 200, "n_peaks": 600, "n_types": 4, "separation": 1.5,
        "rna_depth": 300.0, "atac_depth": 3000.0, "link_spread": 1.0, "linked": 0.9,
    }  # fmt: skip
    return {
        part: SimMultiome.from_values(size | {"part": part}).load() for part in ("rna", "atac")
    }


def prepared(method, counts):
    """Return what the method is given."""
    data = pair_data(**counts)
    info = describe_data(data, name="sim", modality="multiome", has_batch=False)
    return prepare_data(data, method.recipe(info))


def fitted(cls, counts, tmp_path, n_train=225, **params):
    method = cls(cls.Params.build({"n_components": 10} | params if cls is not DetectionRate
                                  else params, owner=cls.name))  # fmt: skip
    data = prepared(method, counts)
    context = Context(
        seed=0, n_clusters=None, device="cpu", threads=1, knowledge=Knowledge(), report=Curves(),
        log=print, scratch=tmp_path,
    )  # fmt: skip
    train = select_cells(data, slice(n_train))
    return method, method.fit(train, context), data, train


def test_canonical_correlations_are_those_of_scikit_learn():
    from sklearn.cross_decomposition import CCA as Reference

    rng = np.random.default_rng(0)
    shared = rng.standard_normal((300, 3))
    x = shared @ rng.standard_normal((3, 6)) + rng.standard_normal((300, 6))
    y = shared @ rng.standard_normal((3, 4)) + rng.standard_normal((300, 4))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    found = canonical_pairs(x, y, 3, ridge=0.0)
    theirs = Reference(n_components=3, scale=False, max_iter=2000, tol=1e-10).fit(x, y)
    ours = x @ found.first, y @ found.second
    for mine, other in zip(ours, theirs.transform(x, y), strict=True):
        for number in range(3):
            same = np.corrcoef(mine[:, number], other[:, number])[0, 1]
            assert abs(same) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(ours[0].T @ ours[0] / 300, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(ours[0].T @ ours[1] / 300, np.diag(found.correlation), atol=1e-9)


def test_canonical_correlations_are_invariant_and_a_ridge_shrinks_them():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((100, 5))
    y = x[:, :4] @ rng.standard_normal((4, 4)) + rng.standard_normal((100, 4))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    plain = canonical_pairs(x, y, 4, ridge=0.0)
    turned = canonical_pairs(x @ rng.standard_normal((5, 5)), 7 * y, 4, ridge=0.0)
    np.testing.assert_allclose(turned.correlation, plain.correlation, atol=1e-9)
    swapped = canonical_pairs(y, x, 4, ridge=0.0)
    np.testing.assert_allclose(swapped.correlation, plain.correlation, atol=1e-9)
    assert (canonical_pairs(x, y, 4, ridge=1.0).correlation < plain.correlation).all()
    # A column without variance changes nothing; an empty block breaks nothing.
    wider = canonical_pairs(np.hstack([x, np.zeros((100, 1))]), y, 4, ridge=0.0)
    np.testing.assert_allclose(wider.correlation, plain.correlation, atol=1e-9)
    assert (canonical_pairs(0 * x, y, 4, ridge=0.1).correlation == 0).all()


def test_regression_is_ridge_regression():
    import scipy.sparse as sp
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(2)
    scores = rng.standard_normal((80, 5))
    scores -= scores.mean(axis=0)
    detected = sp.csr_matrix(rng.random((80, 7)) < 0.4).astype(float)
    alpha = 0.3 * (scores**2).sum(axis=0).mean()
    theirs = Ridge(alpha=alpha).fit(scores, detected.toarray())
    np.testing.assert_allclose(ridge_regression(scores, detected, 0.3), theirs.coef_.T, atol=1e-8)
    np.testing.assert_allclose(theirs.intercept_, detected.toarray().mean(axis=0), atol=1e-8)


@pytest.mark.parametrize("cls", [CCA, DetectionRate], ids=lambda cls: cls.name)
def test_a_loaded_method_matches_and_translates_alike(cls, sim, tmp_path):
    method, _, data, _ = fitted(cls, sim, tmp_path)
    method.save(tmp_path)
    loaded = cls(method.params)
    loaded.load(tmp_path)
    pairs = np.array([0, 5, 9]), np.array([0, 9, 5])
    np.testing.assert_allclose(loaded.match(data, *pairs), method.match(data, *pairs), atol=1e-5)
    parts = data["atac"], data["rna"]
    np.testing.assert_allclose(loaded.translate(*parts), method.translate(*parts), atol=1e-5)


def test_both_modalities_weigh_the_same(sim, tmp_path):
    _, fit, *_ = fitted(JointPCALSI, sim, tmp_path)
    variance = fit.embedding.var(axis=0)
    assert variance[:10].sum() == pytest.approx(1.0, abs=1e-4)
    assert variance[10:].sum() == pytest.approx(1.0, abs=1e-4)


def test_cca_matches_and_translates_unseen_cells_better_than_depth_and_rate(sim, tmp_path):
    from bench.scoring.metrics import metrics
    from bench.scoring.unseen_cells import UnseenCells, predict_unseen_cells, read_paired_tasks

    train = np.arange(300) < 225
    scores = {}
    for cls in (CCA, DetectionRate):
        method, _, data, _ = fitted(cls, sim, tmp_path)
        folder = tmp_path / cls.name
        predict_unseen_cells(method, UnseenCells(data, np.arange(300), train, "sim"), folder)
        job = {"method_name": cls.name, "facts": {"modality": "multiome"}}
        types = sim["rna"].obs["cell_type"].to_numpy(str)
        found = read_paired_tasks(job, folder, data.obs_names, types)
        assert found.missing == {}
        scores[cls.name] = {
            name: one.function(found)[0]
            for name, one in metrics().items() if one.kind == "paired"
        }  # fmt: skip
    cca, rate = scores["cca"], scores["detection_rate"]
    assert cca["match_auroc_easy"] > 0.85 > 0.65 > rate["match_auroc_easy"]
    assert cca["foscttm"] < 0.3 < rate["foscttm"]
    assert cca["translation_auroc_genes"] > 0.52
    assert cca["translation_auroc_cells"] > rate["translation_auroc_cells"]
    # The control is the baseline that stands beside every method.
    assert rate["translation_auroc_genes"] == 0.5
    for name in ("translation_auroc_cells", "translation_ap_genes", "recovery_auroc"):
        assert rate[name] == pytest.approx(rate[f"{name}_baseline"], abs=1e-6)


def test_the_graph_is_embedded_and_clustered_as_two_blocks():
    import scipy.sparse as sp

    from bench.methods._neighbor_graph import commute_time_embedding
    from bench.scoring.clustering import graph_communities

    block = np.ones((10, 10)) - np.eye(10)
    graph = np.zeros((20, 20))
    graph[:10, :10] = graph[10:, 10:] = block
    graph[0, 10] = graph[10, 0] = 0.1
    graph = sp.csr_matrix(graph)
    points, labels = commute_time_embedding(graph, 18, 0), graph_communities(graph, 1.0, 0)
    # Commute times from the inverse Laplacian, less what the one eigenvector left out adds.
    dense = graph.toarray()
    degree = dense.sum(axis=0)
    inverse = np.linalg.pinv(np.diag(degree) - dense)
    own = np.diag(inverse)
    commute = degree.sum() * (own[:, None] + own[None] - 2 * inverse)
    root = np.diag(1 / np.sqrt(degree))
    values, vectors = np.linalg.eigh(root @ dense @ root)
    last = (root @ vectors)[:, 0]
    left_out = degree.sum() / (1 - values[0]) * (last[:, None] - last[None]) ** 2
    distance = ((points[:, None] - points[None]).astype(float) ** 2).sum(axis=2)
    np.testing.assert_allclose(distance, commute - left_out, rtol=1e-3, atol=1e-3)
    assert commute[0, 15] > 5 * commute[0, 5]
    assert len(set(labels[:10])) == 1 == len(set(labels[10:]))
    assert labels[0] != labels[10]


@pytest.mark.slow
def test_wnn_finds_simulated_types(sim, tmp_path):
    from sklearn.metrics import adjusted_rand_score

    from bench.methods.wnn import WNN
    from bench.scoring.clustering import kmeans

    _, fit, _, _ = fitted(WNN, sim, tmp_path, n_train=300)
    types = sim["rna"].obs["cell_type"].to_numpy(str)
    # The fourth type has nine cells: whether k-means spends a mean on it, or halves the largest
    # type, depends on where it starts and on the last digits of the processor.
    large = types != "type4"
    for seed in range(3):
        found = kmeans(fit.embedding, 3, seed=seed)
        assert adjusted_rand_score(types[large], found[large]) > 0.8
    weights = fit.tables["modality_weights"]
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
