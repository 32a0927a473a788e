"""Deep autoencoder that is pretrained layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.method import Context

from .batches import Block, Cells
from .blocks import ACTIVATIONS
from .likelihoods import Likelihood
from .models import Model, Network
from .train import Schedule, encode, train


class StackedAutoencoder(Network):
    """P-hidden-d-hidden reversed-P with ReLU between layers; PyTorch's own initial weights.

    The code has an activation of choice; what the last layer's output means is up to the
    likelihood. Shapes: inputs (cells, P), code (cells, d).
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
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden, n_latent]
        steps = list(pairwise(widths))
        self.corrupt = nn.Dropout(input_dropout)
        self.encoders = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in steps)
        self.decoders = nn.ModuleList(nn.Linear(n_out, n_in) for n_in, n_out in steps)
        self.code_activation = ACTIVATIONS[code_activation]()
        self.likelihood = likelihood

    def encode_layer(self, level: int, values: Tensor) -> Tensor:
        """Return the output of encoder layer ``level`` with its activation."""
        out: Tensor = self.encoders[level](values)
        last = level == len(self.encoders) - 1
        return self.code_activation(out) if last else functional.relu(out)

    def embed(self, block: Block) -> Tensor:
        """Return the code, (cells, d)."""
        values = self.corrupt(block.inputs)
        for level in range(len(self.encoders)):
            values = self.encode_layer(level, values)
        return values

    def decode(self, code: Tensor) -> Tensor:
        """Return the output of the last decoder layer, (cells, P)."""
        for level in reversed(range(1, len(self.decoders))):
            code = functional.relu(self.decoders[level](code))
        decoded: Tensor = self.decoders[0](code)
        return decoded

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        """Return the mean reconstruction loss of a cell."""
        return {"loss": self.likelihood(self.decode(self.embed(block)), block).mean()}

    def freeze_all_but_last(self) -> None:
        """Let only the layer before the output move, as the published program does by mistake."""
        self.encoders.requires_grad_(False)
        self.decoders[1:].requires_grad_(False)


class _Layer(Model):
    """One encoder layer with its own decoder, explaining the codes of the layer before.

    The first explains the data through the likelihood, the others codes by squared error.
    """

    def __init__(self, stack: StackedAutoencoder, level: int) -> None:
        super().__init__()
        self.encoder, self.decoder = stack.encoders[level], stack.decoders[level]
        self.likelihood = stack.likelihood if level == 0 else None
        self.corrupt = stack.corrupt
        # In a list, so that the whole stack does not become a part of this layer.
        self._stack, self._level = [stack], level

    def embed(self, block: Block) -> Tensor:
        return self._stack[0].encode_layer(self._level, block.inputs)

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        values = self._stack[0].encode_layer(self._level, self.corrupt(block.inputs))
        decoded = self.decoder(values)
        if self.likelihood is not None:
            return {"loss": self.likelihood(decoded, block).mean()}
        return {"loss": (decoded - block.targets).square().sum(dim=1).mean()}


class _PublishedLayer(Model):
    """One layer with ReLU and a sigmoid decoder that is thrown away, by mean squared error."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, nn.Linear)
        self.layer = layer
        self.back = nn.Linear(layer.out_features, layer.in_features).to(layer.weight.device)

    def embed(self, block: Block) -> Tensor:
        return functional.relu(self.layer(block.inputs))

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        rebuilt = torch.sigmoid(self.back(self.embed(block)))
        return {"loss": functional.mse_loss(rebuilt, block.targets)}


def pretrain(
    stack: StackedAutoencoder, cells: Cells, schedule: Schedule, context: Context, *, chain: bool
) -> None:
    """Train the layers of ``stack`` one after the other on the frozen codes of those before.

    ``chain=False``: encoder layers with the mirrored decoder layers. ``chain=True``: every layer,
    also of the decoder, as published. Codes are computed once per layer.
    """
    layers: list[Model] = [_Layer(stack, level) for level in range(len(stack.encoders))]
    if chain:
        everything = [*stack.encoders, *reversed(stack.decoders)]
        layers = [_PublishedLayer(layer) for layer in everything]
    for number, layer in enumerate(layers, start=1):
        train(layer, layer.objective, cells, schedule, context, stage=f"layer{number}")
        cells = cells.recoded(encode(layer, layer.embed, cells))
