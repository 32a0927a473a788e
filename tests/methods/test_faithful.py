"""``preset=faithful`` against the publications, value by value, and its filters and schedule.

Expected values are those of the published programs (Huang et al. 2021, github.com/jingry/
scATACCharacterization and its notebook; Xiong et al. 2019, github.com/jsxlei/SCALE), not of the
code under test. What a publication leaves to its user, or what has no counterpart in it, is named
in ``LEFT_OPEN``, so that a new parameter has to be put on one side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from bench.apply.estimator import Estimator
from bench.contract import ATAC
from bench.prepare.in_memory import describe_data, prepare_data
from bench.registry import methods

PREPARATION = {"binarize": False, "min_peaks": 100, "low": 0.01, "high": 0.9}
"""At least 100 peaks a cell, then peaks open in 1 % to 90 %, then scaled by their maximum."""
NETWORK = PREPARATION | {
    "adjust_depth": False, "input_dropout": 0.0, "patience": 100, "validation": 0.0,
}  # fmt: skip
MSE = {"likelihood": "gaussian", "reduction": "mean"}
BCE = {"likelihood": "bernoulli", "reduction": "sum"}
SHUFFLED_32 = {"batch_size": 32, "shuffle": True, "drop_last": True}
DECAY = {"learning_rate_decay": 0.9, "learning_rate_floor": 2e-5}
VARIATIONAL = NETWORK | BCE | SHUFFLED_32 | {
    "hidden": "1024-128", "n_latent": 10, "learning_rate": 0.002, "learning_rate_decay": 0.9,
    "learning_rate_floor": 2e-4, "weight_decay": 5e-4, "kl_weight": 1.0, "kl_warmup": 200,
}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "ae": NETWORK | MSE | DECAY | {
        "hidden": "1024-128", "n_latent": 10, "code_activation": "relu", "output": "linear",
        "learning_rate": 0.01, "weight_decay": 0.0,
        "batch_size": 100, "shuffle": False, "drop_last": False,
    },
    "sparse_ae": NETWORK | MSE | DECAY | SHUFFLED_32 | {
        "hidden": "", "n_latent": 32, "code_activation": "relu", "output": "sigmoid",
        "learning_rate": 0.001, "weight_decay": 0.0,
        "rho": 0.03, "beta": 3.0, "penalty": "softmax",
    },
    "stacked_ae": NETWORK | MSE | SHUFFLED_32 | {
        "hidden": "8192-2048-256", "n_latent": 10, "code_activation": "relu", "output": "relu",
        "learning_rate": 0.01, "learning_rate_decay": 1.0, "weight_decay": 0.0,
        "optimizer": "sgd", "pretrain_learning_rate": 0.01,
        "pretrain": "chain", "fine_tune": "last",
    },
    "vae": VARIATIONAL | {"prior": "learned_gaussian"},
    "scale": VARIATIONAL | {"normal_epochs": 0},
    "nmf": {
        "n_components": 20, "solver": "mu", "init": "nndsvda", "loss": "frobenius",
        "max_iter": 200, "tol": 1e-4, "alpha_w": 0.0, "alpha_h": 0.0,
        "normalize": False, "filter_peaks": False, "binarize": False, "tfidf": False,
    },
    "lsnmf": {
        "n_components": 20, "init": "random_vcol", "max_iter": 12, "sub_iter": 10,
        "inner_sub_iter": 10, "beta": 0.1, "tol": 1e-5, "published_steps": True,
        "normalize": False, "filter_peaks": False, "binarize": False, "tfidf": False,
    },
}  # fmt: skip
LEFT_OPEN = {
    "ae": {"max_epochs", "n_top_genes"},
    "sparse_ae": {"max_epochs", "n_top_genes"},
    # No decay, so its floor is never reached.
    "stacked_ae": {"max_epochs", "pretrain_epochs", "n_top_genes", "learning_rate_floor"},
    # Their code is a mean and a variance, their output a probability.
    # It has no counts.
    "vae": {"max_epochs", "n_top_genes", "code_activation", "output"},
    "scale": {
        "max_epochs", "n_top_genes", "code_activation", "output", "n_components", "known_k",
    },
    # No penalty, so no share of it.
    "nmf": {"n_top_genes", "l1_ratio"},
    "lsnmf": {"n_top_genes", "solver"},
}  # fmt: skip
NETWORKS = ("ae", "sparse_ae", "stacked_ae", "vae", "scale")


def faithful(name: str, **values: object) -> Any:
    cls = methods().get(name)
    return cls(cls.Params.build(values, presets=("faithful",), owner=name))


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_are_the_published_ones(name: str):
    found = faithful(name).params.resolved()
    assert {key: found[key] for key in PUBLISHED[name]} == PUBLISHED[name]
    assert found.keys() == PUBLISHED[name].keys() | LEFT_OPEN[name]
    assert not PUBLISHED[name].keys() & LEFT_OPEN[name]


def test_the_published_stack_never_stops_early():
    params = faithful("stacked_ae").params
    assert max(params.max_epochs, params.pretrain_epochs) <= params.patience


def peaks_at_the_bounds() -> AnnData:
    """200 cells with 100 peaks or more each, one with 99; peaks at and beside the bounds."""
    matrix = np.zeros((201, 400), dtype=np.float32)
    rng = np.random.default_rng(0)
    for cell in range(200):
        matrix[cell, 10 + rng.choice(390, 120, replace=False)] = 1
    matrix[:2, 0] = 1  # 1 % of the 200 cells: too few
    matrix[:3, 1] = 1
    matrix[:180, 2] = 1  # 90 %: too many
    matrix[:179, 3] = 1
    matrix[:40, 4] = [3, *[1] * 39]
    matrix[200, :] = 0
    matrix[200, [0, 3]] = 1
    matrix[200, 10:107] = 1
    data = AnnData(sp.csr_matrix(matrix))
    data.obs_names = [f"cell{number}" for number in range(201)]
    data.var_names = [f"chr1:{number * 1000}-{number * 1000 + 500}" for number in range(400)]
    return data


@pytest.mark.parametrize("name", NETWORKS)
def test_filters_and_scaling_are_the_published_ones(name: str):
    data = peaks_at_the_bounds()
    info = describe_data(data, name="peaks", modality=ATAC, has_batch=False)
    recipe = faithful(name).recipe(info)
    steps = {key: value for key, value in recipe.as_dict().items() if value not in (0, None)}
    assert steps == {
        "min_features": 100, "min_cells": 0.01, "max_cells": 0.9, "max_abs": True,
        "flavor": "seurat",
    }  # fmt: skip
    prepared = prepare_data(data, recipe)
    assert list(prepared.obs_names) == list(data.obs_names[:200])
    kept = set(data.var_names.get_indexer(prepared.var_names))
    assert kept & set(range(5)) == {1, 3, 4}
    column = prepared[:, data.var_names[4]].X.toarray().ravel()
    np.testing.assert_allclose(column[:40], [1, *[1 / 3] * 39], rtol=1e-6)
    assert not column[40:].any()


@pytest.mark.parametrize("name", ["nmf", "lsnmf"])
def test_the_published_factorisations_take_the_table_as_it_is(name: str):
    data = peaks_at_the_bounds()
    data = data[:, np.asarray(data.X.sum(axis=0)).ravel() > 0].copy()
    info = describe_data(data, name="peaks", modality=ATAC, has_batch=False)
    prepared = prepare_data(data, faithful(name).recipe(info))
    assert prepared.shape == data.shape
    assert data.X.max() == 3
    np.testing.assert_array_equal(prepared.X.toarray(), data.X.toarray())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_short_published_fit_goes_through_with_its_own_filters(name: str):
    short: dict[str, object] = {"max_iter": 3} if "nmf" in name else {"max_epochs": 2}
    if name == "stacked_ae":
        short |= {"hidden": "16-8", "pretrain_epochs": 1}
    if name == "scale":
        short |= {"n_components": 3}
    data = peaks_at_the_bounds()
    fitted = Estimator(faithful(name, **short)).fit(data, modality=ATAC)
    width = {"nmf": 20, "lsnmf": 20, "sparse_ae": 32}.get(name, 10)
    assert fitted.embedding_.shape == (201 if "nmf" in name else 200, width)
    assert np.isfinite(fitted.embedding_).all()
    if name in NETWORKS:
        assert len(fitted.curves_["loss"]) == 2
        assert "held_out_loss" not in fitted.curves_
    if name == "scale":
        assert "normal_loss" not in fitted.curves_
        assert set(fitted.own_labels_["mixture"]) <= {"gaussian0", "gaussian1", "gaussian2"}


@pytest.mark.parametrize("name", ["vae", "scale"])
def test_the_weight_of_the_divergence_rises_by_update(name: str):
    """One update an epoch, so the weight of each epoch can be told from its curves."""
    short = {"max_epochs": 8, "kl_warmup": 5, "batch_size": 1000, "hidden": "8"}
    short |= {"n_components": 3} if name == "scale" else {}
    fitted = Estimator(faithful(name, **short)).fit(peaks_at_the_bounds(), modality=ATAC)
    loss, rebuilt, divergence = (
        np.array(fitted.curves_[curve]) for curve in ("loss", "reconstruction_loss", "kl_loss")
    )
    weights = (loss - rebuilt) / divergence
    np.testing.assert_allclose(weights, [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1], atol=1e-3)
