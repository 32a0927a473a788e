"""Training one linear layer on inputs that never change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .models import Model
from .train import Schedule, TrainingSummary, train

if TYPE_CHECKING:
    from bench.contract import Context

    from .batches import Block, Cells
    from .likelihoods import Likelihood

_SPAN_BYTES = 2**29
"""Largest inputs that are reduced to their span, in bytes."""


class OneLayer(Model):
    """Model that starts with the linear ``layer``."""

    layer: nn.Linear


class PublishedLayer(OneLayer):
    """One layer with ReLU and a sigmoid decoder that is thrown away, by mean squared error.

    Units are padded to a multiple of 16, else products take two to three times as long.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        units = layer.out_features
        self.zeros = -units % 16
        back = nn.Linear(units, layer.in_features)
        back.weight = nn.Parameter(functional.pad(back.weight.detach(), (0, self.zeros)))
        self.back = back.to(layer.weight.device)

    def embed(self, block: Block) -> Tensor:
        return functional.relu(self.layer(block.inputs))

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        code = functional.pad(self.embed(block), (0, self.zeros))
        rebuilt = torch.sigmoid(self.back(code))
        return {"loss": functional.mse_loss(rebuilt, block.targets)}


class LastLayer(OneLayer):
    """Layer before the output, trained through the likelihood."""

    def __init__(self, layer: nn.Linear, likelihood: Likelihood) -> None:
        super().__init__()
        self.layer, self.likelihood = layer, likelihood

    def embed(self, block: Block) -> Tensor:
        decoded: Tensor = self.layer(block.inputs)
        return decoded

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        return {"loss": self.likelihood(self.embed(block), block).mean()}


def train_layer(
    model: OneLayer, cells: Cells, schedule: Schedule, context: Context, *, stage: str = ""
) -> TrainingSummary:
    """Train ``model``, in the span of its inputs if that is smaller.

    Gradient descent adds multiples of inputs to weights. The changes of the weights therefore stay
    in the span of the inputs and are the same in any orthonormal basis of it: 1,000 cells of
    10,000 peaks need 1,000 weights a unit.
    """
    layer = model.layer
    inputs = _inputs(cells) if _spans_less(cells, layer, schedule) else None
    if inputs is None:
        return train(model, model.objective, cells, schedule, context, stage=stage)
    basis, triangle = torch.linalg.qr(inputs.T)
    with torch.no_grad():
        start = layer.weight @ basis
        model.layer = nn.Linear(basis.shape[1], layer.out_features, device=layer.weight.device)
        model.layer.weight.copy_(start)
        model.layer.bias.copy_(layer.bias)
    coordinates = cells.with_inputs(triangle.T.cpu().numpy())
    trained = train(model, model.objective, coordinates, schedule, context, stage=stage)
    with torch.no_grad():
        layer.weight += (model.layer.weight - start) @ basis.T
        layer.bias.copy_(model.layer.bias)
    model.layer = layer
    return trained


def _spans_less(cells: Cells, layer: nn.Linear, schedule: Schedule) -> bool:
    plain = schedule.optimizer == "sgd" and not schedule.weight_decay
    bytes_of_inputs = 4 * cells.n_cells * layer.in_features
    return plain and 2 * cells.n_cells <= layer.in_features and bytes_of_inputs <= _SPAN_BYTES


def _inputs(cells: Cells) -> Tensor:
    """Return all inputs, (cells, features)."""
    return torch.cat([block.inputs for block in cells.blocks(np.arange(cells.n_cells), 1024)])
