"""scIMTA as a method: communities, imputation, interpretation, odd data."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from _method_data import fit_context
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.errors import DataError
from bench.execute.curves import Curves
from bench.methods.scimta import ScIMTA, ScMGCA
from bench.methods.scimta.denoiser import deep_imputation
from bench.methods.scimta.imputation import Imputation, RestorationTargets
from bench.methods.scimta.joint_model import Restoration

SHORT = {"pretrain_epochs": 60, "max_epochs": 30}


def counts(n_cells: int = 150, n_genes: int = 75, seed: int = 0) -> AnnData:
    """Return counts of three types of cells, each with its own high genes, and quiet genes."""
    rng = np.random.default_rng(seed)
    types, kinds = np.arange(n_cells) % 3, np.arange(n_genes) % 5
    rate = np.where(types[:, None] == kinds[None, :], 4.0, 0.5)
    adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.obs["cell_type"] = [f"type{number}" for number in types]
    return adata


def fitted(data: AnnData, n_clusters: int | None = 3, **values) -> Estimator:
    params = ScIMTA.Params.build(SHORT | values, owner="scimta")
    return Estimator(ScIMTA(params)).fit(data, n_clusters=n_clusters)


@pytest.fixture(scope="module")
def done() -> Estimator:
    return fitted(counts())


def test_cells_and_genes_are_grouped(done: Estimator):
    data, tables = counts(), done.fit_.tables
    assert adjusted_rand_score(data.obs["cell_type"], done.own_labels_["self_trained"]) > 0.9
    kinds = np.arange(75) % 5
    community = tables["genes"]["community"].to_numpy()
    assert adjusted_rand_score(kinds[kinds < 3], community[kinds < 3]) > 0.9
    # Two fifths of the genes belong to no type.
    assert (community[kinds >= 3] == "unassigned").mean() > 0.8
    assert tables["gene_embedding"].shape == (75, 15)
    assert done.fit_.notes["communities"].startswith("3 of 3 modules")


def test_interpretation_names_the_genes_of_each_type(done: Estimator):
    table = done.fit_.tables["interpretation"]
    assert len(table) == 9
    first = table[table["effect"] > 0].head(3)
    assert set(first["cluster"]) == {"cluster1", "cluster2", "cluster3"}
    assert (first["auroc"] > 0.95).all()
    assert (first["fdr"] < 0.01).all()
    data, found = counts(), done.own_labels_["self_trained"]
    for _, row in first.iterrows():
        (kind,) = set(data.obs["cell_type"][found == row["cluster"]])
        assert {int(gene) % 5 for gene in row["genes"].split()[:12]} == {int(kind[-1])}
    # The model's own score agrees: the largest affinity of a cluster is its own community.
    best = table.loc[table.groupby("cluster")["affinity"].idxmax()]
    assert set(zip(best["cluster"], best["community"], strict=True)) == set(
        zip(first["cluster"], first["community"], strict=True)
    )


def test_imputation_is_a_result(done: Estimator):
    imputed = done.method.impute(done.prepared_)
    assert imputed.shape == (150, 75)
    observed = done.prepared_.X.toarray() > 0
    assert (imputed[observed] > 0).all()
    with pytest.raises(DataError) as error:
        done.method.impute(done.prepared_[:5].copy())
    assert error.value.code == "other_cells"
    plain = fitted(counts(), denoiser="none")
    assert plain.method.fitted.imputation is None
    assert "restoration_loss" not in plain.curves_
    expected = plain.method.impute(plain.prepared_)
    totals = np.asarray(plain.prepared_.layers["counts"].sum(axis=1)).ravel()
    np.testing.assert_allclose(expected.sum(axis=1), totals, rtol=1e-3)


@pytest.mark.slow
def test_the_deep_denoiser_keeps_true_zeros():
    """Half of a type's profile is truly zero; dropouts come from few counts a cell."""
    rng = np.random.default_rng(0)
    profile = rng.gamma(2.0, 1.0, (3, 200)) * (rng.random((3, 200)) < 0.5)
    rate = 300 * (profile / profile.sum(axis=1, keepdims=True))[np.arange(600) % 3]
    seen = rng.poisson(rate)
    values = sp.csr_matrix(np.log1p(seen / seen.sum(axis=1, keepdims=True) * 1e4))
    curves = Curves()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = deep_imputation(values, fit_context(curves), epochs=50, beta=0.1, quantile=1e-3)
    imputed = found.rows(slice(None))
    assert (imputed[rate == 0] == 0).mean() > 0.95
    assert (imputed[(rate > 0) & (seen == 0)] > 0).mean() > 0.8
    assert (imputed[seen > 0] > 0).all()
    losses = curves.values["denoiser_loss"]
    assert len(losses) == 50
    assert losses[-1] < losses[0]
    # Linear and of both signs: what the thresholds rest on.
    low = (found.left @ found.right)[rate == 0]
    assert 0.2 < (low < 0).mean() < 0.8


def test_the_deep_denoiser_in_a_fit():
    short = {"pretrain_epochs": 2, "max_epochs": 2, "denoiser_epochs": 2}
    done = fitted(counts(), denoiser="deep", **short)
    observed = done.prepared_.X.toarray() > 0
    assert (done.method.impute(done.prepared_)[observed] > 0).all()
    assert len(done.curves_["denoiser_loss"]) == 2
    assert "restoration_loss" in done.curves_
    assert "imputation rank" not in done.fit_.notes


def test_losses_beat_constants(done: Estimator):
    curves = done.curves_
    assert curves["adjacency_loss"][-1] < np.log(2)
    assert curves["gene_adjacency_loss"][-1] < np.log(2)
    assert curves["restoration_loss"][-1] < 1
    assert float(done.fit_.notes["adjacency AUROC"]) > 0.7


def test_what_was_filled_in_is_not_punished():
    values = np.array([[2.0, 0.0, 0.0], [1.0, 3.0, 0.0]], dtype=np.float32)
    low_rank = np.array([[2.0, 5.0, 0.0], [1.0, 3.0, 0.0]])
    none = np.zeros(3)
    filled = Imputation(sp.csr_matrix(values), np.eye(2), low_rank, none, none + 1, none, True)
    targets = RestorationTargets(filled, zero_weight=0.1)
    found, weights = targets.rows(slice(None))
    np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(weights / weights[0, 0], [[1, 0, 0.1], [1, 1, 0.1]], rtol=1e-6)
    # Gene means explain all but what two cells differ in: the loss of constants is one.
    torch.manual_seed(0)
    part = Restoration(targets.means, 4)
    tensors = torch.from_numpy(found), torch.from_numpy(weights)
    assert part(torch.zeros(2, 4), *tensors).item() == pytest.approx(1.0)
    # The loss of one cell stands for all.
    np.testing.assert_allclose(targets.rows(np.array([1]))[1], 2 * weights[1:])


def test_the_published_settings_go_as_far_as_the_program():
    """Those of scMGCA, whose code is public as that of scIMTA; genes and imputation stay."""
    program = ScMGCA.Params.build({}, presets=("faithful",), owner="scmgca").resolved()
    params = ScIMTA.Params.build(SHORT, presets=("faithful",), owner="scimta")
    values = params.resolved()
    weights = {"adjacency_weight", "expression_weight", "cluster_weight"}
    shared = program.keys() & values.keys() - weights - SHORT.keys()
    assert {name: values[name] for name in shared} == {name: program[name] for name in shared}
    # γ (graphs) + (1 - γ) (counts) + w (clusters) is 0.3, 1 and 1.5 up to a factor.
    factor = program["expression_weight"] / (1 - values["gamma"])
    assert values["gamma"] * factor == pytest.approx(program["adjacency_weight"])
    assert values["cluster_weight"] * factor == pytest.approx(program["cluster_weight"])
    done = Estimator(ScIMTA(params)).fit(counts(60), n_clusters=3)
    assert np.isfinite(done.embedding_).all()
    # Squared errors of a graph, and products with z-scores that have no lower bound.
    assert max(done.curves_["adjacency_loss"]) < 1
    assert done.curves_["expression_loss"][-1] < 0
    mask = done.method.impute_mask(done.prepared_)
    assert set(np.unique(mask)) <= {0, 1, 2}


def test_the_mask_tells_filled_zeros_from_those_that_stay(done: Estimator):
    mask, imputed = done.method.impute_mask(done.prepared_), done.method.impute(done.prepared_)
    observed = done.prepared_.layers["counts"].toarray() > 0
    np.testing.assert_array_equal(mask == 1, observed)
    np.testing.assert_array_equal(mask == 0, imputed == 0)
    np.testing.assert_array_equal(mask == 2, ~observed & (imputed > 0))
    assert (mask == 2).any()


@pytest.mark.parametrize(
    ("n_cells", "n_genes", "values"),
    [(20, 12, {}), (9, 30, {}), (45, 40, {"couple_genes": False, "decoder_hidden": ""}),
     (30, 60, {"community_weight": 0.0, "start": "spectral", "published_graph": True})],
)  # fmt: skip
def test_odd_sizes(n_cells: int, n_genes: int, values: dict):
    done = fitted(counts(n_cells, n_genes), **values)
    assert done.embedding_.shape == (n_cells, 15)
    assert np.isfinite(done.embedding_).all()
    assert len(done.fit_.tables["genes"]) == done.prepared_.n_vars


def test_genes_without_structure_belong_to_no_community():
    data = AnnData(sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (80, 30)).astype("f4")))
    done = fitted(data, 2, min_community=20)
    assert (done.fit_.tables["genes"]["community"] == "unassigned").all()
    assert done.fit_.tables["interpretation"].empty
    assert done.fit_.notes["communities"] == "0 of 0 modules, 0 of 30 genes assigned"
    assert "genes_divergence" not in done.curves_


def test_more_clusters_than_cells_are_refused():
    params = ScIMTA.Params.build(SHORT | {"n_clusters": 30}, owner="scimta")
    with pytest.raises(DataError) as error:
        Estimator(ScIMTA(params)).fit(counts(20))
    assert error.value.code == "too_few_cells"
