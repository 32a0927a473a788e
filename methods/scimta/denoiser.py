"""Imputation by a variational autoencoder instead of a low rank.

ALRA's thresholds need values of true zeros that scatter around 0. So the decoder's mean is linear
and Gaussian, without softplus or softmax. It replaces the low-rank matrix as a product of the last
hidden layer and the output weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from bench.seeds import derive_seed

from ..nn.blocks import linear, multilayer
from ..nn.train import take_step
from .imputation import Imputation, gene_rules

if TYPE_CHECKING:
    from bench.contract import Context

_HIDDEN, _LATENT = 128, 15
_ROWS = 256
"""Cells of an update, at most; small data have 20 updates an epoch."""
_REFRESH = 10
_WARM_UP = 20
_RATE = 1e-3


class Denoiser(nn.Module):
    """Gaussian variational autoencoder of log values with one variance a gene."""

    means: Tensor
    spreads: Tensor

    def __init__(self, means: Tensor, spreads: Tensor) -> None:
        super().__init__()
        n_genes = len(means)
        self.register_buffer("means", means)
        self.register_buffer("spreads", spreads)
        self.hidden = multilayer([n_genes, _HIDDEN])
        self.code = linear(_HIDDEN, 2 * _LATENT)
        self.decode = multilayer([_LATENT, _HIDDEN])
        self.output = linear(_HIDDEN, n_genes)
        self.log_variance = nn.Parameter(2 * spreads.log())
        with torch.no_grad():
            self.output.bias.copy_(means)

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes, (cells, 15)."""
        inputs = (values - self.means) / self.spreads
        mean, log_variance = self.code(self.hidden(inputs)).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 10)

    def last_hidden(self, values: Tensor) -> Tensor:
        """Return the decoder's last hidden layer at the mean code, (cells, 128)."""
        hidden: Tensor = self.decode(self.encode(values)[0])
        return hidden

    def loss(self, values: Tensor, weights: Tensor, beta: float) -> Tensor:
        """Return the weighted Gaussian -log likelihood plus β KL, mean over the cells."""
        mean, log_variance = self.encode(values)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        error = (self.output(self.decode(code)) - values).square()
        spread = self.log_variance.clamp(-8, 8)
        likelihood = 0.5 * (weights * (error * (-spread).exp() + spread)).sum(dim=1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return (likelihood + beta * divergence).mean()


def deep_imputation(
    values: sp.csr_matrix, context: Context, *, epochs: int, beta: float, quantile: float
) -> Imputation:  # fmt: skip
    """Return the imputation of log values, (cells, genes), by a trained denoiser.

    Errors have weight 1 at observations and biological zeros and 0 at imputed zeros. Without a
    weight, true zeros would rise above their thresholds. All zeros count as biological in the
    first half of the epochs, because an untrained decoder is above 0 everywhere. After that,
    biological and imputed zeros are separated anew every 10 epochs. The KL weight rises to
    ``beta`` over 20 epochs. Seed torch first.
    """
    values = sp.csr_matrix(values, dtype=np.float32)
    means = np.asarray(values.mean(axis=0)).ravel()
    squares = np.asarray(values.multiply(values).mean(axis=0)).ravel()
    spreads = np.sqrt(np.maximum(squares - means**2, 1e-4))
    model = Denoiser(*(torch.from_numpy(array.astype(np.float32)) for array in (means, spreads)))
    model.to(context.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
    random = np.random.default_rng(derive_seed(context.seed, "denoiser"))
    imputation: Imputation | None = None
    for epoch in range(1, epochs + 1):
        total = 0.0
        order = random.permutation(values.shape[0])
        for rows in np.array_split(order, max(-(-len(order) // _ROWS), min(20, len(order)))):
            block = values[rows].toarray()
            weights = np.ones_like(block)
            if imputation is not None:
                weights[(block == 0) & (imputation.rows(rows) > 0)] = 0.0
            loss = model.loss(
                torch.from_numpy(block).to(context.device),
                torch.from_numpy(weights).to(context.device),
                beta * min(1.0, epoch / _WARM_UP),
            )
            take_step(optimizer, loss)
            total += loss.item() * len(rows)
        context.report(epoch, epochs, denoiser_loss=total / max(len(order), 1))
        if epoch % _REFRESH == 0 and epochs / 2 <= epoch < epochs:
            imputation = _impute(model, values, quantile, context.device)
    return _impute(model, values, quantile, context.device)


def _impute(model: Denoiser, values: sp.csr_matrix, quantile: float, device: str) -> Imputation:
    parts = []
    with torch.no_grad():
        for start in range(0, values.shape[0], 4096):
            block = torch.from_numpy(values[start : start + 4096].toarray()).to(device)
            parts.append(model.last_hidden(block).cpu().numpy())
        weight, bias = model.output.weight.cpu().numpy(), model.output.bias.cpu().numpy()
    left = np.concatenate(parts)
    left = np.column_stack((left, np.ones(len(left), dtype=np.float32)))
    right = np.vstack((weight.T, bias))
    limit, slope, shift = gene_rules(values, left, right, quantile)
    return Imputation(values, left, right, limit, slope, shift, by_gap=False)
