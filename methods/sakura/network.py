"""Network: one encoder, a latent space in parts, a decoder and heads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .config_model import fail, lookup

if TYPE_CHECKING:
    from .guidance import Guidance, Guide
    from .loss_terms import Regularizer
    from .model_settings import Detach, SakuraSettings

MAIN, ENCODER = "main", "encoder"
_CLIP = 10.0
"""Bound of scaled features."""
_OUTPUTS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "celu": nn.CELU,
    "softmax": partial(nn.Softmax, dim=1),
    "log_softmax": partial(nn.LogSoftmax, dim=1),
}


class Layout:
    """Columns of each part of the latent space, main dimensions first."""

    def __init__(self, guidance: Guidance, n_latent: int) -> None:
        widths = {MAIN: n_latent}
        for guide in guidance.guides:
            if guide.parts == ("own",):
                widths[guide.name] = guide.dim or 0
        self.slices: dict[str, slice] = {}
        end = 0
        for name, width in widths.items():
            self.slices[name] = slice(end, end + width)
            end += width
        self.width = end
        for guide in guidance.guides:
            self._check(guide)

    def parts(self, guide: Guide) -> tuple[str, ...]:
        """Return the parts that a guide's head reads."""
        if guide.parts == ("own",):
            return (guide.name,)
        return tuple(self.slices) if guide.parts == ("all",) else guide.parts

    def dim(self, parts: Collection[str]) -> int:
        return sum(self.slices[p].stop - self.slices[p].start for p in parts)

    def _check(self, guide: Guide) -> None:
        width = self.dim(self.parts(guide))
        if guide.dim is not None and guide.dim != width:
            parts = " + ".join(self.parts(guide))
            message = f"dim={guide.dim}, but its space ({parts}) has {width} dimensions."
            fail(guide.owner, message, "wrong_width")
        check_ring(guide.owner, guide.regularizers, width)


def check_ring(owner: str, regularizers: Sequence[Regularizer], width: int) -> None:
    """Raise ``UsageError`` for a ring prior unless the space has two dimensions."""
    if width != 2 and any(one.kind == "ring" for one in regularizers):
        message = f"regularizers: a ring has 2 dimensions, the space {width}."
        fail(owner, message, "wrong_width")


def perceptron(
    widths: Sequence[int], *, last: nn.Module, dropout_input: float = 0, dropout_hidden: float = 0
) -> nn.Sequential:
    """Return linear layers of these widths with CELU between them."""
    layers: list[nn.Module] = [nn.Dropout(dropout_input)] if dropout_input else []
    steps = list(pairwise(widths))
    for number, (n_in, n_out) in enumerate(steps, start=1):
        layers.append(nn.Linear(n_in, n_out))
        if number < len(steps):
            layers.append(nn.CELU())
            if dropout_hidden:
                layers.append(nn.Dropout(dropout_hidden))
    return nn.Sequential(*layers, last)


class Scaler(nn.Module):
    """Centre features; with ``clip`` also scale them to unit variance, within ± ``clip``."""

    center: Tensor
    spread: Tensor

    def __init__(self, n_features: int, clip: float | None, *, active: bool) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.clip, self.active = clip, active

    def forward(self, values: Tensor) -> Tensor:
        if not self.active:
            return values
        if self.clip is None:
            return values - self.center
        return ((values - self.center) / self.spread).clamp(-self.clip, self.clip)

    def restore(self, values: Tensor, columns: Tensor | slice = slice(None)) -> Tensor:
        """Return values of the features ``columns`` in their own units."""
        return values * self.spread[columns] + self.center[columns]


class Reader(nn.Module):
    """Head of a guide, and the units of its predictions."""

    offset: Tensor
    unit: Tensor
    columns: Tensor
    score_variance: Tensor

    def __init__(self, guide: Guide, n_in: int, n_out: int, columns: Tensor) -> None:
        super().__init__()
        self.network = _head(guide, n_in, n_out)
        # Positions of a signature's targets among the modelled features; empty for a phenotype.
        self.register_buffer("columns", columns)
        self.register_buffer("offset", torch.zeros(n_out))
        self.register_buffer("unit", torch.ones(n_out))
        # Variance over the cells of the mean target of a signature.
        self.register_buffer("score_variance", torch.ones(()))

    def forward(self, latent: Tensor) -> Tensor:
        """Return predictions in target units, (cells, outputs)."""
        predicted: Tensor = self.network(latent)
        return predicted

    def restore(self, predicted: Tensor) -> Tensor:
        """Return predictions in the units of the data."""
        return predicted * self.unit + self.offset


def _head(guide: Guide, n_in: int, n_out: int) -> nn.Module:
    head = guide.head
    name = "log_softmax" if guide.categorical else head.output_activation
    last = _OUTPUTS[name]()
    if head.kind == "identity":
        if n_in != n_out:
            message = f"an identity head needs {n_out} dimensions, its space has {n_in}."
            fail(guide.owner, message, "wrong_width")
        return last
    return perceptron(
        (n_in, *head.widths, n_out), last=last,
        dropout_input=head.dropout_input, dropout_hidden=head.dropout_hidden,
    )  # fmt: skip


class SakuraNetwork(nn.Module):
    """Pre-encoder, a linear layer for each latent part, decoder and heads.

    ``inputs``: positions of the features that are read and reconstructed. ``outputs``: number of
    targets and gene positions of each guide. Weights start as PyTorch sets them.
    """

    inputs: Tensor
    unit: float = 1.0
    """A guide's weight of 1 in units of the reconstruction error; set before training."""

    def __init__(
        self, settings: SakuraSettings, guidance: Guidance, n_features: int, inputs: Tensor,
        outputs: Sequence[tuple[int, Tensor]],
    ) -> None:  # fmt: skip
        super().__init__()
        s = self.settings = settings
        self.guidance = guidance
        self.layout = Layout(guidance, s.n_latent)
        check_ring("settings", s.regularizers, s.n_latent)
        self.register_buffer("inputs", inputs)
        self.scaler = Scaler(n_features, _CLIP if s.scale else None, active=s.scale or s.center)
        dropout = {"dropout_input": s.dropout_input, "dropout_hidden": s.dropout_hidden}
        widths = (len(inputs), *s.encoder_widths)
        self.pre_encoder = perceptron(widths, last=nn.CELU(), **dropout)
        self.compressors = nn.ModuleList(
            perceptron((widths[-1], part.stop - part.start), last=_OUTPUTS[s.latent_activation]())
            for part in self.layout.slices.values()
        )
        widths = (self.layout.width, *s.decoder_widths, len(inputs))
        self.decoder = perceptron(
            widths, last=_OUTPUTS[s.output_activation](), dropout_hidden=s.dropout_hidden
        )
        self._guides = [guide.name for guide in guidance.guides]
        self.readers = nn.ModuleList(
            Reader(guide, self.layout.dim(self.layout.parts(guide)), n_out, columns)
            for guide, (n_out, columns) in zip(guidance.guides, outputs, strict=True)
        )

    def encode(
        self, scaled: Tensor, parts: Collection[str] | None = None, detach: Detach = "none"
    ) -> dict[str, Tensor]:
        """Return the latent parts of scaled features; ``parts``: names; default: all.

        ``detach`` stops the gradient after the pre-encoder or after the latent space.
        """
        hidden = self.pre_encoder(scaled[:, self.inputs])
        if detach == "pre_encoder":
            hidden = hidden.detach()
        latents = {
            name: compressor(hidden)
            for name, compressor in zip(self.layout.slices, self.compressors, strict=True)
            if parts is None or name in parts
        }
        if detach == "encoder":
            latents = {name: latent.detach() for name, latent in latents.items()}
        return latents

    def decode(self, latents: dict[str, Tensor]) -> Tensor:
        """Return the reconstruction of the input features from all latent parts."""
        whole = torch.cat([latents[name] for name in self.layout.slices], dim=1)
        reconstructed: Tensor = self.decoder(whole)
        return reconstructed

    def head_input(self, guide: Guide, latents: dict[str, Tensor]) -> Tensor:
        """Return the input of a guide's head, (cells, dims)."""
        return torch.cat([latents[part] for part in self.layout.parts(guide)], dim=1)

    def reader(self, name: str) -> Reader:
        reader = self.readers[self._guides.index(name)]
        assert isinstance(reader, Reader)
        return reader

    def module(self, name: str) -> nn.Module:
        """Return a part of the network.

        ``pre_encoder``, ``main`` or a guide's own dimensions, ``encoder`` (``pre_encoder`` and
        ``main``), ``decoder``, ``head:NAME``. Raises ``UsageError`` for another name.
        """
        modules: dict[str, nn.Module] = {"decoder": self.decoder, "pre_encoder": self.pre_encoder}
        modules |= dict(zip(self.layout.slices, self.compressors, strict=True))
        modules[ENCODER] = nn.ModuleList([self.pre_encoder, modules[MAIN]])
        modules |= {f"head:{name}": self.reader(name).network for name in self._guides}
        return lookup(modules, name, "part of the model")
