"""Memberships and losses of scSMD."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FLOOR = 1e-12
"""Smallest squared distance."""


def squared_distances(codes: Tensor, centres: Tensor) -> Tensor:
    """Return ‖u_i - μ_k‖², (cells, K)."""
    return (codes[:, None, :] - centres[None, :, :]).square().sum(dim=2)


def memberships(codes: Tensor, centres: Tensor, fuzziness: float) -> Tensor:
    """Return p_ik ∝ (d²_ik)^(-1/(m-1)), (cells, K), rows sum to one, without gradient.

    Source: Bezdek 1981, fuzzy c-means. The softmax of logarithms cannot overflow.
    """
    with torch.no_grad():
        distances = squared_distances(codes, centres).clamp_min(_FLOOR)
        return torch.softmax(-distances.log() / (fuzziness - 1), dim=1)


def fuzzy_centres(codes: Tensor, centres: Tensor, fuzziness: float) -> Tensor:
    """Return μ_k = Σ_i p_ik^m u_i / Σ_i p_ik^m, (K, d); centres without weight stay."""
    weights = memberships(codes, centres, fuzziness).pow(fuzziness)
    total = weights.sum(dim=0)[:, None]
    means = (weights.T @ codes) / total.clamp_min(_FLOOR)
    return torch.where(total > _FLOOR, means, centres)


def cluster_losses(
    weights: Tensor, error: Tensor, distances: Tensor, counts: Tensor | None,
    *, centering: float, count_weight: float,
) -> Tensor:  # fmt: skip
    """Return L_k = Σ_i w_ik (e_i + a d²_ik + β c_i), (K,).

    ``weights`` w = p^m and ``distances`` d²: (cells, K). ``error`` e and ``counts`` c: losses of a
    cell, (cells,). ``centering`` is a, ``count_weight`` is β.
    """
    loss = error if counts is None else error + count_weight * counts
    return weights.T @ loss + centering * (weights * distances).sum(dim=0)


def pair_loss(q: Tensor, similarity: Tensor, similar: float) -> Tensor:
    """Return Σ_ij [S_ij > ζ] (1 - q̃_i·q̃_j) + [S_ij < 1 - ζ] q̃_i·q̃_j.

    ``similarity`` S: (cells, cells). ``similar`` is ζ. q̃ is q with entries above 0.99 set to 1
    and below 0.01 to 0, without gradient. Source of the thresholds: Chang et al. 2017, deep
    adaptive image clustering.
    """
    ones, zeros = torch.ones_like(q), torch.zeros_like(q)
    hardened = torch.where(q > 0.99, ones, torch.where(q < 0.01, zeros, q))
    products = hardened @ hardened.T
    is_similar, is_dissimilar = similarity > similar, similarity < 1 - similar
    return (is_similar * (1 - products) + is_dissimilar * products).sum()


def usage_entropy(q: Tensor) -> Tensor:
    """Return the entropy of the mean assignment over log K: 1 balanced, 0 collapsed."""
    if q.shape[1] == 1:
        return q.new_ones(())
    mean = q.mean(dim=0).clamp_min(_FLOOR)
    return -(mean * mean.log()).sum() / math.log(q.shape[1])
