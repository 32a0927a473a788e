"""Losses of heads and reconstruction, priors of latent spaces, and the reversal of gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_RADIUS = 1.4
"""Of the circle on which the components of the Gaussian mixture lie."""
_RING_NOISE = 0.01


def per_cell(name: str, target: Tensor, predicted: Tensor) -> Tensor:
    """Return a loss of each cell, (cells,).

    ``mse``, ``l1``, ``bce``: mean over the outputs of (t - p)², of |t - p|, of the cross-entropy
    of probabilities p; ``score``: squared difference of the means over the outputs; ``cosine``:
    1 - cos(t, p); ``nll``: -p of the class t, with p log
    probabilities and t (cells,) integers; ``l1_norm``, ``l2_norm``: norm of p alone.
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
    """Return Σ w_i l_i / Σ n_i, a scalar; 0 with a zero gradient if no cell counts.

    ``counted`` (n) are the weights of rows with a known target, ``weights`` (w) these times those
    of their classes. Rows without a known target have 0 in both and add nothing.
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
    """Return ``values``; its gradient is multiplied by -``strength`` on the way back.

    Source: Ganin and Lempitsky 2015, unsupervised domain adaptation by backpropagation.
    """
    result: Tensor = _Reversed.apply(values, strength)
    return result


def sliced_wasserstein(codes: Tensor, prior: Tensor, n_projections: int) -> Tensor:
    """Return the squared sliced 2-Wasserstein distance of two samples of equal size, a scalar.

    Mean over random unit directions and over ranks of the squared difference of the sorted
    projections; no root, not divided by the dimension. Source: Bonneel et al. 2015, sliced and
    Radon Wasserstein barycenters.
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

    With ``offsets`` (classes × dims) each row is shifted by that of its label; -1: a random one.
    """
    sample = low + (high - low) * torch.rand(n_cells, n_dims, device=device)
    if offsets is None:
        return sample
    return sample + offsets[_components(labels, n_cells, len(offsets), device)]


def mixture_prior(
    n_cells: int, n_dims: int, n_components: int, radial_sd: float, tangential_sd: float,
    device: torch.device, *, labels: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return a sample of Gaussians on a circle of each pair of coordinates, (cells, dims).

    Each is stretched along the radius (``radial_sd``) and across it (``tangential_sd``); an odd
    last coordinate is N(0, radial_sd²). ``labels``: component of each row, -1: a random one.
    Source: Makhzani et al. 2016, adversarial autoencoders, section 2.3.
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
    """Return a sample of the unit circle with noise of standard deviation 0.01, (cells, 2)."""
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
