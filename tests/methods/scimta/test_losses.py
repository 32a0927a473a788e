"""Losses and network pieces of scIMTA against the same thing written out densely."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy import stats
from torch.nn import functional

from bench.methods.scimta import losses
from bench.methods.scimta.cell_graph import neighbors, surfing_graph
from bench.methods.scimta.losses import AdjacencyLoss
from bench.methods.scimta.network import (
    GraphConvolution,
    GraphEncoder,
    MultinomialHead,
    Propagation,
    zero_inflated,
)

N = 70


@pytest.fixture(scope="module")
def graph():
    points = np.random.default_rng(0).normal(size=(N, 6))
    return surfing_graph(neighbors(points, 8, metric="euclidean", seed=0), hops=2, alpha=0.98)


def factors(n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(n, 5, dtype=torch.float64, generator=draw).requires_grad_() for _ in range(2)
    )


def dense_loss(logits: torch.Tensor, target: np.ndarray, *, balanced: bool) -> torch.Tensor:
    a = torch.from_numpy(target.astype(np.float64))
    if not balanced:
        return (a - torch.sigmoid(logits)).square().mean()
    apart = ~torch.eye(len(a), dtype=torch.bool)
    edges = (a * functional.softplus(-logits))[apart].sum() / a[apart].sum()
    return (edges + functional.softplus(logits[apart & (a == 0)]).mean()) / 2


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("self_edges", [True, False])
def test_tiled_loss_equals_the_dense_one(graph, monkeypatch, balanced, self_edges):
    monkeypatch.setattr(losses, "_TILE", 9 * N)  # tiles of 9 rows, a smaller last one
    target = graph.target + sp.identity(N, dtype=np.float32) if self_edges else graph.target
    left, right = factors()
    found = AdjacencyLoss(target, balanced=balanced, device="cpu")(left, right)
    gradients = torch.autograd.grad(found, (left, right))
    expected = dense_loss(left @ right.T, target.toarray(), balanced=balanced)
    wanted = torch.autograd.grad(expected, (left, right))
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-6)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-5)


@pytest.mark.parametrize("balanced", [True, False])
def test_sampled_loss_has_the_exact_one_as_its_mean(graph, balanced):
    left, right = factors()
    exact = AdjacencyLoss(graph.target, balanced=balanced, device="cpu")(left, right)
    # 35² / 70: 17 of 70 rows at a time.
    sampled = AdjacencyLoss(graph.target, balanced=balanced, device="cpu", exact_nodes=35)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = torch.stack([sampled(left, right).detach() for _ in range(400)])
    assert draws.std() > 0
    assert abs(draws.mean() - exact) < 4 * draws.std() / 20


def test_a_constant_cannot_beat_the_balanced_loss(graph):
    loss = AdjacencyLoss(graph.target, balanced=True, device="cpu")
    one = torch.ones(N, 1)
    values = [float(loss(one * level, one)) for level in (-3.0, -0.1, 0.0, 0.1, 3.0)]
    assert min(values) == pytest.approx(np.log(2), rel=1e-5)
    assert values[2] == min(values)
    # The published loss has its best constant near the all-zero graph.
    mse = AdjacencyLoss(graph.target, balanced=False, device="cpu")
    assert float(mse(one * -4.0, one)) < float(mse(one * 0.0, one)) / 2


def test_complete_and_empty_graphs_have_a_finite_loss():
    left, right = factors(6)
    for target in (np.ones((6, 6)) - np.eye(6), np.zeros((6, 6))):
        loss = AdjacencyLoss(sp.csr_matrix(target), balanced=True, device="cpu")(left, right)
        assert torch.isfinite(loss)
    assert np.isnan(losses.edge_auroc(left, right, sp.csr_matrix((6, 6)), 0))


def test_edge_auroc_of_the_truth_is_one(graph):
    values, vectors = np.linalg.eigh(graph.target.toarray().astype(np.float64))
    left, right = torch.from_numpy(vectors * values), torch.from_numpy(vectors)
    assert losses.edge_auroc(left, right, graph.target, 0) > 0.999


def test_zero_inflated_negative_binomial():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (8, 5)).astype(float)
    mean, theta = rng.gamma(2.0, 1.0, (8, 5)), rng.gamma(2.0, 1.0, (8, 5))
    share = rng.uniform(0.05, 0.9, (8, 5))
    plain = stats.nbinom.pmf(counts, theta, theta / (theta + mean))
    expected = -np.log(share * (counts == 0) + (1 - share) * plain)
    found = zero_inflated(
        torch.from_numpy(counts), torch.from_numpy(np.log(mean)), torch.from_numpy(theta),
        torch.from_numpy(np.log(share / (1 - share))),
    )  # fmt: skip
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_zero_inflated_gradient_is_finite_at_the_bounds():
    tensors = [torch.full((2, 2), value, requires_grad=True) for value in (13.8, 1e-4, 30.0)]
    counts = torch.tensor([[0.0, 500.0], [1.0, 0.0]])
    zero_inflated(counts, *tensors).sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in tensors)


def test_multinomial_head_is_the_mean_nats_of_a_count():
    torch.manual_seed(0)
    head = MultinomialHead(3, 4)
    hidden, counts = torch.randn(2, 3), torch.tensor([[1.0, 0, 2, 0], [0, 0, 0, 0]])
    log_p = functional.log_softmax(head.logits(hidden), dim=1)
    expected = -(log_p[0, 0] + 2 * log_p[0, 2]) / 3 / 2
    torch.testing.assert_close(head(hidden, counts, torch.ones(2, 1)), expected)
    mean = head.mean(hidden, counts.sum(dim=1, keepdim=True), torch.ones(2, 1))
    torch.testing.assert_close(mean.sum(dim=1), torch.tensor([3.0, 0.0]))


@pytest.mark.parametrize("hops", [1, 3])
def test_convolution_uses_true_powers(graph, hops):
    torch.manual_seed(0)
    layer = GraphConvolution(6, 4, hops)
    dense = torch.from_numpy(graph.operator.toarray())
    values = torch.randn(N, 6, requires_grad=True)
    propagate = Propagation(graph.operator, "cpu")
    expected = layer.bias + sum(
        torch.linalg.matrix_power(dense, power) @ values @ layer.weight[power]
        for power in range(hops + 1)
    )
    found = layer(values, propagate)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        layer.of_powers(propagate.powers(values, hops)), expected, atol=1e-5, rtol=1e-4
    )
    weight = torch.randn(N, 4)
    one, other = (
        torch.autograd.grad((values_of * weight).sum(), values, retain_graph=True)[0]
        for values_of in (found, expected)
    )
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_operator_that_is_not_symmetric_has_the_right_gradient():
    operator = sp.random(20, 20, 0.3, "csr", rng=np.random.default_rng(0), dtype=np.float32)
    values = torch.randn(20, 3, requires_grad=True)
    Propagation(operator, "cpu")(values)[:, 0].sum().backward()
    expected = operator.toarray().sum(axis=0)
    np.testing.assert_allclose(values.grad[:, 0].numpy(), expected, atol=1e-5)


def test_encoder_without_hidden_layers(graph):
    torch.manual_seed(0)
    propagate = Propagation(graph.operator, "cpu")
    encoder = GraphEncoder(6, (), 4, hops=1)
    assert encoder(propagate.powers(torch.randn(N, 6), 1), propagate).shape == (N, 4)


def test_targets_sharpen_and_divergences_have_the_stated_direction():
    codes = torch.tensor([[0.0], [0.2], [3.0], [2.0]], dtype=torch.float64)
    centres = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    q = losses.soft_assignment(codes, centres)
    torch.testing.assert_close(q[3], torch.tensor([1 / 5, 1 / 2], dtype=torch.float64) / 0.7)
    p = losses.sharpened(q)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(4, dtype=torch.float64))
    assert (p.max(dim=1).values > q.max(dim=1).values).all()
    for direction, one, other in (("pq", p, q), ("qp", q, p)):
        expected = stats.entropy(one.numpy(), other.numpy(), axis=1).mean()
        assert float(losses.cluster_loss(q, p, direction)) == pytest.approx(expected)
