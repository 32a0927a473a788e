"""Losses, priors and gradient reversal."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_RADIUS = 1.4
"""Radius of the circle of mixture components."""
_RING_NOISE = 0.01


def per_cell(name: str, target: Tensor, predicted: Tensor) -> Tensor:
    """Return the loss of each cell, (cells,), for targets t and predictions p.

    ``mse``, ``l1`` and ``bce`` are means over the outputs. ``score`` compares the means of t and
    p. ``cosine`` is 1 - cos(t, p). ``nll`` takes log probabilities and class numbers (cells,).
    ``l1_norm`` and ``l2_norm`` are norms of p.
    """
    if name == "mse":
        return (target - predicted).square().mean(dim=1)
    if name == "l1":
        return (target - predicted).abs().mean(dim=1)
    if name == "cosine":
        return 1 - functional.cosine_similarity(target, predicted, dim=1, eps=1e-8)
    if name == "score":
        return (target.mean(dim=1) - predicted.mean(dim=1)).square()
    if name == "bce":
        return functional.binary_cross_entropy(predicted, target, reduction="none").mean(dim=1)
    if name == "nll":
        return -predicted.gather(1, target[:, None])[:, 0]
    if name == "l1_norm":
        return predicted.abs().sum(dim=1)
    if name == "l2_norm":
        return torch.linalg.vector_norm(predicted, dim=1)
    raise ValueError(f"no loss '{name}'")


def weighted_mean(losses: Tensor, weights: Tensor, counted: Tensor) -> Tensor:
    """Return Σ weights · losses / Σ counted, or 0 if no cell counts.

    Weights are ``counted`` times class weights. Both are 0 for cells without a target.
    """
    return (losses * weights).sum() / counted.sum().clamp_min(1e-12)


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(values: Tensor, strength: float) -> Tensor:
    """Return ``values`` with the gradient multiplied by -``strength``.

    Source: Ganin and Lempitsky 2015, unsupervised domain adaptation by backpropagation.
    """
    result: Tensor = _Reversed.apply(values, strength)
    return result


def sliced_wasserstein(codes: Tensor, prior: Tensor, n_projections: int) -> Tensor:
    """Return the squared sliced 2-Wasserstein distance of two samples of equal size.

    Mean over random directions of the squared differences of sorted projections, without
    a root. Source: Bonneel et al. 2015, sliced and Radon Wasserstein barycenters.
    """
    directions = torch.randn(codes.shape[1], n_projections, device=codes.device)
    directions = functional.normalize(directions, dim=0)
    ours = (codes @ directions).sort(dim=0).values
    theirs = (prior @ directions).sort(dim=0).values
    return (ours - theirs).square().mean()


def uniform_prior(
    n_cells: int, n_dims: int, low: float, high: float, device: torch.device,
    *, offsets: Tensor | None = None, labels: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return a sample of the box [low, high]^d, (cells, dims).

    ``offsets`` (classes × dims) shift each row by its class; class -1 means a random one.
    """
    sample = low + (high - low) * torch.rand(n_cells, n_dims, device=device)
    if offsets is None:
        return sample
    return sample + offsets[_components(labels, n_cells, len(offsets), device)]


def mixture_prior(
    n_cells: int, n_dims: int, n_components: int, radial_sd: float, tangential_sd: float,
    device: torch.device, *, labels: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return a sample of Gaussians on a circle in each pair of coordinates, (cells, dims).

    Standard deviations are along and across the radius. An odd last coordinate is N(0,
    radial_sd²). ``labels`` are components, -1 for a random one. Source: Makhzani et al. 2016,
    adversarial autoencoders, section 2.3.
    """
    angle = 2 * math.pi * _components(labels, n_cells, n_components, device) / n_components
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    n_pairs = n_dims // 2
    along = _RADIUS + radial_sd * torch.randn(n_cells, n_pairs, device=device)
    across = tangential_sd * torch.randn(n_cells, n_pairs, device=device)
    pairs = torch.stack([along * cosine - across * sine, along * sine + across * cosine], dim=2)
    sample = pairs.reshape(n_cells, 2 * n_pairs)
    if n_dims % 2:
        last = radial_sd * torch.randn(n_cells, 1, device=device)
        sample = torch.cat([sample, last], dim=1)
    return sample


def ring_prior(n_cells: int, device: torch.device) -> Tensor:
    """Return a noisy sample of the unit circle, (cells, 2)."""
    angle = 2 * math.pi * torch.rand(n_cells, device=device)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    return circle + _RING_NOISE * torch.randn(n_cells, 2, device=device)


def _components(
    labels: Tensor | None, n_cells: int, n_components: int, device: torch.device
) -> Tensor:
    drawn = torch.randint(n_components, (n_cells,), device=device)
    if labels is None:
        return drawn
    return torch.where(labels >= 0, labels % n_components, drawn)
