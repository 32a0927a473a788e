"""Networks with an objective: autoencoder, sparse autoencoder, variational autoencoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contract import Context

from .batches import Block, Cells
from .blocks import ACTIVATIONS, linear, multilayer
from .likelihoods import Likelihood
from .losses import gaussian_kl, softmax_sparsity, sparsity
from .params import NetworkParameters
from .train import Schedule, TrainingSummary, train


class Model(nn.Module, ABC):
    """A network with an embedding of cells and an objective."""

    @abstractmethod
    def embed(self, block: Block) -> Tensor:
        """Return the embedding of a block, (cells, n_latent)."""

    @abstractmethod
    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return the loss to minimise, first and named ``loss``, and its parts, as scalars."""


class Network(Model):
    """A model that explains the data through a likelihood of its decoded code."""

    likelihood: Likelihood
    kl_warmup = 0
    """Updates before early stopping begins to count."""

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """Return the decoder's output, (cells, P)."""

    def reconstruct(self, block: Block) -> Tensor:
        """Return the expected value of the targets at the embedding, (cells, P)."""
        return self.likelihood.mean(self.decode(self.embed(block)), block)

    def fit(self, cells: Cells, params: NetworkParameters, context: Context) -> TrainingSummary:
        """Minimise the objective; early stopping waits for the end of the warm-up."""
        schedule = Schedule.of(params, warmup=self.kl_warmup)
        return train(self, self.objective, cells, schedule, context)


class Autoencoder(Network):
    """P-hidden-d with ReLU, a code with an activation of choice, one linear layer back.

    Shapes: inputs (cells, P), code (cells, d), decoded (cells, P).
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        n_latent: int,
        likelihood: Likelihood,
        *,
        code_activation: str = "linear",
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden]
        self.hidden = nn.Sequential(nn.Dropout(input_dropout), multilayer(widths))
        self.code = linear(widths[-1], n_latent)
        self.code_activation = ACTIVATIONS[code_activation]()
        self.decoder = linear(n_latent, n_features)
        self.likelihood = likelihood

    def embed(self, block: Block) -> Tensor:
        """Return the code, (cells, d)."""
        return self.code_activation(self.code(self.hidden(block.inputs)))

    def decode(self, code: Tensor) -> Tensor:
        """Return the output of the one layer back, (cells, P)."""
        decoded: Tensor = self.decoder(code)
        return decoded

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return the mean reconstruction loss of a cell."""
        return {"loss": self.likelihood(self.decode(self.embed(block)), block).mean()}


@dataclass(frozen=True)
class SparsityPenalty:
    """The penalty β Σ_j KL(ρ ‖ a_j) on the mean activations a_j of the units."""

    rho: float
    weight: float
    """β."""
    published: bool
    """Whether a_j is the published softmax over the batch, which is constant."""


class SparseAutoencoder(Autoencoder):
    """Autoencoder with a sparsity penalty.

    The loss of held-out cells leaves the penalty out: fitted to the training cells, it grows on
    others from the first epoch on.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        n_latent: int,
        likelihood: Likelihood,
        *,
        code_activation: str,
        input_dropout: float,
        penalty: SparsityPenalty,
    ) -> None:
        super().__init__(
            n_features, hidden, n_latent, likelihood,
            code_activation=code_activation, input_dropout=input_dropout,
        )  # fmt: skip
        self.penalty = penalty

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return the loss and its two parts."""
        logits = self.code(self.hidden(block.inputs))
        code = self.code_activation(logits)
        reconstruction = self.likelihood(self.decode(code), block).mean()
        if self.penalty.published:
            divergence = softmax_sparsity(code, self.penalty.rho)
        else:
            divergence = sparsity(torch.sigmoid(logits), self.penalty.rho)
        loss = reconstruction
        if update is not None:
            loss = reconstruction + self.penalty.weight * divergence
        return {"loss": loss, "reconstruction_loss": reconstruction, "sparsity_loss": divergence}


class VariationalAutoencoder(Network):
    """Two linear heads on P-hidden give q(z) = N(μ, σ²); the embedding is μ.

    Minimises reconstruction + w · KL(q ‖ prior), averaged over cells, with w rising linearly to
    ``kl_weight`` in ``kl_warmup`` updates. The prior is N(0, 1) or a learned diagonal Gaussian.
    The loss of held-out cells takes one fixed draw and the full weight.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        n_latent: int,
        likelihood: Likelihood,
        *,
        input_dropout: float,
        kl_weight: float,
        kl_warmup: int,
        learned_prior: bool,
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden]
        self.hidden = nn.Sequential(nn.Dropout(input_dropout), multilayer(widths))
        self.mean_head = linear(widths[-1], n_latent)
        self.log_var_head = linear(widths[-1], n_latent)
        self.decoder = linear(n_latent, n_features)
        self.likelihood = likelihood
        self.prior_mean = nn.Parameter(torch.zeros(n_latent), requires_grad=learned_prior)
        self.prior_log_var = nn.Parameter(torch.zeros(n_latent), requires_grad=learned_prior)
        self.kl_weight, self.kl_warmup = kl_weight, kl_warmup

    def posterior(self, block: Block) -> tuple[Tensor, Tensor]:
        """Return μ and log σ², both (cells, d); log σ² is clamped to ± 15."""
        hidden = self.hidden(block.inputs)
        return self.mean_head(hidden), self.log_var_head(hidden).clamp(-15.0, 15.0)

    def embed(self, block: Block) -> Tensor:
        """Return μ, (cells, d)."""
        return self.posterior(block)[0]

    def decode(self, code: Tensor) -> Tensor:
        """Return the output of the linear decoder, (cells, P)."""
        decoded: Tensor = self.decoder(code)
        return decoded

    def weight(self, update: int | None) -> float:
        """Return the weight of the KL term at an update; ``None``: after the warm-up."""
        if update is None or update >= self.kl_warmup:
            return self.kl_weight
        return self.kl_weight * update / self.kl_warmup

    def divergence(self, mean: Tensor, log_var: Tensor, z: Tensor) -> Tensor:
        """Return KL(q ‖ prior) of each cell, (cells,); ``z`` is the draw, (cells, d)."""
        return gaussian_kl(mean, log_var, self.prior_mean, self.prior_log_var)

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return the negative evidence lower bound and its two parts."""
        mean, log_var = self.posterior(block)
        z = mean + (0.5 * log_var).exp() * _noise(mean, fixed=update is None)
        reconstruction = self.likelihood(self.decode(z), block).mean()
        kl = self.divergence(mean, log_var, z).mean()
        loss = reconstruction + self.weight(update) * kl
        return {"loss": loss, "reconstruction_loss": reconstruction, "kl_loss": kl}


def _noise(like: Tensor, *, fixed: bool) -> Tensor:
    """Return standard normal noise; ``fixed``: always the same, so that epochs compare."""
    if not fixed:
        return torch.randn_like(like)
    generator = torch.Generator(device=like.device).manual_seed(0)
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)
