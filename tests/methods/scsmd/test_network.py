"""scSMD: shapes and sizes of its networks, every loss against its formula, its phases."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from _method_data import fit_context, typed_counts
from anndata import AnnData
from scipy.stats import nbinom
from torch import nn
from torch.nn import functional

from bench.methods.nn.batches import Cells
from bench.methods.nn.clusters import eigengap, first_labels, leiden_of_size
from bench.methods.nn.likelihoods import negative_binomial
from bench.methods.nn.params import ClusterParameters
from bench.methods.scsmd import ScSMD
from bench.methods.scsmd.losses import (
    cluster_losses,
    fuzzy_centres,
    memberships,
    pair_loss,
    squared_distances,
    usage_entropy,
)
from bench.methods.scsmd.network import (
    AssignmentNetwork,
    ConvolutionalAutoencoder,
    DilatedAttention,
    Normed,
    SqueezeAttention,
    dilated,
    image_side,
)
from bench.methods.scsmd.phases import (
    Churn,
    batches,
    cluster_phase,
    codes_of,
    joint_step,
    settle_norms,
    training_mode,
)


def cells_of(data: AnnData, *, with_counts: bool = True) -> Cells:
    prepared = data.copy()
    prepared.layers["counts"] = data.X.copy()
    prepared.X = data.X.log1p()
    return Cells(prepared, counts=with_counts, device="cpu")


# The networks.


def test_published_sizes():
    network = ConvolutionalAutoencoder(784, 10)
    assert sum(p.numel() for p in network.parameters()) == 2_068_139
    assert sum(p.numel() for p in AssignmentNetwork(10, 10).parameters()) == 19_722


def test_every_parameter_is_in_use():
    torch.manual_seed(0)
    network = ConvolutionalAutoencoder(784, 10)
    image = network.decode(network.encode(torch.rand(2, 784)))
    log_mean, theta = network.count_parameters(image)
    (image.sum() + log_mean.sum() + theta.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_shapes_of_the_default():
    network = ConvolutionalAutoencoder(784, 10)
    seen = []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.stride == (2, 2):
            module.register_forward_hook(lambda m, i, out: seen.append(tuple(out.shape[1:])))
    code = network.encode(torch.rand(2, 784))
    image = network.decode(code)
    assert seen == [(32, 14, 14), (64, 7, 7), (128, 3, 3), (64, 7, 7), (32, 15, 15), (1, 28, 28)]
    assert code.shape == (2, 10)
    assert image.shape == (2, 784)


@pytest.mark.parametrize("n_genes", [1, 81, 82, 100, 121, 150, 256, 300, 400, 800])
@pytest.mark.parametrize("attention", ["mdsab", "none"])
def test_any_number_of_genes(n_genes: int, attention: str):
    network = ConvolutionalAutoencoder(n_genes, 4, attention=attention, dilations=(1, 3)).eval()
    side = image_side(n_genes)
    assert side == max(9, int(np.ceil(np.sqrt(n_genes))))
    image = network.decode(network.encode(torch.rand(2, n_genes)))
    assert image.shape == (2, side**2)
    assert [part.shape for part in network.count_parameters(image)] == [(2, n_genes)] * 2


@pytest.mark.parametrize("rate", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("side", [3, 7, 14])
def test_taps_outside_the_map_collapse_exactly(rate: int, side: int):
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 4, 3, padding=rate, dilation=rate).double()
    maps = torch.randn(2, 5, side, side, dtype=torch.float64, requires_grad=True)
    found = dilated(maps, layer.weight, layer.bias, rate)
    torch.testing.assert_close(found, layer(maps), rtol=0, atol=1e-14)
    # Its gradients too, which the CPU takes tap by tap for large dilations.
    toward = torch.randn_like(found)
    of = (maps, layer.weight, layer.bias)
    for one, other in zip(
        torch.autograd.grad(found, of, toward),
        torch.autograd.grad(layer(maps), of, toward),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def random_norms(module: nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean), nn.init.normal_(norm.bias)
            nn.init.uniform_(norm.running_var, 0.5, 2), nn.init.uniform_(norm.weight, 0.5, 2)


@pytest.mark.parametrize("bias", [True, False])
def test_a_settled_norm_joins_its_convolution_exactly(bias: bool):
    torch.manual_seed(0)
    both = Normed(nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias)).double().eval()
    random_norms(both)
    maps = torch.randn(2, 3, 6, 6).double()
    one, other = both(maps), both.norm(both.convolution(maps))
    torch.testing.assert_close(one, other)
    for found, expected in zip(
        torch.autograd.grad(one.square().sum(), list(both.parameters())),
        torch.autograd.grad(other.square().sum(), list(both.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_gate_against_its_formula(training: bool):
    torch.manual_seed(0)
    gate = DilatedAttention(3, (1, 2, 5)).double().train(training)
    random_norms(gate)
    maps = torch.randn(4, 3, 5, 5).double()
    norms = copy.deepcopy(gate)  # running statistics move in training
    found = gate(maps)
    joined = norms.norm(torch.cat([branch(maps) for branch in norms.branches], dim=1))
    vote = norms.vote.norm(norms.vote.convolution(functional.relu(joined)))
    torch.testing.assert_close(found, maps * (1 + torch.sigmoid(vote)))


def test_squeeze_attention_is_b_times_a_plus_b():
    torch.manual_seed(0)
    block = SqueezeAttention(3).eval()
    maps = torch.randn(2, 3, 6, 6)
    a = block.fine(maps)
    b = block.coarse(functional.avg_pool2d(maps, 2)).repeat_interleave(2, 2)
    b = b.repeat_interleave(2, 3)
    torch.testing.assert_close(block(maps), a * b + b)


def test_padding_behind_the_genes_is_empty():
    network = ConvolutionalAutoencoder(90, 3)
    seen = {}
    network.encoder[0].register_forward_hook(lambda m, i, out: seen.update(image=i[0]))
    values = torch.rand(2, 90) + 1
    network.encode(values)
    flat = seen["image"].flatten(1)
    torch.testing.assert_close(flat[:, :90], values)
    assert flat.shape == (2, 100)
    assert (flat[:, 90:] == 0).all()


# The losses.


def test_memberships_against_fuzzy_c_means():
    rng = np.random.default_rng(0)
    codes, centres = rng.normal(size=(7, 3)), rng.normal(size=(4, 3))
    distance = np.linalg.norm(codes[:, None] - centres[None], axis=2)
    m = 1.5
    # Bezdek: 1 / sum_j (d_ik / d_ij)^(2 / (m - 1)).
    expected = 1 / ((distance[:, :, None] / distance[:, None, :]) ** (2 / (m - 1))).sum(axis=2)
    found = memberships(torch.from_numpy(codes), torch.from_numpy(centres), m)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("m", [1.1, 1.5, 2.5])
def test_memberships_on_a_centre_and_far_away(m: float):
    centres = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    codes = torch.tensor([[0.0, 0.0], [1e15, 1e15], [3.0, 0.0]], requires_grad=True)
    p = memberships(codes, centres, m)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(3))
    assert p[0, 0] > 0.99
    assert p[2, 1] > 0.99
    assert not p.requires_grad


def test_centres_are_weighted_means_and_an_empty_one_stays():
    codes, centres = torch.randn(6, 2).double(), torch.randn(3, 2).double()
    weights = memberships(codes, centres, 1.5) ** 1.5
    expected = torch.stack([(w[:, None] * codes).sum(0) / w.sum() for w in weights.T])
    torch.testing.assert_close(fuzzy_centres(codes, centres, 1.5), expected)
    lost = torch.tensor([[0.0, 0.0], [1e6, 1e6]])
    moved = fuzzy_centres(torch.zeros(5, 2), lost, 1.5)
    torch.testing.assert_close(moved[1], lost[1])


def test_negative_binomial_against_scipy():
    rng = np.random.default_rng(0)
    found = rng.poisson(1.0, (6, 5)).astype(float)
    mean, theta = rng.uniform(0.1, 9.0, (6, 5)), rng.uniform(0.05, 20.0, (6, 5))
    expected = -nbinom.logpmf(found, theta, theta / (theta + mean))
    arrays = (found, np.log(mean), theta, np.log(theta))
    loss = negative_binomial(*(torch.from_numpy(array) for array in arrays))
    np.testing.assert_allclose(loss, expected, rtol=1e-8)


def test_cluster_losses_cluster_by_cluster():
    rng = np.random.default_rng(0)
    w, d = rng.random((5, 3)), rng.random((5, 3))
    e, c = rng.random(5), rng.random(5)
    expected = [
        sum(w[i, k] * (e[i] + 0.2 * d[i, k] + 0.1 * c[i]) for i in range(5)) for k in range(3)
    ]
    t = [torch.from_numpy(a) for a in (w, e, d, c)]
    found = cluster_losses(*t, centering=0.2, count_weight=0.1)
    np.testing.assert_allclose(found, expected)
    without = cluster_losses(*t[:3], None, centering=0.2, count_weight=0.1)
    np.testing.assert_allclose(without, cluster_losses(*t, centering=0.2, count_weight=0.0))


def test_pair_loss_pair_by_pair():
    rng = np.random.default_rng(0)
    q = rng.dirichlet(np.full(3, 0.2), 8)
    q[0], q[1] = [0.995, 0.004, 0.001], [0.5, 0.495, 0.005]
    s = q @ q.T
    hard = np.where(q > 0.99, 1.0, np.where(q < 0.01, 0.0, q))
    expected = 0.0
    for i in range(8):
        for j in range(8):
            alike = hard[i] @ hard[j]
            expected += (s[i, j] > 0.8) * (1 - alike) + (s[i, j] < 0.2) * alike
    found = pair_loss(torch.from_numpy(q), torch.from_numpy(s), 0.8)
    assert float(found) == pytest.approx(expected)


def test_decided_entries_have_no_gradient():
    q = torch.tensor([[0.995, 0.005], [0.6, 0.4]], requires_grad=True)
    pair_loss(q, torch.ones(2, 2), 0.8).backward()
    assert (q.grad[0] == 0).all()
    assert (q.grad[1] != 0).all()


def test_usage_of_clusters():
    assert float(usage_entropy(torch.full((4, 5), 0.2))) == pytest.approx(1.0)
    assert float(usage_entropy(torch.eye(3)[[0, 0, 0]])) == pytest.approx(0.0, abs=1e-6)
    assert float(usage_entropy(torch.ones(4, 1))) == 1.0
    torch.testing.assert_close(
        squared_distances(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])),
        torch.tensor([[5.0, 1.0]]),
    )


# The phases.


@pytest.mark.parametrize(("n_cells", "size"), [(4340, 100), (201, 100), (101, 100), (7, 100)])
def test_every_cell_once_and_never_alone(n_cells: int, size: int):
    found = list(batches(n_cells, size, np.random.default_rng(0)))
    assert sorted(np.concatenate(found)) == list(range(n_cells))
    assert min(len(rows) for rows in found) > 1


def test_every_row_of_the_codes_is_its_cell():
    data = typed_counts(300, 30)
    network = ConvolutionalAutoencoder(30, 3, attention="none")
    cells = cells_of(data)
    settle_norms(network, lambda rows: network.encode(cells.block(rows).inputs), 300, 100)
    whole = codes_of(network, cells)
    for row in (0, 255, 256, 299):
        alone = network.encode(cells.block(np.array([row])).inputs)[0]
        torch.testing.assert_close(whole[row], alone, rtol=1e-3, atol=1e-5)


def test_centred_genes_are_centred_and_given_back():
    torch.manual_seed(0)
    network = ConvolutionalAutoencoder(90, 3)
    values, offset = torch.rand(4, 90), torch.arange(90.0)
    code = network.encode(values)
    image = network.decode(code)
    network.offset.copy_(offset)
    torch.testing.assert_close(network.encode(values + offset), code, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(network.decode(code)[:, :90], image[:, :90] + offset)
    torch.testing.assert_close(network.decode(code)[:, 90:], image[:, 90:])


def test_settled_norms_are_means_over_batches():
    network = nn.Sequential(nn.BatchNorm1d(30))
    cells = cells_of(typed_counts(40, 30))
    settle_norms(network, lambda rows: network(cells.block(rows).inputs), 40, 40)
    values = cells.block(np.arange(40)).inputs
    torch.testing.assert_close(network[0].running_mean, values.mean(dim=0))
    torch.testing.assert_close(network[0].running_var, values.var(dim=0))
    assert network[0].momentum == 0.1


def test_frozen_norms_keep_their_statistics():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    training_mode(network, frozen_norms=True)
    assert [module.training for module in network] == [True, False, True]
    training_mode(network, frozen_norms=False)
    assert all(module.training for module in network)


def test_joint_step_by_hand():
    # Two steps along equal slices g: v = g, then 0.9 g + g; together 2.9 g of 2 g.
    rate, momentum = joint_step(1.0, 0.9, 2)
    assert rate == pytest.approx(1.9)
    assert momentum == pytest.approx(0.81)
    assert joint_step(0.1, 0.9, 1) == pytest.approx((0.1, 0.9))


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.slow
def test_joint_moves_as_sequential(frozen: bool):
    cells = cells_of(typed_counts(48, 30, 4))
    centres = 0.3 * torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3))).float()
    moved = []
    for update in ("joint", "sequential"):
        torch.manual_seed(0)
        network = ConvolutionalAutoencoder(30, 3, attention="none")
        settle_norms(network, lambda r, net=network: net.encode(cells.block(r).inputs), 48, 16)
        before = nn.utils.parameters_to_vector(network.parameters()).detach().clone()
        params = ScSMD.Params(
            update=update, batch_size=16, max_epochs=4, cluster_learning_rate=1e-5,
            frozen_norms=frozen, tolerance=0.0, max_gradient=0.0,
        )  # fmt: skip
        cluster_phase(network, cells, centres, params, fit_context())
        after = nn.utils.parameters_to_vector(network.parameters()).detach()
        moved.append(after - before)
    assert float(torch.cosine_similarity(*moved, dim=0)) > 0.999
    assert float(moved[0].norm() / moved[1].norm()) == pytest.approx(1.0, abs=0.05)


def test_churn_counts_changed_labels():
    churn = Churn(4, 0.25, torch.device("cpu"))
    rows = np.array([2, 0, 1, 3])
    soft = torch.eye(4)
    churn.add(rows, soft)
    assert churn.labels.tolist() == [1, 2, 0, 3]
    assert churn.end_epoch() == 1.0
    churn.add(rows[:1], soft[1:2])
    assert churn.end_epoch() == 0.25
    assert not churn.settled()
    assert churn.end_epoch() == 0.0
    assert churn.settled()
    endless = Churn(4, 0.0, torch.device("cpu"))
    endless.end_epoch(), endless.end_epoch(), endless.end_epoch()
    assert not endless.settled()


def test_first_clusters():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.eye(4) * 50, 30, axis=0) + rng.normal(size=(120, 4))
    truth = np.repeat(np.arange(4), 30)
    for found in (
        first_labels(codes, ClusterParameters(), 4, 0),
        first_labels(codes, ClusterParameters(k_from="eigengap"), None, 0),
        first_labels(codes, ClusterParameters(k_from="leiden"), None, 0),
        first_labels(codes, ClusterParameters(k_from="leiden"), 4, 0),
    ):
        assert len(set(found[truth == 2])) == 1
        assert len(set(found)) == 4
    assert eigengap(codes, 0) == 4
    assert eigengap(np.ones((20, 2)), 0) == 1
    assert set(first_labels(np.ones((20, 2)), ClusterParameters(), 4, 0)) == {0}


def test_leiden_takes_a_resolution_or_a_number_of_clusters():
    codes = np.random.default_rng(0).normal(size=(200, 5))  # no clusters of its own
    coarse, fine = (
        first_labels(codes, ClusterParameters(k_from="leiden", resolution=value), None, 0)
        for value in (0.2, 3.0)
    )
    assert len(set(coarse)) < len(set(fine))
    for k in (1, 3, 9):
        assert len(set(first_labels(codes, ClusterParameters(k_from="leiden"), k, 0))) == k
    assert set(leiden_of_size(np.ones((20, 2)), 4, 0)) == {0}
    # Islands cannot be joined, so that the nearest number is theirs.
    islands = np.repeat(np.eye(5) * 1e3, 40, axis=0) + np.random.default_rng(0).normal(
        size=(200, 5)
    )
    assert len(set(leiden_of_size(islands, 2, 0))) == 5
