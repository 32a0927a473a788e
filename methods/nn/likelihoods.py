"""Likelihoods of targets given a decoder's linear output; exact unless stated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ACTIVATIONS

if TYPE_CHECKING:
    from .batches import Block, Cells
    from .params import NetworkParameters

_LOG_DISPERSION = 8.0
"""Bound of the absolute log inverse dispersion."""
_SMALLEST_MEAN = 1e-6
"""First mean of a feature without counts."""


class Likelihood(nn.Module, ABC):
    """Base of the likelihoods; ``reduction`` over the features is ``sum`` or ``mean``."""

    name: str

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, decoded: Tensor, block: Block) -> Tensor:
        """Return the loss of each cell, (cells,)."""
        each = self.elementwise(decoded, block)
        return each.mean(dim=1) if self.reduction == "mean" else each.sum(dim=1)

    @abstractmethod
    def elementwise(self, decoded: Tensor, block: Block) -> Tensor:
        """Return the loss of each entry, (cells, features)."""

    @abstractmethod
    def mean(self, decoded: Tensor, block: Block) -> Tensor:
        """Return the expected value of the targets, (cells, features)."""

    def start(self, cells: Cells) -> Tensor | None:
        """Return a first bias of the decoder, (features,); ``None``: zeros."""
        return None


class Bernoulli(Likelihood):
    """Binary cross entropy on logits.

    ``depth_offset`` adds log(depth) to logits, so that small probabilities are proportional to
    depth.
    """

    name = "bernoulli"

    def __init__(self, reduction: str = "sum", *, depth_offset: bool) -> None:
        super().__init__(reduction)
        self.depth_offset = depth_offset

    def _logits(self, decoded: Tensor, block: Block) -> Tensor:
        return decoded + block.depth.log() if self.depth_offset else decoded

    def elementwise(self, decoded: Tensor, block: Block) -> Tensor:
        logits = self._logits(decoded, block)
        return functional.binary_cross_entropy_with_logits(logits, block.targets, reduction="none")

    def mean(self, decoded: Tensor, block: Block) -> Tensor:
        """Return the chance that a peak is open."""
        return torch.sigmoid(self._logits(decoded, block))


class Gaussian(Likelihood):
    """Squared error: twice -log N(target; output, 1), without its constant."""

    name = "gaussian"

    def __init__(self, reduction: str = "sum", *, output: str = "linear") -> None:
        super().__init__(reduction)
        self.output = ACTIVATIONS[output]()

    def elementwise(self, decoded: Tensor, block: Block) -> Tensor:
        return (block.targets - self.output(decoded)).square()

    def mean(self, decoded: Tensor, block: Block) -> Tensor:
        return self.output(decoded)


class NegativeBinomial(Likelihood):
    """Counts with mean depth · exp(decoded) and one inverse dispersion θ per feature.

    Variance μ + μ²/θ. Without ``depth_offset`` the mean is exp(decoded). Source: Lopez et
    al. 2018, doi 10.1038/s41592-018-0229-2; Eraslan et al. 2019, eq. 1.
    """

    name = "nb"

    def __init__(self, n_features: int, reduction: str = "sum", *, depth_offset: bool) -> None:
        super().__init__(reduction)
        self.depth_offset = depth_offset
        self.log_theta = nn.Parameter(torch.zeros(n_features))

    def _log_mean(self, decoded: Tensor, block: Block) -> Tensor:
        log_mean = decoded + block.depth.log() if self.depth_offset else decoded
        return log_mean.clamp(-15.0, 12.0)

    def elementwise(self, decoded: Tensor, block: Block) -> Tensor:
        log_mean = self._log_mean(decoded, block)
        log_theta = self.log_theta.clamp(-_LOG_DISPERSION, _LOG_DISPERSION)
        return negative_binomial(block.targets, log_mean, log_theta.exp(), log_theta)

    def mean(self, decoded: Tensor, block: Block) -> Tensor:
        return self._log_mean(decoded, block).exp()

    def start(self, cells: Cells) -> Tensor:
        """Return the log mean of each feature, at depth 1 with ``depth_offset``.

        From zero, the step size of Adam lets a bias reach the log of a rare count only after
        thousands of updates, in which codes explain means instead of differences.
        """
        return cells.feature_means(at_depth=self.depth_offset).clamp_min(_SMALLEST_MEAN).log()


def negative_binomial(
    counts: Tensor, log_mean: Tensor, theta: Tensor, log_theta: Tensor
) -> Tensor:
    """Return -log NB(count; μ, θ) of each entry, (cells, features).

    ``theta``: inverse dispersion of each entry or feature.
    """
    log_total = torch.logaddexp(log_mean, log_theta)
    log_likelihood = theta * (log_theta - log_total) + counts * (log_mean - log_total)
    # The binomial coefficient is 1 where the count is 0, which is nearly everywhere.
    rows, columns = counts.nonzero(as_tuple=True)
    positive = counts[rows, columns]
    size = theta[columns] if theta.ndim == 1 else theta[rows, columns]
    log_choose = torch.lgamma(positive + size) - torch.lgamma(size) - torch.lgamma(positive + 1.0)
    return -log_likelihood.index_put((rows, columns), log_choose, accumulate=True)


def make_likelihood(name: str, n_features: int, params: NetworkParameters) -> Likelihood:
    if name == "bernoulli":
        return Bernoulli(params.reduction, depth_offset=params.adjust_depth)
    if name == "nb":
        return NegativeBinomial(n_features, params.reduction, depth_offset=params.adjust_depth)
    return Gaussian(params.reduction, output=params.output)
