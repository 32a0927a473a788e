"""Networks with an objective: autoencoder, sparse autoencoder, variational autoencoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .blocks import ACTIVATIONS, linear, multilayer
from .train import Schedule, TrainingSummary, train

if TYPE_CHECKING:
    from bench.contract import Context

    from ..scale import SCALE
    from ..sparse_ae import SparseAE
    from ..vae import VAE
    from .batches import Block, Cells
    from .likelihoods import Likelihood
    from .params import NetworkParameters


class Model(nn.Module, ABC):
    """A network with an embedding of cells and an objective."""

    @abstractmethod
    def embed(self, block: Block) -> Tensor:
        """Return the embedding of a block, (cells, n_latent)."""

    @abstractmethod
    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return the loss to minimise, first and named ``loss``, and its parts, as scalars."""


class Network(Model):
    """Base of models with a decoder and a likelihood; P: number of features."""

    kl_warmup = 0
    """Updates before early stopping counts."""
    decoder: nn.Linear

    def __init__(self, likelihood: Likelihood, params: NetworkParameters) -> None:
        super().__init__()
        self.likelihood, self.params = likelihood, params

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """Return the decoder's output, (cells, P)."""

    def reconstruct(self, block: Block) -> Tensor:
        """Return the expected value of the targets at the embedding, (cells, P)."""
        return self.likelihood.mean(self.decode(self.embed(block)), block)

    def fit(self, cells: Cells, context: Context) -> TrainingSummary:
        """Minimise the objective from the start that the likelihood asks for.

        Early stopping waits for the warm-up.
        """
        bias = self.likelihood.start(cells)
        if bias is not None:
            with torch.no_grad():
                self.decoder.bias.copy_(bias)
        schedule = Schedule.of(self.params, warmup=self.kl_warmup)
        return train(self, self.objective, cells, schedule, context)


class Autoencoder(Network):
    """Hidden layers with ReLU, a code with its own activation, a linear decoder."""

    def __init__(self, n_features: int, likelihood: Likelihood, params: NetworkParameters) -> None:
        super().__init__(likelihood, params)
        widths = [n_features, *params.hidden]
        self.hidden = nn.Sequential(nn.Dropout(params.input_dropout), multilayer(widths))
        self.code = linear(widths[-1], params.n_latent)
        self.code_activation = ACTIVATIONS[params.code_activation]()
        self.decoder = linear(params.n_latent, n_features)

    def embed(self, block: Block) -> Tensor:
        return self.code_activation(self.code(self.hidden(block.inputs)))

    def decode(self, code: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(code)
        return decoded

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        return {"loss": self.likelihood(self.decode(self.embed(block)), block).mean()}


class SparseAutoencoder(Autoencoder):
    """Autoencoder with the penalty β Σ_j KL(ρ ‖ a_j) on mean activations a_j.

    Held-out losses leave the penalty out: it is fitted to the training cells and grows on other
    cells from the first epoch on.
    """

    params: SparseAE.Params

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        logits = self.code(self.hidden(block.inputs))
        code = self.code_activation(logits)
        reconstruction = self.likelihood(self.decode(code), block).mean()
        if self.params.penalty == "softmax":
            penalty = softmax_sparsity(code, self.params.rho)
        else:
            penalty = sparsity(torch.sigmoid(logits), self.params.rho)
        loss = reconstruction if update is None else reconstruction + self.params.beta * penalty
        return {"loss": loss, "reconstruction_loss": reconstruction, "sparsity_loss": penalty}


class VariationalAutoencoder(Network):
    """Hidden layers and two linear heads give q(z) = N(μ, σ²); the embedding is μ.

    Minimises reconstruction + w · KL(q ‖ prior), w rising to ``kl_weight`` in ``kl_warmup``
    updates, or in those of ``params`` where it has some. The prior is N(0, 1) or a learned
    diagonal Gaussian. Held-out losses take one fixed draw and the full weight.
    """

    params: VAE.Params | SCALE.Params

    def __init__(
        self,
        n_features: int,
        likelihood: Likelihood,
        params: VAE.Params | SCALE.Params,
        *,
        learned_prior: bool = False,
        kl_warmup: int = 200,
    ) -> None:
        super().__init__(likelihood, params)
        widths, n_latent = [n_features, *params.hidden], params.n_latent
        self.hidden = nn.Sequential(nn.Dropout(params.input_dropout), multilayer(widths))
        self.mean_head = linear(widths[-1], n_latent)
        self.log_var_head = linear(widths[-1], n_latent)
        self.decoder = linear(n_latent, n_features)
        self.prior_mean = nn.Parameter(torch.zeros(n_latent), requires_grad=learned_prior)
        self.prior_log_var = nn.Parameter(torch.zeros(n_latent), requires_grad=learned_prior)
        self.kl_warmup = kl_warmup if params.kl_warmup is None else params.kl_warmup

    def posterior(self, block: Block) -> tuple[Tensor, Tensor]:
        """Return μ and log σ², both (cells, d); log σ² is clamped to ± 15."""
        hidden = self.hidden(block.inputs)
        return self.mean_head(hidden), self.log_var_head(hidden).clamp(-15.0, 15.0)

    def embed(self, block: Block) -> Tensor:
        return self.posterior(block)[0]

    def decode(self, code: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(code)
        return decoded

    def weight(self, update: int | None) -> float:
        """Return the weight of the KL term at an update; ``None``: after the warm-up."""
        if update is None or update >= self.kl_warmup:
            return self.params.kl_weight
        return self.params.kl_weight * update / self.kl_warmup

    def divergence(self, mean: Tensor, log_var: Tensor, z: Tensor) -> Tensor:
        """Return KL(q ‖ prior) of each cell; ``z`` is the draw, (cells, d)."""
        return gaussian_kl(mean, log_var, self.prior_mean, self.prior_log_var)

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return the negative evidence lower bound and its parts."""
        mean, log_var = self.posterior(block)
        z = mean + (0.5 * log_var).exp() * _noise(mean, fixed=update is None)
        reconstruction = self.likelihood(self.decode(z), block).mean()
        kl = self.divergence(mean, log_var, z).mean()
        loss = reconstruction + self.weight(update) * kl
        return {"loss": loss, "reconstruction_loss": reconstruction, "kl_loss": kl}


def _noise(like: Tensor, *, fixed: bool) -> Tensor:
    """Return normal noise; ``fixed``: the same at each call, so that epochs are comparable."""
    if not fixed:
        return torch.randn_like(like)
    generator = torch.Generator(device=like.device).manual_seed(0)
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


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
