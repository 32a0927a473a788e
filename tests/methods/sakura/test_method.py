"""SAKURA in the harness: what it uses, its presets, and what guidance changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import RNA, Context, Fit, Knowledge
from bench.contract.method import declared_inputs
from bench.errors import DataError, UsageError
from bench.methods.sakura import Sakura, SakuraUnguided
from bench.methods.sakura.dataset_guidance import (
    dataset_guidance,
    hide_labels,
    normalize_proteins,
)
from bench.methods.sakura.loss_terms import Head
from bench.methods.sakura.model_settings import settings_from_params
from bench.prepare.in_memory import describe_counts, prepare_counts


def simulated(n_cells: int = 400, n_rare: int = 12, seed: int = 0) -> tuple[AnnData, np.ndarray]:
    """Return counts of four types and a mask of planted cells, which three genes tell: g0 – g2.

    Half of the cells, obs['batch'], have 40 genes raised.
    """
    rng = np.random.default_rng(seed)
    types = rng.integers(0, 4, n_cells)
    rate = np.tile(rng.lognormal(-1.0, 1.0, 300), (n_cells, 1))
    rate[:, :3] = 0.1
    for kind in range(4):
        rate[np.ix_(types == kind, rng.choice(np.arange(3, 300), 30, replace=False))] *= 4.0
    rare = rng.choice(np.flatnonzero(types == 0), n_rare, replace=False)
    rate[np.ix_(rare, np.arange(3))] = 3.0
    batch = rng.integers(0, 2, n_cells)
    rate[np.ix_(batch == 1, np.arange(250, 290))] *= 3.0
    rate *= rng.lognormal(0, 0.3, n_cells)[:, None]
    adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.obs_names = [f"c{i}" for i in range(n_cells)]
    adata.var_names = [f"g{i}" for i in range(300)]
    adata.obs["batch"] = [f"b{i}" for i in batch]
    return adata, np.isin(np.arange(n_cells), rare)


def make_context(knowledge: Knowledge) -> Context:
    return Context(
        seed=0, n_clusters=None, device="cpu", threads=1, knowledge=knowledge,
        report=lambda step, total=None, /, **values: None, log=lambda text: None,
        scratch=Path(),
    )  # fmt: skip


def fitted(cls: type, adata: AnnData, knowledge: Knowledge, **values: Any) -> tuple[Fit, Any]:
    method = cls(cls.Params.build(values, owner=cls.name))
    info = describe_counts(adata.X, name="x", modality=RNA, has_batch=True)
    prepared = prepare_counts(adata, method.recipe(info))
    assert prepared.n_obs == adata.n_obs
    return method.fit(prepared, make_context(knowledge)), (method, prepared)


def purity(embedding: np.ndarray, of: np.ndarray) -> float:
    """Return the mean share of the cells ``of`` among the 10 neighbours of each of them."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=11).fit(embedding).kneighbors(embedding[of])[1]
    return float(of[found[:, 1:]].mean())


MARKERS = Knowledge(markers={"rare": ("g0", "g1", "g2")})


def test_inputs_follow_from_the_parameters():
    def sakura(**values: Any) -> Sakura:
        return Sakura(Sakura.Params.build(values, owner="sakura"))

    assert sakura().needs() == {"markers"}
    assert sakura(proteins=True, markers=False).needs() == {"proteins"}
    assert sakura(label_share=0.1, batch="own").needs() == {"markers", "labels"}
    assert sakura(label_share=0.1, batch="own").may_use() == {"batch"}
    assert declared_inputs(SakuraUnguided(SakuraUnguided.Params())) == frozenset()


def test_the_faithful_preset_is_the_demonstration():
    params = Sakura.Params.build(presets=("faithful",), owner="sakura")
    settings = settings_from_params(params, all_features=False)
    assert (settings.hidden, settings.n_latent, settings.batch_size) == (200, 50, 100)
    assert (settings.optimizer, settings.learning_rate, settings.alpha) == ("rmsprop", 1e-3, 0.9)
    assert (settings.schedule, settings.max_ticks) == ("interleave", 5000)
    assert (settings.latent_activation, settings.output_activation) == ("celu", "relu")
    (prior,) = settings.regularizers
    assert prior.schedule.at(86) == pytest.approx(2.353e-4, rel=1e-3)
    adata, _ = simulated(60)
    context = make_context(MARKERS)
    (signature,) = dataset_guidance(params, adata, context)[0].signatures
    terms = signature.terms
    assert {name: round(term.at(86), 6) for name, term in terms.items()} == {
        "mse": 0.37, "l1": 0.37, "cosine": 0.37,
    }  # fmt: skip
    assert terms["mse"].at(49) == 0
    assert signature.head == Head("mlp", hidden=5, layers=3)
    assert (params.scale_targets, params.relative_weights, params.guide_score) == (False, False, 0)
    assert not settings.center


def test_parameters_that_contradict_each_other_are_named():
    with pytest.raises(UsageError, match="output_activation=relu"):
        Sakura.Params.build({"output_activation": "relu", "center": True}, owner="sakura")
    with pytest.raises(UsageError, match="nothing guides"):
        Sakura.Params.build({"guide_mse": 0.0, "guide_score": 0.0}, owner="sakura")


@pytest.mark.slow
def test_a_planted_rare_group_is_recovered_better_than_without_guidance():
    adata, rare = simulated()
    short = {"max_epochs": 40, "hidden": 64, "n_latent": 20, "n_top_genes": 300}
    guided, _ = fitted(Sakura, adata, MARKERS, **short)
    plain, _ = fitted(SakuraUnguided, adata, Knowledge(), **short)
    assert purity(guided.embedding, rare) > purity(plain.embedding, rare) + 0.2
    assert guided.notes["guides"] == "markers rare"


def test_missing_markers_are_noted_and_none_at_all_is_an_error():
    adata, _ = simulated(120)
    some = Knowledge(markers={"a": ("g0", "nothing"), "b": ("none",)})
    fit, (method, prepared) = fitted(Sakura, adata, some, max_epochs=1)
    left_out = fit.notes["left_out"]
    assert "1 of 2 genes are not among the features and left out (nothing)" in left_out
    assert "signature 'markers b': no gene is left" in left_out
    assert method.model.predict_signature(prepared, "markers a").shape == (120, 1)
    with pytest.raises(DataError) as error:
        fitted(Sakura, adata, Knowledge(markers={"b": ("none",)}), max_epochs=1)
    assert error.value.code == "unknown_gene"


@pytest.mark.slow
def test_the_adversary_of_a_batch_turns_the_gradient_of_the_code():
    """The sign flips before the code, at the strength of the parameters; the head still learns."""
    import torch

    from bench.methods.sakura.dataset_guidance import batch_phenotype
    from bench.methods.sakura.guidance import Guidance
    from bench.methods.sakura.model import SakuraModel
    from bench.methods.sakura.model_settings import SakuraSettings, TrainingTask
    from bench.methods.sakura.objective import Batch, SakuraObjective

    values = {"batch": "adversarial", "adversary": "reversed", "adversarial_strength": 2.0,
              "adversarial_epochs": 0}  # fmt: skip
    reversed_ = batch_phenotype(Sakura.Params.build(values, owner="sakura"))
    adata, _ = simulated(60)
    batch = adata.obs["batch"].to_numpy()
    settings = SakuraSettings(
        n_top_features=None, n_latent=4, hidden=8, max_epochs=0, validation=0.0
    )

    def gradients(one: Any) -> tuple[torch.Tensor, torch.Tensor]:
        guidance = Guidance((), (one,))
        model = SakuraModel(settings, guidance).fit(adata, phenotypes={"batch": batch})
        known = torch.from_numpy((batch == "b1").astype(np.int64))
        rows = Batch(torch.from_numpy(adata.X.toarray()), torch.ones(60), {"batch": known})
        objective = SakuraObjective(model.network, model._class_weights)
        (term,) = objective.terms(rows, TrainingTask("x", guides=("batch",)), {})
        term.value.backward()
        code = model.network.compressors[0][0].weight.grad
        return code, model.network.reader("batch").network[0].weight.grad

    plain, turned = gradients(replace(reversed_, adversarial=None)), gradients(reversed_)
    assert plain[0].abs().sum() > 0
    torch.testing.assert_close(turned[0], -2.0 * plain[0])
    torch.testing.assert_close(turned[1], plain[1])


def test_a_batch_with_own_dimensions_leaves_the_main_ones_as_embedding():
    adata, _ = simulated(120)
    knowledge = Knowledge(batch=adata.obs["batch"].to_numpy())
    values = {"markers": False, "batch": "own", "own_dims": 2, "n_latent": 5, "max_epochs": 1}
    fit, (method, prepared) = fitted(Sakura, adata, knowledge, **values)
    assert fit.embedding.shape == (120, 5)
    assert method.model.transform(prepared, "all").shape == (120, 7)
    whole, _ = fitted(Sakura, adata, knowledge, embedding="all", **values)
    assert whole.embedding.shape == (120, 7)


def test_proteins_and_a_share_of_the_labels_guide():
    adata, rare = simulated(120)
    counts = np.random.default_rng(0).poisson(5.0, (120, 4)).astype(float)
    counts[0] = 0
    knowledge = Knowledge(proteins=counts, labels=np.where(rare, "rare", "other"))
    _, (method, prepared) = fitted(
        Sakura, adata, knowledge, markers=False, proteins=True, label_share=0.5, max_epochs=1
    )
    assert method.model.predict_phenotype(prepared, "proteins").shape == (120, 4)
    assert method.model.classes == {"type": ["other", "rare"]}
    normalized = normalize_proteins(counts)
    assert np.isnan(normalized[0]).all()
    assert np.expm1(normalized[1]).sum() == pytest.approx(1e4, rel=1e-4)
    known = hide_labels(np.array(["a"] * 10), 0.3, seed=0)
    assert sum(label is not None for label in known) == 3
