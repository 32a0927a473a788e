"""Layers and activations."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
}


def linear(n_in: int, n_out: int) -> nn.Linear:
    """Return a linear layer with Xavier-normal weights and zero bias (Glorot and Bengio 2010)."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def multilayer(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers of these widths, each with ReLU."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers)
