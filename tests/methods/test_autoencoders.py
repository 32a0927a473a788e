"""The four autoencoders as methods: presets, published quirks, kept state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.contract import ATAC, RNA
from bench.errors import DataError
from bench.methods.nn import layerwise, stacked
from bench.methods.nn.batches import Block
from bench.methods.nn.fitted_network import FittedNetwork
from bench.methods.nn.likelihoods import Gaussian
from bench.methods.nn.models import SparseAutoencoder
from bench.methods.nn.stacked import StackedAutoencoder
from bench.methods.sparse_ae import SparseAE
from bench.registry import methods
from bench.seeds import derive_seed

NAMES = ["ae", "sparse_ae", "stacked_ae", "vae"]
SMALL = {"hidden": "16", "n_latent": 5, "max_epochs": 60, "batch_size": 16, "n_top_genes": 30}


def estimator(name: str, *presets: str, **params: object) -> Estimator:
    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(params, presets=presets, owner=name)))


@pytest.fixture(scope="module")
def toy_peaks(toy_counts: AnnData) -> AnnData:
    peaks = toy_counts.copy()
    peaks.X = peaks.X.copy()
    peaks.X.data[:] = np.minimum(peaks.X.data, 1)
    return peaks


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("modality", [RNA, ATAC])
def test_types_are_found(name: str, modality: str, toy_counts: AnnData):
    changes = {"low": 0.0, "high": 1.0, "learning_rate": 0.01}
    fitted = estimator(name, **(SMALL | changes)).fit(toy_counts, modality=modality)
    assert fitted.embedding_.shape == (60, 5)
    assert fitted.embedding_.dtype == np.float32
    found = KMeans(3, n_init=10, random_state=0).fit_predict(fitted.embedding_)
    if modality == RNA:
        assert adjusted_rand_score(toy_counts.obs["cell_type"], found) > 0.9
    assert fitted.curves_["loss"][-1] < fitted.curves_["loss"][0]


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_embedding(name: str, toy_counts: AnnData):
    first, again = (
        estimator(name, **(SMALL | {"max_epochs": 5})).fit(toy_counts, seed=3) for _ in range(2)
    )
    other = estimator(name, **(SMALL | {"max_epochs": 5})).fit(toy_counts, seed=4)
    np.testing.assert_array_equal(first.embedding_, again.embedding_)
    assert not np.allclose(first.embedding_, other.embedding_)


@pytest.mark.parametrize("name", NAMES)
def test_kept_model_embeds_alike(name: str, toy_counts: AnnData, tmp_path: Path):
    params = SMALL | {"max_epochs": 3, "likelihood": "nb"}
    fitted = estimator(name, **params).fit(toy_counts)
    fitted.method.save(tmp_path)
    other = estimator(name, **params)
    other.method.load(tmp_path)
    np.testing.assert_allclose(
        other.method.transform(fitted.prepared_), fitted.embedding_, rtol=1e-5, atol=1e-6
    )
    few = fitted.prepared_[:7].copy()
    assert other.method.transform(few).shape == (7, 5)
    with pytest.raises(DataError) as error:
        other.method.transform(fitted.prepared_[:, ::-1].copy())
    assert error.value.code == "other_features"


@pytest.mark.parametrize("name", NAMES)
def test_untrained_twin(name: str, toy_counts: AnnData):
    fitted = estimator(name, **(SMALL | {"max_epochs": 0})).fit(toy_counts)
    assert fitted.curves_ == {}
    assert np.isfinite(fitted.embedding_).all()


@pytest.mark.parametrize("name", NAMES)
def test_number_of_parameters(name: str, toy_counts: AnnData):
    fitted = estimator(name, **(SMALL | {"max_epochs": 0, "likelihood": "gaussian"}))
    fitted.fit(toy_counts)
    encoder = 30 * 16 + 16 + 16 * 5 + 5
    expected = {
        "ae": encoder + 5 * 30 + 30,
        "sparse_ae": encoder + 5 * 30 + 30,
        "vae": encoder + 16 * 5 + 5 + 5 * 30 + 30,
        "stacked_ae": encoder + 5 * 16 + 16 + 16 * 30 + 30,
    }
    assert fitted.fit_.n_parameters == expected[name]


def test_likelihood_is_recorded(toy_counts: AnnData, toy_peaks: AnnData):
    def chosen(data: AnnData, modality: str, **params: object) -> str:
        params = SMALL | {"max_epochs": 1, "low": 0.0, "high": 1.0} | params
        return estimator("vae", **params).fit(data, modality=modality).fit_.notes["likelihood"]

    assert chosen(toy_counts, RNA) == "nb"
    assert chosen(toy_peaks, ATAC) == "bernoulli"
    assert chosen(toy_counts, RNA, likelihood="gaussian") == "gaussian"


@pytest.mark.slow
def test_chromatin_code_does_not_follow_depth(toy_peaks: AnnData):
    # One type at two depths: thinning a binary matrix changes nothing but the depth.
    rng = np.random.default_rng(0)
    dense = rng.random((200, 60)) < 0.7
    dense[::2] &= rng.random((100, 60)) < 0.3
    import scipy.sparse as sp

    data = AnnData(sp.csr_matrix(dense.astype(np.float32)))
    deep = dense.sum(axis=1)

    def correlation(adjust: bool) -> float:
        params = SMALL | {"low": 0.0, "high": 1.0, "n_latent": 2, "adjust_depth": adjust}
        fitted = estimator("ae", **params).fit(data, modality=ATAC)
        code = np.column_stack([fitted.embedding_, np.ones(200)])
        explained = code @ np.linalg.lstsq(code, deep, rcond=None)[0]
        return float(np.corrcoef(explained, deep)[0, 1])

    assert correlation(False) > 0.9
    assert correlation(True) < correlation(False) - 0.1


# What is published


@pytest.mark.parametrize("name", NAMES)
def test_faithful_presets_fit(name: str, toy_peaks: AnnData):
    params = {"hidden": "16", "min_peaks": 5, "max_epochs": 3, "low": 0.0, "high": 1.0}
    if name == "stacked_ae":
        params |= {"pretrain_epochs": 2}
    if name == "sparse_ae":
        params |= {"hidden": ""}
    fitted = estimator(name, "faithful", **params).fit(toy_peaks, modality=ATAC)
    assert fitted.embedding_.shape[1] == (32 if name == "sparse_ae" else 10)
    if name != "vae":
        assert fitted.embedding_.min() >= 0
        assert fitted.fit_.notes["likelihood"] == "gaussian"


def test_faithful_architecture_of_huang():
    for name in NAMES:
        cls = methods().get(name)
        params = cls.Params.build({}, presets=("faithful",), owner=name)
        assert params.hidden == {
            "ae": (1024, 128), "vae": (1024, 128), "sparse_ae": (), "stacked_ae": (8192, 2048, 256)
        }[name]  # fmt: skip
        assert params.learning_rate == {
            "ae": 0.01, "sparse_ae": 0.001, "stacked_ae": 0.01, "vae": 0.002
        }[name]  # fmt: skip
        assert params.batch_size == (100 if name == "ae" else 32)


def test_published_sparsity_is_constant_and_ours_is_not(toy_peaks: AnnData):
    def penalties(penalty: str) -> list[float]:
        fitted = estimator(
            "sparse_ae", n_latent=6, max_epochs=20, penalty=penalty, beta=1, low=0, high=1,
            drop_last=True, batch_size=18,
        ).fit(toy_peaks, modality=ATAC)  # fmt: skip
        return fitted.curves_["sparsity_loss"]

    published, ours = penalties("softmax"), penalties("activation")
    assert np.ptp(published) < 1e-6
    assert ours[-1] < 0.8 * ours[0]


def test_published_stack_moves_only_its_last_layer(toy_peaks: AnnData):
    def layers(epochs: int) -> StackedAutoencoder:
        fitted = estimator(
            "stacked_ae", "faithful", hidden="16-12-8", n_latent=4, min_peaks=0, low=0, high=1,
            pretrain_epochs=1, max_epochs=epochs,
        ).fit(toy_peaks, modality=ATAC)  # fmt: skip
        return fitted.method.fitted.network

    one, more = layers(1), layers(6)
    for first, second in zip(one.encoders, more.encoders, strict=True):
        assert torch.equal(first.weight, second.weight)
    assert all(
        torch.equal(a.weight, b.weight)
        for a, b in zip(one.decoders[1:], more.decoders[1:], strict=True)
    )
    assert not torch.equal(one.decoders[0].bias, more.decoders[0].bias)


def test_layers_trained_in_the_span_of_their_inputs_are_the_same(toy_peaks: AnnData, monkeypatch):
    """Eight cells span at most eight dimensions; plain gradient descent never leaves them."""
    few = toy_peaks[:8].copy()
    used: list[bool] = []
    rule = layerwise._spans_less

    def layers() -> tuple[StackedAutoencoder, dict[str, list[float]]]:
        fitted = estimator(
            "stacked_ae", "faithful", hidden="24-20", n_latent=4, min_peaks=0, low=0, high=1,
            pretrain_epochs=20, max_epochs=5, batch_size=3, learning_rate=0.05,
            pretrain_learning_rate=0.3,
        ).fit(few, modality=ATAC)  # fmt: skip
        return fitted.method.fitted.network, fitted.curves_

    monkeypatch.setattr(layerwise, "_spans_less", lambda *a: used.append(rule(*a)) or used[-1])
    span, curves = layers()
    # The layers of the chain and the last again; four inputs are too few to be worth it.
    assert used == [True, True, True, False, True, True, True]
    monkeypatch.setattr(layerwise, "_spans_less", lambda *_: False)
    direct, expected = layers()
    for name, values in expected.items():
        np.testing.assert_allclose(curves[name], values, rtol=1e-4, err_msg=name)
    for first, second in zip(span.parameters(), direct.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)
    assert curves["layer1_loss"][0] - curves["layer1_loss"][-1] > 1e-3  # they did move


def test_the_thrown_away_decoder_is_the_published_one_beside_its_zeros():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = layerwise.PublishedLayer(torch.nn.Linear(7, 5))
        x = torch.rand(4, 7)
    block = Block(x, x, torch.ones(4, 1))
    code = torch.clamp(x @ model.layer.weight.T + model.layer.bias, min=0)
    weight, bias = model.back.weight[:, :5], model.back.bias
    expected = ((1 / (1 + torch.exp(-(code @ weight.T + bias))) - x) ** 2).mean()
    loss = model.objective(block, 0)["loss"]
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert model.back.weight.shape == (7, 16)
    assert model.back.weight.grad[:, :5].any()
    assert not model.back.weight.grad[:, 5:].any()


def moved_by_fine_tuning(
    data: AnnData, monkeypatch: pytest.MonkeyPatch, **params: object
) -> tuple[set[str], Estimator]:
    """Return the layers whose weights are not those that pretraining left, and the fit."""
    between: list[dict[str, torch.Tensor]] = []
    pretrain = stacked.pretrain

    def kept(stack: StackedAutoencoder, *args: object, **options: object) -> None:
        pretrain(stack, *args, **options)
        between.append({name: value.clone() for name, value in stack.state_dict().items()})

    with monkeypatch.context() as patch:
        patch.setattr(stacked, "pretrain", kept)
        fitted = estimator(
            "stacked_ae", hidden="16-8", n_latent=3, pretrain_epochs=2, max_epochs=10,
            n_top_genes=30, **params,
        ).fit(data)  # fmt: skip
    (before,) = between
    after = fitted.method.fitted.network.state_dict()
    moved = {
        name.removesuffix(".weight")
        for name in before
        if name.endswith(".weight") and not torch.allclose(before[name], after[name])
    }
    return moved, fitted


def test_fine_tuning_moves_every_layer(toy_counts: AnnData, monkeypatch: pytest.MonkeyPatch):
    moved, fitted = moved_by_fine_tuning(toy_counts, monkeypatch)
    assert moved == {f"{half}.{level}" for half in ("encoders", "decoders") for level in range(3)}
    assert {"layer1_loss", "layer2_loss", "layer3_loss", "loss"} <= set(fitted.curves_)
    # Pretraining helps: fine-tuning starts below where the first layer started.
    assert fitted.curves_["loss"][0] < fitted.curves_["layer1_loss"][0]
    # What the test compares with is what pretraining left: the published way moves one layer.
    moved, _ = moved_by_fine_tuning(toy_counts, monkeypatch, fine_tune="last")
    assert moved == {"decoders.0"}


def test_pretraining_moves_every_layer(toy_counts: AnnData):
    fitted = estimator(
        "stacked_ae", hidden="16-8", n_latent=3, pretrain_epochs=2, max_epochs=1, n_top_genes=30,
        fine_tune="last",
    ).fit(toy_counts)  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(0, "network"))
        fresh = FittedNetwork(
            fitted.method, fitted.method.fitted.facts, "cpu"
        ).network.state_dict()
    for name, value in fitted.method.fitted.network.state_dict().items():
        assert not torch.allclose(fresh[name], value), name


def test_held_out_cells_are_judged_without_the_sparsity_penalty():
    """Fitted to the training cells the penalty grows on others: it stopped training at once."""
    params = SparseAE.Params(hidden=(), n_latent=4, rho=0.05, beta=3.0)
    model = SparseAutoencoder(6, Gaussian(), params)
    block = Block(torch.rand(5, 6), torch.rand(5, 6), torch.ones(5, 1))
    held_out = model.objective(block, None)
    assert float(held_out["loss"]) == pytest.approx(float(held_out["reconstruction_loss"]))
    training = model.objective(block, 0)
    whole = float(training["reconstruction_loss"]) + 3.0 * float(training["sparsity_loss"])
    assert float(training["loss"]) == pytest.approx(whole)
    assert float(training["sparsity_loss"]) > 0
