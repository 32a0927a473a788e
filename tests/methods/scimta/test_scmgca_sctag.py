"""scMGCA and scTAG as methods: clusters, odd sizes, presets, imputation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from _method_data import fit_context, typed_counts
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.contract import Knowledge
from bench.errors import DataError
from bench.methods.scimta import graph_fit, initial_clusters
from bench.methods.scimta.params import GraphParameters
from bench.registry import methods

NAMES = ["scmgca", "sctag"]
SHORT = {"pretrain_epochs": 40, "max_epochs": 20}
RATES = {"high": 4.0, "low": 0.7}


def fitted(name: str, data: AnnData, n_clusters: int | None = 3, preset="", **values) -> Estimator:
    cls = methods().get(name)
    presets = (preset,) if preset else ()
    params = cls.Params.build(SHORT | values, presets=presets, owner=name)
    return Estimator(cls(params)).fit(data, n_clusters=n_clusters)


@pytest.mark.parametrize("name", NAMES)
def test_types_are_found_and_tables_agree(name: str):
    data = typed_counts(150, **RATES)
    done = fitted(name, data)
    found = done.own_labels_["self_trained"]
    assert adjusted_rand_score(data.obs["cell_type"], found) > 0.9
    table = done.fit_.tables["assignment"]
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    assert (table.columns.to_numpy()[table.to_numpy().argmax(axis=1)] == found).all()
    assert done.fit_.tables["centres"].shape == (3, 15)
    assert float(done.fit_.notes["adjacency AUROC"]) > 0.7
    # Below log 2, the best that a constant can reach; self-training then gives up a part of it.
    assert done.curves_["pretrain_adjacency_loss"][-1] < np.log(2)
    if name == "scmgca":
        assert done.curves_["adjacency_loss"][-1] < np.log(2)
    expected = done.method.impute(done.prepared_)
    assert expected.shape == data.shape
    high = np.arange(60)[None, :] % 3 == np.arange(150)[:, None] % 3
    assert expected[high].mean() > 2 * expected[~high].mean()
    with pytest.raises(DataError) as error:
        done.method.impute(done.prepared_[:10].copy())
    assert error.value.code == "other_cells"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("n_cells", "n_genes", "n_clusters", "values"),
    [(20, 12, 3, {}), (9, 60, 3, {}), (4, 30, 4, {}), (45, 14, 3, {"preset": "faithful"}),
     (45, 60, 3, {"start": "spectral", "hidden": "", "decoder_hidden": "", "metric": "cosine"}),
     (45, 60, 3, {"input_dropout": 0.3, "n_components": 0, "update_interval": 1})],
)  # fmt: skip
def test_odd_sizes(name: str, n_cells: int, n_genes: int, n_clusters: int, values: dict):
    done = fitted(name, typed_counts(n_cells, n_genes, **RATES), n_clusters, **values)
    assert done.embedding_.shape == (n_cells, 15)
    assert np.isfinite(done.embedding_).all()
    assert len(set(done.own_labels_["self_trained"])) <= n_clusters
    if "n_components" not in values:
        assert done.fit_.notes["n_components"].startswith(str(min(n_cells, n_genes) - 1))


@pytest.mark.parametrize("name", NAMES)
def test_more_clusters_than_cells_are_refused(name: str):
    cls = methods().get(name)
    params = cls.Params.build(SHORT | {"n_clusters": 30}, owner=name)
    with pytest.raises(DataError) as error:
        Estimator(cls(params)).fit(typed_counts(20, **RATES))
    assert error.value.code == "too_few_cells"


@pytest.mark.parametrize("name", NAMES)
def test_fewer_clusters_than_requested_are_noted(name: str, monkeypatch: pytest.MonkeyPatch):
    # Two codes cannot be split into five clusters.
    codes = np.repeat([[0.0, 1.0], [1.0, 0.0]], 20, axis=0)
    labels = initial_clusters.initial_clusters(
        codes, None, 5, GraphParameters(), seed=0, most=1000
    )
    assert sorted(set(labels)) == [0, 1]
    monkeypatch.setattr(graph_fit, "initial_clusters", lambda *_, **__: labels)
    done = fitted(
        name, typed_counts(40, 30, **RATES), n_clusters=5, pretrain_epochs=2, max_epochs=2
    )
    assert done.fit_.notes["clusters"] == (
        "2; the codes do not separate 5 (the number of true types)"
    )
    assert len(set(done.own_labels_["self_trained"])) <= 2


@pytest.mark.parametrize("name", [*NAMES, "scimta"])
def test_graphs_on_demand(name: str):
    data, short = typed_counts(40, 30, **RATES), {"pretrain_epochs": 1, "max_epochs": 0}
    assert "cell_graph" not in fitted(name, data, **short).fit_.tables
    done = fitted(name, data, keep_graphs=True, published_graph=False, **short)
    table = done.fit_.tables["cell_graph"]
    assert list(table.columns) == ["first", "second", "weight"]
    assert (table["first"] < table["second"]).all()
    assert table["weight"].between(0, 1 + 1e-6).all()
    assert ("gene_graph" in done.fit_.tables) == (name == "scimta")
    directed = fitted(name, data, keep_graphs=True, published_graph=True, **short)
    both = directed.fit_.tables["cell_graph"]
    assert (both["first"] > both["second"]).any()


@pytest.mark.parametrize("name", NAMES)
def test_an_unconnected_graph_is_noted(name: str):
    rng = np.random.default_rng(0)
    rate = np.kron(np.eye(2), np.full((40, 30), 20.0)) + 0.1
    data = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    done = fitted(name, data, 2, n_neighbors=5)
    assert done.fit_.notes["graph"].startswith("2 parts")
    assert adjusted_rand_score(np.repeat([0, 1], 40), done.own_labels_["self_trained"]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_clusters_without_the_truth(name: str):
    cls = methods().get(name)
    assert cls(cls.Params()).needs() == {"n_clusters"}
    assert cls(cls.Params(n_clusters=4)).needs() == frozenset()
    assert cls(cls.Params(k_from="leiden")).needs() == frozenset()
    done = fitted(name, typed_counts(60, **RATES), None, k_from="leiden")
    assert done.fit_.notes["clusters"].endswith("leiden")
    params = cls.Params.build(SHORT | {"n_clusters": 4}, owner=name)
    assert (
        Estimator(cls(params)).fit(typed_counts(60, **RATES)).fit_.notes["clusters"]
        == "4, as asked"
    )


@pytest.mark.parametrize("name", NAMES)
def test_published_scores_are_of_cells_scaled_to_the_median(name: str):
    """Without a bound; the encoder's inputs, worked out from the counts."""
    data = typed_counts(60, **RATES)
    depth = np.linspace(0.5, 4, 60)[:, None]
    data.X = sp.csr_matrix(np.rint(data.X.toarray() * depth).astype(np.float32))
    done = fitted(name, data, preset="faithful", pretrain_epochs=1, max_epochs=0)
    model = done.method.fitted
    found = model.inputs(done.prepared_, None).rows(slice(None))
    counts = data[:, done.prepared_.var_names].X.toarray()
    total = data.X.toarray().sum(axis=1, keepdims=True)
    logs = np.log1p(counts / (total / np.median(total)))
    expected = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "values"),
    [("scmgca", {}), ("sctag", {}), ("sctag", {"published_graph": False}),
     # Its z-scores of noise outweigh the graph in so short a training.
     ("scimta", {"expression_target": "counts"})],
)  # fmt: skip
def test_a_graph_of_the_users_own_replaces_the_neighbours(name: str, values: dict):
    """Two cliques that the counts do not show are two clusters."""
    rng = np.random.default_rng(0)
    data = AnnData(sp.csr_matrix(rng.poisson(1.0, (60, 40)).astype(np.float32)))
    clique = np.arange(60) % 2
    graph = sp.csr_matrix((clique[:, None] == clique[None, :]).astype(float) * 7.0)
    cls = methods().get(name)
    assert "graph" in cls(cls.Params()).may_use()
    none = values | {"pretrain_epochs": 0, "max_epochs": 0}
    prepared = Estimator(cls(cls.Params.build(none, owner=name))).fit(data, n_clusters=2)
    context = replace(fit_context(n_clusters=2), knowledge=Knowledge(graph=graph))
    params = cls.Params.build(SHORT | values, owner=name)
    fit = cls(params).fit(prepared.prepared_, context)
    assert adjusted_rand_score(clique, fit.labels["self_trained"]) == 1
    n_entries = 60 * 29 + 60 * params.published_graph  # with self-edges, as published
    assert fit.notes["cell graph"] == f"given, {n_entries} entries"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_self_training_ends_when_labels_settle(name: str):
    data = typed_counts(150, **RATES)
    early = fitted(name, data, max_epochs=100, tolerance=0.01)
    assert "labels settled" in early.fit_.notes["training"]
    assert len(early.curves_["loss"]) < 100
    all_epochs = fitted(name, data, tolerance=0.0)
    assert len(all_epochs.curves_["loss"]) == SHORT["max_epochs"]
    twin = fitted(name, data, pretrain_epochs=0, max_epochs=0)
    assert not twin.curves_
    assert np.isfinite(twin.embedding_).all()


@pytest.mark.parametrize("name", NAMES)
def test_seeds_decide(name: str):
    cls = methods().get(name)
    params = cls.Params.build({"pretrain_epochs": 5, "max_epochs": 5}, owner=name)
    first, again, other = (
        Estimator(cls(params)).fit(typed_counts(40, **RATES), n_clusters=3, seed=seed).embedding_
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize(("preset", "works"), [("", True), ("faithful", False)])
@pytest.mark.slow
def test_graph_decoder_on_real_cells(data_dir: Path, preset: str, works: bool):
    """The balanced loss beats a constant; the published one settles at the all-zero graph."""
    import anndata

    data = anndata.read_h5ad(data_dir / "cellbench_3cl_batches.h5ad")[::2].copy()
    done = fitted("scmgca", data, preset=preset, n_top_genes=300, learning_rate=5e-3)
    assert (float(done.fit_.notes["adjacency AUROC"]) > 0.7) == works
    if works:
        assert done.curves_["adjacency_loss"][-1] < np.log(2)
