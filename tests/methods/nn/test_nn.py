"""The shared parts of the networks against formulas and independent libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
import torch
from _method_data import fit_context
from anndata import AnnData

from bench.errors import Diverged
from bench.execute.curves import Curves
from bench.methods.nn.batches import Block, Cells
from bench.methods.nn.likelihoods import Bernoulli, Gaussian, NegativeBinomial, make_likelihood
from bench.methods.nn.models import (
    Autoencoder,
    VariationalAutoencoder,
    gaussian_kl,
    softmax_sparsity,
    sparsity,
)
from bench.methods.nn.params import NetworkParameters
from bench.methods.nn.train import Schedule, _epochs, encode, seeded, train
from bench.methods.vae import VAE


def block_of(targets: np.ndarray, depth: float = 1.0) -> Block:
    values = torch.as_tensor(targets, dtype=torch.float64)
    return Block(values, values, torch.full((len(values), 1), depth, dtype=torch.float64))


@pytest.fixture
def prepared() -> AnnData:
    """90 cells × 25 features, three types, binary."""
    rng = np.random.default_rng(3)
    rate = np.full((90, 25), 0.1)
    for number in range(3):
        rate[number::3, number * 8 : number * 8 + 8] = 0.8
    data = AnnData(sp.csr_matrix((rng.random(rate.shape) < rate).astype(np.float32)))
    data.layers["counts"] = data.X.copy()
    data.obs["size_factor"] = np.ones(90, np.float32)
    return data


# Likelihoods


@pytest.mark.parametrize("depth", [1.0, 2.5])
def test_bernoulli_is_the_log_probability(depth: float):
    rng = np.random.default_rng(0)
    targets, decoded = rng.integers(0, 2, (4, 6)).astype(float), rng.normal(size=(4, 6))
    loss = Bernoulli(depth_offset=True)(torch.as_tensor(decoded), block_of(targets, depth))
    chance = 1 / (1 + np.exp(-(decoded + np.log(depth))))
    expected = -scipy.stats.bernoulli.logpmf(targets, chance).sum(axis=1)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("depth", [1.0, 0.3])
def test_negative_binomial_is_the_log_probability(depth: float):
    rng = np.random.default_rng(1)
    targets, decoded = rng.poisson(3.0, (5, 7)).astype(float), rng.normal(size=(5, 7))
    likelihood = NegativeBinomial(7, depth_offset=True).double()
    with torch.no_grad():
        likelihood.log_theta.copy_(torch.as_tensor(rng.normal(size=7)))
    theta = np.exp(likelihood.log_theta.detach().numpy())
    mean = depth * np.exp(decoded)
    block = block_of(targets, depth)
    loss = likelihood(torch.as_tensor(decoded), block)
    expected = -scipy.stats.nbinom.logpmf(targets, theta, theta / (theta + mean)).sum(axis=1)
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(likelihood.mean(torch.as_tensor(decoded), block).numpy(), mean)


def test_negative_binomial_tends_to_poisson():
    targets, decoded = np.array([[0.0, 2.0, 5.0]]), np.array([[0.1, 0.7, 1.4]])
    likelihood = NegativeBinomial(3, depth_offset=False).double()
    with torch.no_grad():
        likelihood.log_theta.fill_(8.0)
    loss = float(likelihood(torch.as_tensor(decoded), block_of(targets)).detach()[0])
    expected = -scipy.stats.poisson.logpmf(targets, np.exp(decoded)).sum()
    assert loss == pytest.approx(expected, rel=2e-3)


def test_gaussian_sum_mean_and_output():
    targets, decoded = np.array([[1.0, 2.0], [0.0, 0.5]]), np.array([[0.0, -2.0], [1.0, 0.5]])
    block = block_of(targets)
    values = torch.as_tensor(decoded)
    assert Gaussian("sum")(values, block).tolist() == [17.0, 1.0]
    assert Gaussian("mean")(values, block).tolist() == [8.5, 0.5]
    assert Gaussian("sum", output="relu")(values, block).tolist() == [5.0, 1.0]


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "nb"])
def test_gradients_of_the_likelihoods(name: str):
    likelihood = make_likelihood(name, 4, NetworkParameters()).double()
    decoded = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    block = block_of(np.random.default_rng(0).integers(0, 2, (3, 4)), 1.7)
    assert torch.autograd.gradcheck(lambda d: likelihood(d, block), decoded)


def test_extreme_outputs_stay_finite():
    block = block_of(np.array([[0.0, 3.0]]))
    for name in ("bernoulli", "nb"):
        likelihood = make_likelihood(name, 2, NetworkParameters()).double()
        for value in (-1e4, 1e4):
            decoded = torch.full((1, 2), value, dtype=torch.float64, requires_grad=True)
            loss = likelihood(decoded, block).sum()
            loss.backward()
            assert torch.isfinite(loss)
            assert torch.isfinite(decoded.grad).all()


# Penalties


def test_gaussian_kl_against_torch_distributions():
    rng = torch.Generator().manual_seed(0)
    mean, log_var, m, log_v = (torch.randn(5, 3, generator=rng) for _ in range(4))
    ours = gaussian_kl(mean, log_var, m[0], log_v[0])
    normal = torch.distributions.Normal
    theirs = torch.distributions.kl_divergence(
        normal(mean, (0.5 * log_var).exp()), normal(m[0], (0.5 * log_v[0]).exp())
    ).sum(dim=1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_sparsity_by_hand_and_at_its_minimum():
    activation = torch.tensor([[0.2, 0.1], [0.4, 0.1]], dtype=torch.float64)  # means 0.3 and 0.1
    expected = 0.1 * np.log(0.1 / 0.3) + 0.9 * np.log(0.9 / 0.7)
    assert float(sparsity(activation, 0.1)) == pytest.approx(expected)
    assert float(sparsity(torch.full((4, 3), 0.05, dtype=torch.float64), 0.05)) < 1e-12
    assert torch.isfinite(sparsity(torch.tensor([[0.0, 1.0]]), 0.05))


def test_sparsity_has_a_gradient_and_the_published_one_has_none():
    code = torch.rand(32, 6, dtype=torch.float64, requires_grad=True)
    sparsity(code, 0.03).backward()
    assert code.grad.abs().min() > 0.01
    code.grad = None
    published = softmax_sparsity(code, 0.03)
    published.backward()
    assert code.grad.abs().max() < 1e-12
    rho, q = 0.03, 1 / 32
    constant = 6 * (rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q)))
    assert float(published.detach()) == pytest.approx(constant)


# Batches


@pytest.mark.parametrize("layout", ["sparse", "dense", "file"])
def test_blocks_are_the_rows(
    prepared: AnnData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: str
):
    values, totals = prepared.X.toarray(), prepared.X.sum(axis=1).A1
    if layout != "dense":
        monkeypatch.setattr("bench.methods.nn.batches._DENSE_BYTES", 0)
    if layout == "file":
        monkeypatch.setattr("bench.methods.nn.batches._ROWS", 40)
        np.save(tmp_path / "values.npy", values)
        prepared.X = np.load(tmp_path / "values.npy", mmap_mode="r")
    cells = Cells(prepared, counts=False, device="cpu")
    rows = np.array([5, 3, 80])
    block = cells.block(rows)
    np.testing.assert_array_equal(block.inputs.numpy(), values[rows])
    np.testing.assert_allclose(cells.feature_means(at_depth=False), values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        block.depth.numpy()[:, 0], totals[rows] / np.median(totals), rtol=1e-6
    )
    sizes = [len(b) for b in cells.blocks(np.arange(90), 40)]
    assert sizes == [40, 40, 10]


def test_counts_are_targets_when_asked(prepared: AnnData):
    prepared.layers["counts"] = prepared.X * 3
    block = Cells(prepared, counts=True, device="cpu").block(np.arange(4))
    torch.testing.assert_close(block.targets, block.inputs * 3)


@pytest.mark.parametrize("layout", ["sparse", "dense"])
@pytest.mark.parametrize("adjust_depth", [True, False])
def test_decoders_of_counts_start_at_the_means(
    prepared: AnnData, monkeypatch: pytest.MonkeyPatch, layout: str, adjust_depth: bool
):
    if layout == "sparse":
        monkeypatch.setattr("bench.methods.nn.batches._DENSE_BYTES", 0)
    weights = sp.diags_array(np.arange(1, 26, dtype=np.float32))
    prepared.layers["counts"] = sp.csr_matrix(prepared.X @ weights)
    params = VAE.Params(hidden=(8,), n_latent=3, adjust_depth=adjust_depth, max_epochs=0)
    cells = Cells(prepared, counts=True, device="cpu")
    network = VariationalAutoencoder(25, make_likelihood("nb", 25, params), params)
    network.fit(cells, fit_context(Curves()))
    block = cells.block(np.arange(90))
    expected = network.likelihood.mean(network.decode(torch.zeros(90, 3)), block)
    depth = block.depth if adjust_depth else 1.0
    torch.testing.assert_close((expected / depth).mean(dim=0), (block.targets / depth).mean(dim=0))


def test_other_decoders_start_at_zero(prepared: AnnData):
    params = VAE.Params(hidden=(8,), n_latent=3, max_epochs=0)
    for name in ("bernoulli", "gaussian"):
        network = VariationalAutoencoder(25, make_likelihood(name, 25, params), params)
        network.fit(Cells(prepared, counts=False, device="cpu"), fit_context(Curves()))
        assert not network.decoder.bias.any()


def test_a_feature_without_counts_has_a_finite_start(prepared: AnnData):
    counts = prepared.X.toarray()
    counts[:, 4] = 0
    prepared.layers["counts"] = sp.csr_matrix(counts)
    start = NegativeBinomial(25, depth_offset=True).start(
        Cells(prepared, counts=True, device="cpu")
    )
    assert torch.isfinite(start).all()
    assert start[4] == start.min()


# Networks and training


def small_autoencoder(n_features: int) -> Autoencoder:
    params = NetworkParameters(hidden=(8,), n_latent=3)
    return Autoencoder(n_features, Bernoulli(depth_offset=False), params)


def test_seeded_restores_the_global_state_and_repeats():
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    with seeded(0, "a"):
        first = torch.randn(2)
    torch.testing.assert_close(torch.randn(3), expected)
    with seeded(0, "a"):
        torch.testing.assert_close(torch.randn(2), first)
    with seeded(1, "a"):
        assert not torch.equal(torch.randn(2), first)


def fit_small(
    data: AnnData, seed: int = 0, **changes: object
) -> tuple[np.ndarray, Curves, Autoencoder]:
    curves = Curves()
    cells = Cells(data, counts=False, device="cpu")
    schedule = Schedule(**({"max_epochs": 30, "batch_size": 16, "learning_rate": 0.01} | changes))
    with seeded(seed, "network"):
        network = small_autoencoder(data.n_vars)
        train(network, network.objective, cells, schedule, fit_context(curves, seed=seed))
    return encode(network, network.embed, cells), curves, network


def test_training_lowers_the_loss_and_repeats(prepared: AnnData):
    first, curves, _ = fit_small(prepared)
    again, _, _ = fit_small(prepared)
    other, _, _ = fit_small(prepared, seed=1)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert curves.values["loss"][-1] < 0.8 * curves.values["loss"][0]
    assert len(curves.values["held_out_loss"]) == len(curves.values["loss"])


def test_early_stopping_keeps_the_best_weights(prepared: AnnData):
    cells = Cells(prepared, counts=False, device="cpu")
    curves = Curves()
    schedule = Schedule(max_epochs=400, batch_size=16, learning_rate=0.05, patience=5)
    with seeded(0, "network"):
        network = small_autoencoder(prepared.n_vars)
        trained = train(network, network.objective, cells, schedule, fit_context(curves))
    held_out = curves.values["held_out_loss"]
    assert trained.epochs == trained.best_epoch + 5 < 400
    assert min(held_out) > (1 - 1e-3) * held_out[trained.best_epoch - 1]


@pytest.mark.parametrize(
    ("batch_size", "warmup", "expected"),
    [(90, 0, (4, 1)), (90, 10, (14, 11)), (30, 10, (7, 4)), (90, 1, (5, 2)), (90, 200, (99, 1))],
)
def test_early_stopping_waits_for_the_warm_up(
    prepared: AnnData, batch_size: int, warmup: int, expected: tuple[int, int]
):
    """Nothing gets better: the first epoch after ``warmup`` updates is kept, three more follow.

    A warm-up that does not end leaves the first epoch of all.
    """
    network = small_autoencoder(prepared.n_vars)
    curves = Curves()

    def objective(block: Block, update: int | None) -> dict[str, torch.Tensor]:
        return {"loss": network.objective(block, update)["loss"] * 0 + 1}

    cells = Cells(prepared, counts=False, device="cpu")
    schedule = Schedule(99, batch_size, 0.01, patience=3, validation=0.0, warmup=warmup)
    trained = train(network, objective, cells, schedule, fit_context(curves))
    assert (trained.epochs, trained.best_epoch) == expected
    assert len(curves.values["loss"]) == expected[0]


def test_a_pass_over_many_cells_takes_several_epochs(
    prepared: AnnData, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.methods.nn.train.EPOCH_CELLS", 40)
    epochs = _epochs(np.arange(90), np.random.default_rng(0))
    parts = [next(epochs) for _ in range(6)]
    assert [len(rows) for rows in parts] == [40, 40, 10, 40, 40, 10]
    for number in (0, 3):
        assert sorted(np.concatenate(parts[number : number + 3])) == list(range(90))
    assert not np.array_equal(parts[0], parts[3])
    in_order = _epochs(np.arange(90), None)
    np.testing.assert_array_equal(np.concatenate([next(in_order) for _ in range(3)]), range(90))
    # Held out is the share of 40 cells.
    seen: list[int] = []
    network = small_autoencoder(prepared.n_vars)

    def objective(block: Block, update: int | None) -> dict[str, torch.Tensor]:
        seen.append(len(block))
        return network.objective(block, update)

    cells = Cells(prepared, counts=False, device="cpu")
    schedule = Schedule(max_epochs=3, batch_size=90, learning_rate=0.01, validation=0.1)
    trained = train(network, objective, cells, schedule, fit_context(Curves()))
    assert seen == [40, 4, 40, 4, 6, 4]
    assert "3 epochs of 40 cells" in trained.note()


def test_no_epoch_leaves_the_first_weights(prepared: AnnData):
    with seeded(0, "network"):
        untouched = small_autoencoder(prepared.n_vars)
    _, curves, network = fit_small(prepared, max_epochs=0)
    assert curves.values == {}
    for ours, theirs in zip(network.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loss_that_is_not_finite_diverges(prepared: AnnData):
    with pytest.raises(Diverged, match="loss is"):
        fit_small(prepared, learning_rate=1e30, max_epochs=60)


def test_learning_rate_decay_follows_the_formula(prepared: AnnData):
    rates: list[float] = []
    original = torch.optim.Adam.step

    def step(self: torch.optim.Adam, *args: object) -> None:
        rates.append(self.param_groups[0]["lr"])
        original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", step)
        fit_small(
            prepared,
            max_epochs=10,
            learning_rate_decay=0.5,
            learning_rate_floor=2e-3,
            validation=0,
        )
    expected = [max(0.01 * 0.5 ** (t // 10), 2e-3) for t in range(60)]
    assert rates == pytest.approx(expected)


def test_incomplete_batches_are_left_out_on_request(prepared: AnnData):
    sizes: list[int] = []
    network = small_autoencoder(prepared.n_vars)

    def objective(block: Block, update: int | None) -> dict[str, torch.Tensor]:
        sizes.append(len(block))
        return network.objective(block, update)

    cells = Cells(prepared, counts=False, device="cpu")
    schedule = Schedule(1, 40, 0.01, drop_last=True, validation=0.0)
    train(network, objective, cells, schedule, fit_context())
    assert sizes == [40, 40]


def test_weight_decay_spares_prior_and_dispersion(prepared: AnnData):
    likelihood = NegativeBinomial(25, depth_offset=True)
    params = VAE.Params(hidden=(4,), n_latent=2, kl_warmup=0)
    network = VariationalAutoencoder(25, likelihood, params, learned_prior=True)
    with torch.no_grad():
        network.prior_log_var.fill_(0.7)

    def nothing(block: Block, update: int | None) -> dict[str, torch.Tensor]:
        zero = sum(p.sum() for p in network.parameters()) * 0.0
        return {"loss": zero}

    weights = network.decoder.weight.detach().abs().sum()
    cells = Cells(prepared, counts=True, device="cpu")
    schedule = Schedule(20, 45, 0.01, weight_decay=1.0, validation=0.0, patience=99)
    with torch.no_grad():
        network.decoder.weight.add_(0)
    train(network, nothing, cells, schedule, fit_context())
    assert torch.equal(network.prior_log_var, torch.full((2,), 0.7))
    assert torch.equal(likelihood.log_theta, torch.zeros(25))
    assert network.decoder.weight.detach().abs().sum() <= weights


def test_vae_warm_up_and_prior():
    params = VAE.Params(hidden=(), n_latent=2, kl_weight=0.5, kl_warmup=10)
    model = VariationalAutoencoder(6, Gaussian(), params)
    assert [model.weight(t) for t in (0, 5, 10, 99, None)] == [0.0, 0.25, 0.5, 0.5, 0.5]
    assert not model.prior_mean.requires_grad


@pytest.mark.parametrize(
    ("name", "given", "updates"),
    [("nb", None, 2000), ("bernoulli", None, 200), ("gaussian", None, 200), ("nb", 8, 8)],
)
def test_counts_have_a_longer_warm_up(name: str, given: int | None, updates: int):
    method = VAE(VAE.Params(kl_warmup=given))
    facts = {"features": list("abcd"), "likelihood": name}
    network = method.build(facts, make_likelihood(name, 4, method.params))
    assert network.kl_warmup == updates
    assert network.weight(updates - 1) == pytest.approx(1 - 1 / updates)
    assert network.weight(updates) == network.weight(None) == 1.0


def test_held_out_cells_are_judged_by_one_fixed_draw():
    params = VAE.Params(hidden=(), n_latent=2, kl_warmup=0)
    model = VariationalAutoencoder(6, Gaussian(), params)
    block = Block(torch.rand(4, 6), torch.rand(4, 6), torch.ones(4, 1))
    values = {float(model.objective(block, None)["loss"].detach()) for _ in range(3)}
    draws = {float(model.objective(block, 0)["loss"].detach()) for _ in range(3)}
    assert len(values) == 1
    assert len(draws) == 3


def test_reported_parts_add_up():
    params = VAE.Params(hidden=(5,), n_latent=2, kl_weight=0.3, kl_warmup=0)
    model = VariationalAutoencoder(6, Gaussian(), params, learned_prior=True)
    block = Block(torch.rand(4, 6), torch.rand(4, 6), torch.ones(4, 1))
    parts = {name: value.detach() for name, value in model.objective(block, 1).items()}
    assert float(parts["loss"]) == pytest.approx(
        float(parts["reconstruction_loss"] + 0.3 * parts["kl_loss"]), rel=1e-5
    )
