"""Penalties on codes."""

from __future__ import annotations

import torch
from torch import Tensor


def sparsity(activation: Tensor, rho: float) -> Tensor:
    """Return Σ_j KL(ρ ‖ a_j), with a_j the mean activation of unit j in the batch.

    Source: Ng 2011, CS294A lecture notes, section 3.
    """
    mean = activation.mean(dim=0)
    target = torch.as_tensor(rho, dtype=mean.dtype, device=mean.device)
    return _bernoulli_kl(target, mean).sum()


def softmax_sparsity(code: Tensor, rho: float) -> Tensor:
    """Return Σ_j KL(ρ ‖ q_j), with q_j the mean of a softmax over the batch.

    As published by Huang et al. 2021. Such a softmax sums to one, so that q_j is 1 / cells for any
    code and the gradient is zero.
    """
    mean = torch.softmax(code, dim=0).mean(dim=0)
    target = torch.as_tensor(rho, dtype=mean.dtype, device=mean.device)
    return _bernoulli_kl(target, mean).sum()


def _bernoulli_kl(p: Tensor, q: Tensor) -> Tensor:
    q = q.clamp(1e-6, 1 - 1e-6)
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


def gaussian_kl(
    mean: Tensor, log_var: Tensor, prior_mean: Tensor, prior_log_var: Tensor
) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(m, v)) of each cell, for diagonal Gaussians.

    Kingma and Welling 2014, appendix B, with a general prior.
    """
    spread = (log_var.exp() + (mean - prior_mean).square()) * (-prior_log_var).exp()
    return 0.5 * (prior_log_var - log_var + spread - 1).sum(dim=1)
