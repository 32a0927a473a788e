"""Variational autoencoder whose prior is a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .batches import Block, Cells
from .likelihoods import Likelihood
from .models import VariationalAutoencoder

_SMALLEST_VARIANCE = 1e-4


class MixtureAutoencoder(VariationalAutoencoder):
    """Prior Σ_k π_k N(m_k, v_k) with K diagonal components (Jiang et al. 2017; Xiong et al. 2019).

    π is a softmax and v a softplus, so neither can leave its range. Until :meth:`set_mixture` is
    called the prior is N(0, 1).
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        n_latent: int,
        likelihood: Likelihood,
        *,
        n_components: int,
        input_dropout: float,
        kl_weight: float,
        kl_warmup: int,
    ) -> None:
        super().__init__(
            n_features, hidden, n_latent, likelihood,
            input_dropout=input_dropout, kl_weight=kl_weight, kl_warmup=kl_warmup,
            learned_prior=False,
        )  # fmt: skip
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.means = nn.Parameter(torch.zeros(n_components, n_latent))
        self.raw_variances = nn.Parameter(torch.zeros(n_components, n_latent))
        self.register_buffer("mixed", torch.tensor(False))

    raw_variances: nn.Parameter
    mixed: Tensor

    def set_mixture(self, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> None:
        """Start the mixture from K weights, means (K, d) and variances (K, d), and use it."""

        def tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=self.means.dtype, device=self.means.device)

        above = np.maximum(variances - _SMALLEST_VARIANCE, 1e-6)
        with torch.no_grad():
            self.logits.copy_(tensor(np.log(np.maximum(weights, 1e-8))))
            self.means.copy_(tensor(means))
            # The inverse of softplus.
            self.raw_variances.copy_(tensor(above + np.log(-np.expm1(-above))))
            self.mixed.fill_(True)

    def variances(self) -> Tensor:
        """Return v, (K, d)."""
        return functional.softplus(self.raw_variances) + _SMALLEST_VARIANCE

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(k | z), (cells, K), by log-sum-exp."""
        log_joint = torch.log_softmax(self.logits, 0) - 0.5 * (
            self._distance(z, z.square()) + self.variances().log().sum(dim=1)
        )
        return torch.log_softmax(log_joint, dim=1)

    def _distance(self, mean: Tensor, second: Tensor) -> Tensor:
        """Return Σ_d E[(z - m)²] / v for E[z] = ``mean``, E[z²] = ``second``, (cells, K).

        By matrix products, without a tensor of cells × K × d.
        """
        inverse = 1.0 / self.variances()
        return (
            second @ inverse.T
            - 2 * mean @ (self.means * inverse).T
            + (self.means.square() * inverse).sum(dim=1)
        )

    def divergence(self, mean: Tensor, log_var: Tensor, z: Tensor) -> Tensor:
        """Return Σ_k γ_k [KL(q ‖ N_k) + log γ_k - log π_k] of each cell, (cells,).

        γ = p(k | z) at the draw z; Jiang et al. 2017, equation 12, regrouped.
        """
        if not self.mixed:
            return super().divergence(mean, log_var, z)
        log_gamma = self.log_responsibilities(z)
        each = 0.5 * (
            self.variances().log().sum(dim=1)
            + self._distance(mean, mean.square() + log_var.exp())
            - (1.0 + log_var).sum(dim=1, keepdim=True)
        )
        log_pi = torch.log_softmax(self.logits, 0)
        return (log_gamma.exp() * (each + log_gamma - log_pi)).sum(dim=1)

    def variance(self, block: Block) -> Tensor:
        """Return the variance σ² of each cell's posterior, (cells, d)."""
        return self.posterior(block)[1].exp()

    def component(self, block: Block) -> Tensor:
        """Return p(k | μ), (cells, K)."""
        return self.log_responsibilities(self.embed(block)).exp()

    def cluster_means(self, cells: Cells, clusters: np.ndarray) -> dict[int, np.ndarray]:
        """Return the mean expected value of the targets, (P,), by cluster, block by block."""
        means = {}
        self.eval()
        with torch.inference_mode():
            for number in np.unique(clusters).tolist():
                rows = np.flatnonzero(clusters == number)
                blocks = cells.blocks(rows, 512)
                total = sum(self.reconstruct(block).sum(dim=0).cpu().numpy() for block in blocks)
                means[number] = np.asarray(total) / len(rows)
        return means
