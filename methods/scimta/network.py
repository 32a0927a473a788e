"""Graph convolutions, decoders and count models."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..nn.blocks import linear

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG_MEAN = (-11.5, 13.8)
"""Logarithms of scTAG's bounds on the mean, 1e-5 and 1e6."""
_DISPERSION = (1e-4, 1e4)
"""scTAG's bounds on the inverse dispersion."""


class Propagation:
    """Differentiable product with a constant sparse matrix, n × n.

    With 15 columns it takes a third of the time of a dense one at 15 % density on a CPU.
    """

    def __init__(self, operator: sp.csr_matrix, device: str | torch.device) -> None:
        self._matrix = _sparse_tensor(operator, device)
        self._transposed = _sparse_tensor(sp.csr_matrix(operator.T), device)

    def __call__(self, values: Tensor) -> Tensor:
        product: Tensor = _Product.apply(values, self._matrix, self._transposed)
        return product

    def powers(self, values: Tensor, hops: int) -> Tensor:
        """Return [values | Ã values | … | Ã^hops values]."""
        parts = [values]
        for _ in range(hops):
            parts.append(self(parts[-1]))
        return torch.cat(parts, dim=1)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, matrix, transposed):  # type: ignore[no-untyped-def]
        ctx.transposed = transposed
        return matrix @ values

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return ctx.transposed @ gradient, None, None


def _sparse_tensor(matrix: sp.csr_matrix, device: str | torch.device) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=False,
        ).to(device)


class GraphConvolution(nn.Module):
    """y = Σ_k Ã^k x W_k + b for k = 0 … hops, with Glorot-uniform weights.

    One hop is the skip convolution of scMGCA; three are the topology-adaptive convolution of Du et
    al. 2017, with true powers of Ã.
    """

    def __init__(self, n_in: int, n_out: int, hops: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hops + 1, n_in, n_out))
        for weight in self.weight:
            nn.init.xavier_uniform_(weight)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def of_powers(self, powers: Tensor) -> Tensor:
        """Return y from the powers of x, without a product with the graph."""
        return powers @ self.weight.flatten(end_dim=1) + self.bias

    def forward(self, values: Tensor, propagate: Propagation) -> Tensor:
        """Return y, (n, n_out), by Horner's rule, which multiplies n_out columns by the graph."""
        total = values @ self.weight[-1]
        for weight in reversed(self.weight[:-1].unbind()):
            total = propagate(total) + values @ weight
        return total + self.bias


class GraphEncoder(nn.Module):
    """Graph convolutions with ReLU between them and a linear code."""

    def __init__(
        self, n_in: int, hidden: Sequence[int], n_latent: int, *, hops: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [n_in, *hidden, n_latent]
        self.layers = nn.ModuleList(GraphConvolution(a, b, hops) for a, b in pairwise(widths))
        self.dropout = dropout

    def forward(self, powers: Tensor, propagate: Propagation) -> Tensor:
        """Return the code of each node from constant powers of the inputs."""
        dropped = functional.dropout(powers, self.dropout, self.training)
        # The type checker knows the items of a ModuleList as modules only.
        values = cast("GraphConvolution", self.layers[0]).of_powers(dropped)
        return self._later_layers(values, propagate)

    def of_inputs(self, inputs: Tensor, propagate: Propagation) -> Tensor:
        """Return the code of each node from the inputs; cheaper for cells of one step."""
        dropped = functional.dropout(inputs, self.dropout, self.training)
        return self._later_layers(self.layers[0](dropped, propagate), propagate)

    def _later_layers(self, values: Tensor, propagate: Propagation) -> Tensor:
        for layer in self.layers[1:]:
            values = layer(functional.relu(values), propagate)
        return values


class AdjacencyDecoder(nn.Module):
    """Logits s_ij = g_i B g_jᵀ with a linear map g of the code."""

    def __init__(self, n_latent: int, n_units: int) -> None:
        super().__init__()
        self.project = linear(n_latent, n_units)
        self.bilinear = nn.Parameter(torch.empty(n_units, n_units))
        nn.init.xavier_uniform_(self.bilinear)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors gB and g, (n, units); the logits are gB gᵀ."""
        g = self.project(codes)
        return g @ self.bilinear, g


class MultinomialHead(nn.Module):
    """Proportions of genes as a softmax.

    The loss of a cell is -Σ_g x_g log P_g / Σ_g x_g, nats a count. With ``scores``, as published,
    x are z-scores and the loss is the mean of -x log P over the entries, P at least 1e-12.
    """

    def __init__(self, n_in: int, n_genes: int, *, scores: bool = False) -> None:
        super().__init__()
        self.logits = linear(n_in, n_genes)
        self.scores = scores

    def start_at(self, means: Tensor) -> None:
        """Set the bias so that first predictions are the gene means, (genes,)."""
        with torch.no_grad():
            self.logits.bias.copy_(means.clamp_min(1e-6).log())

    def forward(
        self, hidden: Tensor, targets: Tensor, depth: Tensor, extra: Tensor | None = None
    ) -> Tensor:
        """Return the loss; ``extra`` logits are added."""
        log_p = functional.log_softmax(self._logits(hidden, extra), dim=1)
        if self.scores:
            return -(targets * log_p.clamp_min(-27.631)).mean()
        totals = targets.sum(dim=1).clamp_min(1.0)
        return -((targets * log_p).sum(dim=1) / totals).mean()

    def mean(
        self, hidden: Tensor, totals: Tensor, depth: Tensor, extra: Tensor | None = None
    ) -> Tensor:
        """Return expected counts, proportions times ``totals`` (cells, 1)."""
        return functional.softmax(self._logits(hidden, extra), dim=1) * totals

    def _logits(self, hidden: Tensor, extra: Tensor | None) -> Tensor:
        logits: Tensor = self.logits(hidden)
        return logits if extra is None else logits + extra


class ZeroInflatedHead(nn.Module):
    """Counts as zero-inflated negative binomial.

    Source: Eraslan et al. 2019, eq. 2 to 5. The mean is multiplied by the cell's depth. With
    ``scores``, as published, targets are z-scores; negative scores count as 0.
    """

    def __init__(self, n_in: int, n_genes: int, *, scores: bool = False) -> None:
        super().__init__()
        self.log_mean = linear(n_in, n_genes)
        self.dispersion = linear(n_in, n_genes)
        self.inflation = linear(n_in, n_genes)
        self.scores = scores

    def start_at(self, means: Tensor) -> None:
        """Set the bias so that first means at median depth are the gene means, (genes,)."""
        with torch.no_grad():
            self.log_mean.bias.copy_(means.clamp_min(1e-6).log())

    def forward(self, hidden: Tensor, targets: Tensor, depth: Tensor) -> Tensor:
        log_mean = self.log_mean(hidden).clamp(*_LOG_MEAN)
        if self.scores:
            targets = targets.clamp_min(0.0)
        else:
            log_mean = log_mean + depth.log()
        theta = functional.softplus(self.dispersion(hidden)).clamp(*_DISPERSION)
        return zero_inflated(targets, log_mean, theta, self.inflation(hidden)).mean()

    def mean(self, hidden: Tensor, totals: Tensor, depth: Tensor) -> Tensor:
        return self.log_mean(hidden).clamp(*_LOG_MEAN).exp() * depth


def zero_inflated(counts: Tensor, log_mean: Tensor, theta: Tensor, logit: Tensor) -> Tensor:
    """Return -log ZINB(count; μ, θ, π) of each entry, (cells, genes), π = sigmoid(``logit``).

    ``theta`` is the inverse dispersion. log Γ is computed for positive counts only: gradients of
    an unused branch could be NaN.
    """
    log_theta = theta.log()
    log_total = torch.logaddexp(log_mean, log_theta)
    at_zero = theta * (log_theta - log_total)
    positive = counts > 0
    zeros = functional.softplus(at_zero - logit) - functional.softplus(-logit)
    others = at_zero + counts * (log_mean - log_total) - functional.softplus(logit)
    rows, columns = positive.nonzero(as_tuple=True)
    value, size = counts[rows, columns], theta[rows, columns]
    log_choose = torch.lgamma(value + size) - torch.lgamma(size) - torch.lgamma(value + 1.0)
    log_likelihood = torch.where(positive, others, zeros)
    return -log_likelihood.index_put((rows, columns), log_choose, accumulate=True)
