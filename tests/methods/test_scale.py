"""SCALE: its mixture prior term by term, its tables, its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anndata import AnnData
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from bench.apply.estimator import Estimator
from bench.contract import ATAC
from bench.methods.nn.batches import Block
from bench.methods.nn.likelihoods import Bernoulli
from bench.methods.nn.mixture import MixtureAutoencoder, binarized, specificity
from bench.methods.scale import SCALE
from bench.seeds import derive_seed


def mixture(k: int = 4, d: int = 3) -> MixtureAutoencoder:
    """Return a network of doubles with a drawn mixture."""
    rng = np.random.default_rng(0)
    params = SCALE.Params(hidden=(5,), n_latent=d, kl_warmup=0)
    model = MixtureAutoencoder(6, Bernoulli(depth_offset=False), params, n_components=k).double()
    weights = rng.dirichlet(np.ones(k))
    model.set_mixture(weights, rng.normal(size=(k, d)), rng.uniform(0.2, 2.0, (k, d)))
    return model


def components(model: MixtureAutoencoder) -> Independent:
    return Independent(Normal(model.means, model.variances().sqrt()), 1)


def test_start_is_what_was_set():
    rng = np.random.default_rng(1)
    model = mixture()
    weights, means = rng.dirichlet(np.ones(4)), rng.normal(size=(4, 3))
    variances = np.array([1e-3, 0.5, 30.0])[None, :] * np.ones((4, 1))
    model.set_mixture(weights, means, variances)
    np.testing.assert_allclose(torch.softmax(model.logits, 0).detach(), weights, rtol=1e-6)
    np.testing.assert_allclose(model.means.detach(), means)
    np.testing.assert_allclose(model.variances().detach(), variances, rtol=1e-6)


def test_responsibilities_against_torch_distributions():
    model = mixture()
    z = torch.randn(7, 3, dtype=torch.float64)
    log_pi = torch.log_softmax(model.logits, 0)
    joint = components(model).log_prob(z[:, None, :]) + log_pi
    expected = joint - torch.logsumexp(joint, dim=1, keepdim=True)
    torch.testing.assert_close(model.log_responsibilities(z), expected)
    whole = MixtureSameFamily(Categorical(logits=model.logits), components(model))
    torch.testing.assert_close(torch.logsumexp(joint, dim=1), whole.log_prob(z))


def test_divergence_term_by_term():
    model = mixture()
    mean, log_var, z = (torch.randn(5, 3, dtype=torch.float64) for _ in range(3))
    gamma = model.log_responsibilities(z).exp()
    posterior = Independent(Normal(mean[:, None, :], (0.5 * log_var).exp()[:, None, :]), 1)
    each = kl_divergence(posterior, components(model))
    log_pi = torch.log_softmax(model.logits, 0)
    expected = (gamma * each).sum(1) + kl_divergence(
        Categorical(probs=gamma), Categorical(logits=log_pi.expand(5, -1))
    )
    torch.testing.assert_close(model.divergence(mean, log_var, z), expected)


def test_one_standard_component_is_a_normal_prior_by_hand():
    model = mixture(k=1, d=2)
    model.set_mixture(np.ones(1), np.zeros((1, 2)), np.ones((1, 2)))
    mean, log_var = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[0.0, np.log(2.0)]])
    # ½ [(1 + 1 - 1 - 0) + (2 + 4 - 1 - ln 2)]
    expected = 0.5 * (1 + 5 - np.log(2.0))
    found = model.divergence(mean, log_var.double(), mean)
    assert float(found.detach()) == pytest.approx(expected)


def test_without_a_mixture_the_prior_is_normal():
    model = mixture()
    model.mixed.fill_(False)
    mean, log_var = (torch.randn(4, 3, dtype=torch.float64) for _ in range(2))
    expected = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
    torch.testing.assert_close(model.divergence(mean, log_var, mean), expected)


def test_far_cells_and_wild_parameters_stay_finite():
    model = mixture()
    with torch.no_grad():
        model.raw_variances.fill_(-60.0)
        model.logits.copy_(torch.tensor([80.0, -80.0, 0.0, 0.0]))
    z = torch.full((2, 3), 1e3, dtype=torch.float64, requires_grad=True)
    loss = model.divergence(z, torch.zeros_like(z), z).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()
    assert float(model.variances().min()) >= 1e-4


def test_gradient_of_the_divergence():
    model = mixture(k=2, d=2)
    mean = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    log_var = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(3, 2, dtype=torch.float64)

    def loss(mean: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
        return model.divergence(mean, log_var, mean + (0.5 * log_var).exp() * noise)

    assert torch.autograd.gradcheck(loss, (mean, log_var))


def test_identical_components_get_apart_because_they_do_not_start_so(toy_counts: AnnData):
    fitted = Estimator(
        SCALE(SCALE.Params.build({"n_components": 3, "max_epochs": 40, "hidden": "16",
                                  "low": 0.0, "high": 1.0}, owner="scale"))
    ).fit(toy_counts, modality=ATAC)  # fmt: skip
    means = fitted.method.fitted.network.means.detach().numpy()
    assert np.ptp(means, axis=0).max() > 0.1
    assert {"normal_loss", "loss", "kl_loss"} <= set(fitted.curves_)


def test_tables_and_imputation(toy_counts: AnnData):
    values = {
        "n_components": 3, "max_epochs": 30, "hidden": "16", "n_latent": 4,
        "low": 0.0, "high": 1.0,
    }  # fmt: skip
    fitted = Estimator(SCALE(SCALE.Params.build(values, owner="scale")))
    fitted.fit(toy_counts, modality=ATAC)
    tables, expected = fitted.fit_.tables, fitted.method.impute(fitted.prepared_)
    assert tables["loadings"].shape == (40, 4)
    own = fitted.own_labels_["mixture"]
    found = sorted(set(own))
    assert list(tables["specificity"].columns) == found
    means = np.column_stack([expected[own == name].mean(axis=0) for name in found])
    np.testing.assert_allclose(tables["specificity"], specificity(means), atol=1e-5)
    assert expected.shape == (60, 40)
    assert expected.min() >= 0
    assert expected.max() <= 1
    raw = (toy_counts.X.toarray() > 0).astype(float)
    on = binarized(expected, raw)
    i, j = 3, 5
    assert on[i, j] == (expected[i, j] > raw[i].mean() and expected[i, j] > raw[:, j].mean())


def test_known_k_uses_the_number_of_types(toy_counts: AnnData):
    method = SCALE(SCALE.Params.build({"known_k": True, "max_epochs": 1}, owner="scale"))
    assert method.needs() == {"n_clusters"}
    fitted = Estimator(method).fit(toy_counts, modality=ATAC, n_clusters=3)
    assert fitted.method.fitted.network.means.shape[0] == 3
    assert SCALE(SCALE.Params()).needs() == frozenset()


def test_specificity_by_hand():
    table = specificity(np.array([[0.8, 0.0], [0.2, 0.2], [0.0, 0.0]]))
    # Open in one cluster only: 1 there. Open alike in both: 1 - sqrt(JSD(½, one)).
    assert table[0].tolist() == pytest.approx([1.0, 0.0])
    m = np.array([0.75, 0.25])
    divergence = 0.5 * (1 * np.log2(1 / m[0])) + 0.5 * (
        0.5 * np.log2(0.5 / m[0]) + 0.5 * np.log2(0.5 / m[1])
    )
    assert table[1].tolist() == pytest.approx([1 - np.sqrt(divergence)] * 2)
    assert table[2].tolist() == pytest.approx(table[1].tolist())


def test_mixture_is_fitted_on_posteriors_and_seeded(toy_counts: AnnData):
    from sklearn.mixture import GaussianMixture

    values = {
        "n_components": 3, "normal_epochs": 5, "max_epochs": 1, "learning_rate": 1e-12,
        "hidden": "16", "low": 0.0, "high": 1.0,
    }  # fmt: skip
    fitted = Estimator(SCALE(SCALE.Params.build(values, owner="scale")))
    fitted.fit(toy_counts, modality=ATAC, seed=4)
    expected = GaussianMixture(
        3, covariance_type="diag", n_init=5, reg_covar=1e-4, random_state=derive_seed(4, "mixture")
    ).fit(fitted.embedding_)
    model = fitted.method.fitted.network
    np.testing.assert_allclose(model.means.detach(), expected.means_, rtol=1e-3, atol=1e-4)
    # The variance of draws: that of the means plus the mean posterior variance, by component.
    cells = fitted.method.fitted.cells(fitted.prepared_)
    block = next(iter(cells.blocks(np.arange(60), 60)))
    with torch.no_grad():
        spread = model.variance(block).numpy()
    shares = expected.predict_proba(fitted.embedding_)
    total = [
        np.average((fitted.embedding_ - m) ** 2 + spread, axis=0, weights=share)
        for m, share in zip(expected.means_, shares.T, strict=True)
    ]
    np.testing.assert_allclose(model.variances().detach(), total, rtol=1e-2, atol=1e-3)


def test_objective_adds_up():
    model = mixture(d=3)
    block = Block(torch.rand(4, 6).double(), torch.rand(4, 6).double(), torch.ones(4, 1).double())
    parts = {name: float(value.detach()) for name, value in model.objective(block, None).items()}
    assert parts["loss"] == pytest.approx(parts["reconstruction_loss"] + parts["kl_loss"])
