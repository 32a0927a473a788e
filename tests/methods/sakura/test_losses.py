"""Losses and priors of SAKURA: reference values, gradients, cells that are not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.methods.sakura.loss_terms import Regularizer
from bench.methods.sakura.losses import (
    mixture_prior,
    per_cell,
    reverse_gradient,
    ring_prior,
    sliced_wasserstein,
    uniform_prior,
    weighted_mean,
)
from bench.methods.sakura.objective import regularize

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_sliced_wasserstein_to_a_box_has_the_reference_values():
    """Collapsed codes: (b - a)² / 12 = 33.3; the same distribution: the noise of the sample."""
    box = uniform_prior(20_000, 2, -10, 10, CPU)
    assert float(sliced_wasserstein(torch.zeros(20_000, 2), box, 50)) == pytest.approx(33.3, 0.02)
    same = uniform_prior(20_000, 2, -10, 10, CPU)
    assert float(sliced_wasserstein(same, box, 50)) < 0.03
    noise = [
        float(regularize(Regularizer("uniform"), uniform_prior(100, 50, -10, 10, CPU)))
        for _ in range(20)
    ]
    assert np.mean(noise) == pytest.approx(1.8, abs=0.3)


def test_the_mixture_has_its_components_on_a_circle():
    labels = torch.arange(4).repeat(1000)
    sample = mixture_prior(4000, 5, 4, 0.5, 0.1, CPU, labels=labels)
    first = sample[labels == 0]
    assert first[:, :2].mean(dim=0).tolist() == pytest.approx([1.4, 0.0], abs=0.06)
    assert first[:, :2].std(dim=0).tolist() == pytest.approx([0.5, 0.1], abs=0.03)
    second = sample[labels == 1]
    assert second[:, 2:4].mean(dim=0).tolist() == pytest.approx([0.0, 1.4], abs=0.06)
    assert float(sample[:, 4].std()) == pytest.approx(0.5, abs=0.05)
    unknown = mixture_prior(4000, 2, 4, 0.0, 0.0, CPU, labels=torch.full((4000,), -1))
    assert len(unknown.round(decimals=3).unique(dim=0)) == 4


def test_the_ring_the_labelled_box_and_the_norms():
    radius = torch.linalg.vector_norm(ring_prior(1000, CPU), dim=1)
    assert float(radius.mean()) == pytest.approx(1.0, abs=0.01)
    offsets = torch.tensor([[0.0, 0.0], [100.0, 0.0]])
    moved = uniform_prior(50, 2, 0, 1, CPU, offsets=offsets, labels=torch.ones(50).long())
    assert float(moved[:, 0].min()) >= 100
    codes = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert float(regularize(Regularizer("l1"), codes)) == 3.5
    assert float(regularize(Regularizer("l2"), codes)) == 2.5


def test_losses_of_cells():
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    predicted = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    assert per_cell("mse", target, predicted).tolist() == [1.0, 0.25]
    assert per_cell("l1", target, predicted).tolist() == [1.0, 0.5]
    assert per_cell("score", target, predicted).tolist() == [0.0, 0.25]
    # A cell without any expression gives a constant.
    assert per_cell("cosine", target, predicted).tolist() == [1.0, 1.0]
    assert per_cell("l1_norm", target, predicted).tolist() == [1.0, 1.0]
    assert per_cell("bce", target, torch.full((2, 2), 0.5))[0] == pytest.approx(np.log(2))
    assert per_cell("nll", torch.tensor([1]), torch.tensor([[-1.0, -3.0]])).tolist() == [3.0]


def test_cells_that_are_not_known_add_nothing():
    losses = torch.tensor([2.0, 100.0], requires_grad=True)
    known = torch.tensor([1.0, 0.0])
    value = weighted_mean(losses, known, known)
    value.backward()
    assert float(value.detach()) == 2.0
    assert losses.grad is not None
    assert losses.grad.tolist() == [1.0, 0.0]
    assert float(weighted_mean(losses.detach(), torch.zeros(2), torch.zeros(2))) == 0.0


def test_gradient_reversal_keeps_values_and_turns_the_gradient():
    codes = torch.tensor([1.0, 2.0], requires_grad=True)
    reversed_ = reverse_gradient(codes, 0.5)
    assert torch.equal(reversed_, codes)
    (3 * reversed_).sum().backward()
    assert codes.grad is not None
    assert codes.grad.tolist() == [-1.5, -1.5]
