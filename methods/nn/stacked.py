"""Deep autoencoder that is pretrained layer by layer."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from .blocks import ACTIVATIONS
from .layerwise import LastLayer, PublishedLayer, train_layer
from .models import Model, Network
from .train import Schedule, TrainingSummary, encode, train

if TYPE_CHECKING:
    from bench.contract import Context

    from ..stacked_ae import StackedAE
    from .batches import Block, Cells
    from .likelihoods import Likelihood


class StackedAutoencoder(Network):
    """Encoder P-hidden-d and its mirror image, with ReLU and PyTorch's initial weights."""

    params: StackedAE.Params

    def __init__(self, n_features: int, likelihood: Likelihood, params: StackedAE.Params) -> None:
        super().__init__(likelihood, params)
        steps = list(pairwise([n_features, *params.hidden, params.n_latent]))
        self.corrupt = nn.Dropout(params.input_dropout)
        self.encoders = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in steps)
        self.decoders = nn.ModuleList(nn.Linear(n_out, n_in) for n_in, n_out in steps)
        self.code_activation = ACTIVATIONS[params.code_activation]()

    def fit(self, cells: Cells, context: Context) -> TrainingSummary:
        p = self.params
        schedule = Schedule.of(
            p,
            max_epochs=p.pretrain_epochs if p.max_epochs else 0,
            learning_rate=p.pretrain_learning_rate,
            optimizer=p.optimizer,
        )
        pretrain(self, cells, schedule, context, chain=p.pretrain == "chain")
        schedule = Schedule.of(p, optimizer=p.optimizer)
        if p.fine_tune == "last":
            return fine_tune_last(self, cells, schedule, context)
        return train(self, self.objective, cells, schedule, context)

    def encode_layer(self, level: int, values: Tensor) -> Tensor:
        """Return the output of encoder layer ``level`` with its activation."""
        out: Tensor = self.encoders[level](values)
        last = level == len(self.encoders) - 1
        return self.code_activation(out) if last else functional.relu(out)

    def embed(self, block: Block) -> Tensor:
        values = self.corrupt(block.inputs)
        for level in range(len(self.encoders)):
            values = self.encode_layer(level, values)
        return values

    def decode(self, code: Tensor) -> Tensor:
        decoded: Tensor = self.decoders[0](self.before_last(code))
        return decoded

    def before_last(self, code: Tensor) -> Tensor:
        """Return the input of the last decoder layer."""
        for level in reversed(range(1, len(self.decoders))):
            code = functional.relu(self.decoders[level](code))
        return code

    def objective(self, block: Block, update: int | None) -> dict[str, Tensor]:
        return {"loss": self.likelihood(self.decode(self.embed(block)), block).mean()}


class _EncoderLayer(Model):
    """Encoder layer with its own decoder, which reconstructs the inputs of the layer.

    The first layer reconstructs the data through the likelihood, the others by squared error.
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


def pretrain(
    stack: StackedAutoencoder, cells: Cells, schedule: Schedule, context: Context, *, chain: bool
) -> None:
    """Train layer after layer on the frozen codes of the layer before.

    ``chain=False``: encoder layers with mirrored decoder layers. ``chain=True``: every layer by
    itself, as published.
    """
    if chain:
        chained = [*stack.encoders, *reversed(stack.decoders)]
        published = [PublishedLayer(layer) for layer in chained if isinstance(layer, nn.Linear)]
        for number, layer in enumerate(published, start=1):
            train_layer(layer, cells, schedule, context, stage=f"layer{number}")
            cells = cells.recoded(encode(layer, layer.embed, cells))
        return
    for level in range(len(stack.encoders)):
        model = _EncoderLayer(stack, level)
        train(model, model.objective, cells, schedule, context, stage=f"layer{level + 1}")
        cells = cells.recoded(encode(model, model.embed, cells))


def fine_tune_last(
    stack: StackedAutoencoder, cells: Cells, schedule: Schedule, context: Context
) -> TrainingSummary:
    """Train the layer before the output only, as the published program does by mistake."""
    assert isinstance(stack.decoders[0], nn.Linear)
    hidden = encode(stack, lambda block: stack.before_last(stack.embed(block)), cells)
    last = LastLayer(stack.decoders[0], stack.likelihood)
    return train_layer(last, cells.with_inputs(hidden), schedule, context)
