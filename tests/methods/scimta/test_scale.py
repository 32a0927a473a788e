"""scIMTA in parts: merged parts against all cells at once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from _method_data import fit_context
from anndata import AnnData
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.datasets.sim_rna import SimRNA
from bench.errors import DataError
from bench.methods.scimta import approximate_neighbors, cell_graph, imputation, joint_fit
from bench.methods.scimta.batches import Batches, edges_within, encode_all, partition
from bench.methods.scimta.cell_graph import neighbors, plain_graph, surfing_graph
from bench.methods.scimta.cell_model import CellData
from bench.methods.scimta.encoder_inputs import (
    DenseInputs,
    SparseInputs,
    principal_components,
    z_scores,
)
from bench.methods.scimta.imputation import low_rank_imputation
from bench.methods.scimta.training import weighted
from bench.prepare.in_memory import describe_counts, prepare_counts
from bench.registry import methods

NAMES = ["scmgca", "sctag", "scimta"]
JOINT_FIRST = [
    "scimta",
    *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != "scimta"),
]
"""The other two, which share most code with it, take part in `make test-all`."""


@pytest.fixture(scope="module")
def simulated() -> AnnData:
    return SimRNA(SimRNA.Params(n_cells=600, n_features=300, n_types=4, separation=1.6)).load()


@pytest.fixture(scope="module")
def values() -> sp.csr_matrix:
    """Return log values of 130 cells × 40 genes, one of them silent, one constant."""
    counts = np.random.default_rng(0).poisson(0.7, (130, 40)).astype(float)
    counts[:, 3], counts[:, 4] = 0.0, 2.0
    return sp.csr_matrix(np.log1p(counts))


def fitted(name: str, data: AnnData, **values) -> Estimator:
    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(values, owner=name))).fit(data, n_clusters=4)


@pytest.mark.parametrize(("n", "n_parts"), [(600, 7), (601, 64), (5, 9), (40, 1)])
def test_parts_cover_every_cell_once_and_are_balanced(n: int, n_parts: int):
    points = np.random.default_rng(0).normal(size=(n, 6))
    parts = partition(points, n_parts)
    assert len(parts) == min(n, n_parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(
        np.concatenate(parts), np.concatenate(partition(points, n_parts))
    )


def test_parts_follow_the_graph():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 5)) + 8.0 * rng.normal(size=(8, 5))[np.arange(400) % 8]
    graph = neighbors(points, 10, metric="euclidean", seed=0)
    by_chance = np.array_split(rng.permutation(400), 8)
    assert edges_within(graph, partition(points, 8)) > 3 * edges_within(graph, by_chance)
    assert edges_within(graph, [np.arange(400)]) == 1


@pytest.mark.parametrize("batch", [None, np.arange(130) % 3])
def test_folded_scores_equal_dense_ones(values: sp.csr_matrix, batch):
    dense = z_scores(values.toarray(), batch, owner="scmgca")
    folded = SparseInputs.of(values, batch, owner="scmgca")
    np.testing.assert_allclose(folded.rows(slice(None)), dense, atol=1e-5)
    chosen = np.array([4, 99, 20])
    np.testing.assert_allclose(folded.rows(chosen), dense[chosen], atol=1e-5)
    weight = np.random.default_rng(1).normal(size=(40, 3))
    np.testing.assert_allclose(folded.times(weight), dense @ weight, atol=1e-4)
    assert folded.rest.nnz == values.nnz


def test_components_of_folded_scores(values: sp.csr_matrix):
    dense = z_scores(values.toarray(), None, owner="scmgca")
    folded = SparseInputs.of(values, None, owner="scmgca")
    found, expected = principal_components(folded, 5), PCA(5).fit_transform(dense)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)
    assert principal_components(folded, 500).shape == (130, 39)


def test_products_of_genes_impute_as_the_decomposition(monkeypatch):
    rng = np.random.default_rng(0)
    rate = rng.gamma(1.0, 2.0, (3, 150))[np.arange(400) % 3] * (rng.random(150) < 0.7)
    values = sp.csr_matrix(np.log1p(rng.poisson(rate)))
    expected = low_rank_imputation(values, seed=0)
    monkeypatch.setattr(imputation, "_MANY_CELLS", 100)
    found = low_rank_imputation(values, seed=0)
    assert found.rank == expected.rank
    assert (found.by_gap, expected.by_gap) == (True, True)
    np.testing.assert_allclose(found.rows(slice(None)), expected.rows(slice(None)), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_all_parts_merged_are_the_step_of_all_cells(name: str, simulated: AnnData):
    """Codes, loss and gradients, from the folded scores and from the dense ones."""
    cls = methods().get(name)
    params = {"n_top_genes": 200, "minibatch_above": 100}
    method = cls(cls.Params.build(params, owner=name))
    info = describe_counts(simulated.X, name="simulated", modality="rna", has_batch=False)
    data = prepare_counts(simulated, method.recipe(info))
    fit = method.new_fit()
    folded = fit.inputs(data, None)
    assert isinstance(folded, SparseInputs)
    points = principal_components(folded, 20)
    graph = fit.make_graph(neighbors(points, 15, metric="euclidean", seed=0))
    counts = sp.csr_matrix(data.layers["counts"])
    found = {}
    for how, inputs in (("all", DenseInputs(folded.rows(slice(None)))), ("parts", folded)):
        cells = CellData(
            inputs, counts, graph, method.params, conv_hops=fit.conv_hops, device="cpu"
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = fit.build(data, cells, fit_context(n_clusters=4))
        parts = None if how == "all" else partition(points, 7)
        batches = Batches(cells, parts, merged=7)
        (model.cells,) = batches.epoch()
        codes, terms = model()
        loss = weighted(model, terms)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        # Without gradient and by layers over all cells: the same codes.
        torch.testing.assert_close(batches.codes(model), codes["cells"], atol=1e-4, rtol=1e-4)
        found[how] = loss, gradients, codes["cells"]
    torch.testing.assert_close(found["parts"][2], found["all"][2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found["parts"][0], found["all"][0], atol=1e-5, rtol=1e-5)
    for one, other in zip(found["parts"][1], found["all"][1], strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-3)


def test_a_pass_over_many_cells_takes_several_epochs(monkeypatch: pytest.MonkeyPatch):
    class Rows:
        n_cells = 600

        def tensors(self, rows: np.ndarray) -> np.ndarray:
            return rows

    parts = partition(np.random.default_rng(0).normal(size=(600, 3)), 30)
    whole = Batches(Rows(), parts, merged=3)
    assert whole.epochs_a_pass == 1
    assert [len(rows) for rows in whole.epoch()] == 10 * [60]
    monkeypatch.setattr("bench.methods.scimta.batches.EPOCH_CELLS", 200)
    batches = Batches(Rows(), parts, merged=3)
    assert (batches.n_steps, batches.epochs_a_pass) == (10, 3)
    for _ in range(2):
        steps = [list(batches.epoch()) for _ in range(3)]
        assert [len(epoch) for epoch in steps] == [3, 3, 4]
        seen = np.concatenate([rows for epoch in steps for rows in epoch])
        np.testing.assert_array_equal(np.sort(seen), np.arange(600))


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
@pytest.mark.parametrize("make", [plain_graph, lambda a: surfing_graph(a, hops=2, alpha=0.9)])
def test_codes_of_all_cells_by_layers(values: sp.csr_matrix, hidden, make):
    from bench.methods.scimta.network import GraphEncoder
    from bench.methods.scimta.params import GraphParameters

    inputs = SparseInputs.of(values, None, owner="scmgca")
    graph = make(neighbors(inputs.rows(slice(None)), 8, metric="euclidean", seed=0))
    cells = CellData(inputs, values, graph, GraphParameters(), conv_hops=2, device="cpu")
    torch.manual_seed(0)
    encoder = GraphEncoder(40, hidden, 5, hops=2)
    tensors = cells.tensors()
    expected = encoder(tensors.inputs, tensors.propagate).detach().numpy()
    np.testing.assert_allclose(encode_all(encoder, cells), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", JOINT_FIRST)
def test_parts_find_about_the_clusters_of_all_cells(name: str, simulated: AnnData, monkeypatch):
    monkeypatch.setattr(joint_fit, "_GENE_CELLS", 300)
    short = {"n_top_genes": 200, "pretrain_epochs": 20, "max_epochs": 10}
    whole = fitted(name, simulated, **short)
    parts = fitted(name, simulated, minibatch_above=100, batch_cells=200, **short)
    truth = simulated.obs["cell_type"]
    one, other = (
        adjusted_rand_score(truth, done.own_labels_["self_trained"]) for done in (whole, parts)
    )
    assert other > one - 0.1
    assert other > 0.75
    assert parts.fit_.notes["batches"].startswith("3 steps an epoch, each of 5 of 15 parts")
    assert "batches" not in whole.fit_.notes
    assert parts.method.impute(parts.prepared_).shape == parts.prepared_.shape
    assert np.isfinite(parts.embedding_).all()
    if name == "scimta":
        assert parts.fit_.notes["gene graph"] == "of 300 random cells"


def test_spectral_start_needs_all_cells(simulated: AnnData):
    with pytest.raises(DataError) as error:
        fitted("sctag", simulated, minibatch_above=100, start="spectral")
    assert error.value.code == "too_many_cells"


def test_inverted_lists_find_almost_all_neighbours(monkeypatch):
    monkeypatch.setattr(cell_graph, "_EXACT_SEARCH", 100)
    monkeypatch.setattr(approximate_neighbors, "_LIST_SIZE", 40)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1000, 8)) + 4.0 * rng.normal(size=(5, 8))[np.arange(1000) % 5]
    exact = neighbors(points, 10, metric="euclidean", seed=0)
    found = neighbors(points, 10, metric="euclidean", seed=0, approximate=True)
    assert (found != found.T).nnz == 0
    assert found.diagonal().max() == 0
    assert found.multiply(exact).sum() > 0.95 * exact.sum()
    batch = np.arange(1000) % 2
    both = [
        cell_graph.balanced_neighbors(points, 9, batch, metric="euclidean", approximate=how)
        for how in (False, True)
    ]
    assert both[1].multiply(both[0]).sum() > 0.95 * both[0].sum()
    # All lists: exact. Too few points: -1.
    every = approximate_neighbors.nearest(points, points[:50], 5, seed=0, lists=25)
    distances = ((points[:50, None] - points[None]) ** 2).sum(axis=2)
    expected = np.sort(np.argsort(distances, axis=1)[:, :5])
    np.testing.assert_array_equal(np.sort(every), expected)
    assert (approximate_neighbors.nearest(points[:3], points[:2], 5, seed=0) == -1).sum() == 4
