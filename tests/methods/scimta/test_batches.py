"""Batches in scMGCA, scTAG and scIMTA."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from bench.apply.estimator import Estimator
from bench.contract import RNA, DatasetInfo
from bench.errors import DataError
from bench.methods.scimta.cell_graph import balanced_neighbors
from bench.methods.scimta.encoder_inputs import z_scores
from bench.registry import methods

NAMES = ["scmgca", "sctag", "scimta"]
JOINT_FIRST = [
    "scimta",
    *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != "scimta"),
]
"""The other two, which share most code with it, take part in `make test-all`."""


@pytest.fixture(scope="module")
def two_batches() -> tuple[AnnData, np.ndarray, np.ndarray]:
    """Return counts of two types in two batches that shift half of the genes, types, batches."""
    rng = np.random.default_rng(0)
    types, batch = np.arange(160) % 2, np.arange(160) // 80
    rate = np.where(types[:, None] == np.arange(60)[None, :] % 2, 4.0, 1.0)
    rate[batch == 1] *= rng.choice([0.3, 3.0], 60)
    adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    return adata, types, np.array(["first", "second"])[batch]


def mixing(embedding: np.ndarray, batch: np.ndarray) -> float:
    """Return the share of the 15 nearest neighbours that are of the other batch."""
    search = NearestNeighbors(n_neighbors=16).fit(embedding)
    near = search.kneighbors(embedding, return_distance=False)[:, 1:]
    return float((batch[near] != batch[:, None]).mean())


@pytest.mark.parametrize("name", JOINT_FIRST)
def test_batches_are_mixed_and_types_kept(name: str, two_batches):
    data, types, batch = two_batches
    cls = methods().get(name)
    found = {}
    for how in ("ignored", "scaled", "corrected"):
        values = {"batches": how, "pretrain_epochs": 30, "max_epochs": 10}
        method = cls(cls.Params.build(values, owner=name))
        assert ("batch" in method.may_use()) == (how != "ignored")
        done = Estimator(method).fit(data, n_clusters=2, batch=batch)
        found[how] = done, mixing(done.embedding_, batch)
    assert found["ignored"][1] < 0.1
    assert found["scaled"][1] > 0.3
    assert found["corrected"][1] > 0.3
    for how in ("scaled", "corrected"):
        labels = found[how][0].own_labels_["self_trained"]
        assert adjusted_rand_score(types, labels) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_cell_is_refused(name: str, two_batches):
    data, _, batch = two_batches
    lonely = batch.astype(object)
    lonely[7] = "third"
    cls = methods().get(name)
    params = cls.Params.build({"batches": "scaled"}, owner=name)
    with pytest.raises(DataError) as error:
        Estimator(cls(params)).fit(data, n_clusters=2, batch=lonely.astype(str))
    assert error.value.code == "batch_of_one_cell"


@pytest.mark.parametrize("name", NAMES)
def test_features_are_chosen_within_batches(name: str):
    info = DatasetInfo("x", RNA, 500, 5000, False, True, True, 3000.0, 0.1)
    cls = methods().get(name)
    recipe = cls(cls.Params.build({"batches": "scaled"}, owner=name)).recipe(info)
    assert recipe.batch_aware
    assert not recipe.scale
    assert not cls(cls.Params()).recipe(info).batch_aware


def test_scores_have_no_mean_in_any_batch():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 3)) + np.repeat([0.0, 5.0], 20)[:, None]
    values[:, 2] = 1.0
    found = z_scores(values, np.repeat(["a", "b"], 20), owner="scmgca")
    for rows in (slice(0, 20), slice(20, 40)):
        np.testing.assert_allclose(found[rows].mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(found[rows].std(axis=0), [1, 1, 0], atol=1e-6)
    assert abs(z_scores(values, None, owner="scmgca")[:20].mean(axis=0)[0]) > 0.5


def test_neighbours_come_from_every_batch():
    rng = np.random.default_rng(0)
    batch = np.repeat(["a", "b", "c"], [30, 30, 3])
    points = rng.normal(size=(63, 4)) + 50.0 * (batch == "b")[:, None]
    found = balanced_neighbors(points, 13, batch, metric="euclidean")
    assert (found != found.T).nnz == 0
    assert (found.diagonal() == 0).all()
    for name, fewest in (("a", 4), ("b", 4), ("c", 2)):
        assert (np.asarray(found[:, batch == name].sum(axis=1)) >= fewest).all()
