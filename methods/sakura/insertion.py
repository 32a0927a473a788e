"""Parts of other fitted models, put into a model before it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from .config_model import fail
from .guidance import Signature
from .network import ENCODER, Reader

if TYPE_CHECKING:
    from .model import SakuraModel
    from .network import SakuraNetwork

FROZEN = "frozen"
_READING = (ENCODER, "pre_encoder", "decoder")
"""Parts with weights for each feature that is read or reconstructed."""


@dataclass(frozen=True)
class Insertion:
    """A part of a fitted model that replaces a part of the model to train."""

    part: str
    """``encoder``, ``pre_encoder``, ``main``, ``decoder``, a guide with own dimensions or
    ``head:GUIDE``."""
    path: Path
    """Folder of a fit, or file of a model."""
    source_part: str
    frozen: bool = False
    """Whether the part keeps its weights."""

    @classmethod
    def parse(cls, text: str) -> Insertion:
        """Return the insertion of ``PART=FIT[:PART][:frozen]``; raises ``UsageError``."""
        part, _, rest = text.partition("=")
        path, *more = rest.split(":")
        frozen = bool(more) and more[-1] == FROZEN
        source_part = ":".join(more[:-1] if frozen else more)
        if not part or not path:
            message = "expected PART=FIT, such as decoder=first_fit or head:cd8=first_fit:frozen."
            fail(f"insert '{text}'", message, "invalid_value")
        return cls(part, Path(path), source_part or part, frozen)

    @property
    def owner(self) -> str:
        return f"insert {self.part}={self.path}"


@dataclass
class InsertedParts:
    """The parts to insert, each with the model that has it."""

    sources: Sequence[tuple[Insertion, SakuraModel]] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = [one.part for one, _ in self.sources]
        for one, _ in self.sources:
            if parts.count(one.part) > 1:
                fail(one.owner, "the part is given twice.", "duplicate_names")

    @property
    def frozen(self) -> tuple[str, ...]:
        return tuple(one.part for one, _ in self.sources if one.frozen)

    @property
    def _reading(self) -> tuple[Insertion, SakuraModel] | None:
        """Return the first part that belongs to features, and its model."""
        return next((one for one in self.sources if one[0].part in _READING), None)

    def features(self, guide_genes: Sequence[str]) -> list[str] | None:
        """Return the features of an inserted encoder or decoder, then further guide genes.

        ``None`` if only other parts are inserted.
        """
        if self._reading is None:
            return None
        names = self._reading[1].inputs
        return [*names, *(gene for gene in guide_genes if gene not in set(names))]

    def check_features(self, model: SakuraModel) -> None:
        """Raise ``UsageError`` if the model reads other features than an inserted part."""
        for one, source in self.sources:
            if one.part not in _READING:
                continue
            if source.inputs != model.inputs:
                ours, theirs = set(model.inputs), set(source.inputs)
                more = [name for name in model.inputs if name not in theirs]
                less = [name for name in source.inputs if name not in ours]
                message = f"it was trained on {len(theirs)} features, not on the {len(ours)} here"
                if more:
                    message += f" ('{more[0]}' is new: exclude_from_input leaves it to the heads)"
                elif less:
                    message += f" ('{less[0]}' is missing)"
                fail(one.owner, f"{message}.", "other_features")
            for name in ("center", "scale"):
                theirs_is, ours_is = (getattr(x.settings, name) for x in (source, model))
                if theirs_is != ours_is:
                    message = f"it was trained with {name}={theirs_is}; set the same."
                    fail(one.owner, message, "other_fit")

    def copy_weights(self, network: SakuraNetwork, model: SakuraModel) -> None:
        """Copy the parts into the network of a model."""
        for one, source in self.sources:
            if one.part.startswith("head:"):
                _copy_head(one, source, network, model)
            else:
                target = network.module(one.part)
                _copy_module(one, source.network.module(one.source_part), target)

    def copy_scales(self, network: SakuraNetwork) -> bool:
        """Copy the scales of features from an inserted part; return whether there is one."""
        if self._reading is None:
            return False
        source = self._reading[1].network
        with torch.no_grad():
            for name in ("center", "spread"):
                values = getattr(source.scaler, name)[source.inputs]
                getattr(network.scaler, name)[network.inputs] = values.to(network.inputs.device)
        return True

    @property
    def heads(self) -> frozenset[str]:
        """Names of the guides whose heads are inserted, with the units of their targets."""
        parts = (one.part.partition(":") for one, _ in self.sources)
        return frozenset(name for kind, _, name in parts if kind == "head" and name)


def _copy_head(
    one: Insertion, source: SakuraModel, network: SakuraNetwork, model: SakuraModel
) -> None:
    """Copy a head with the units of its targets; raises ``UsageError`` for other targets."""
    name, other = (part.partition(":")[2] for part in (one.part, one.source_part))
    network.module(one.part)
    source.network.module(one.source_part)
    theirs, ours = _targets(source, other), _targets(model, name)
    if theirs != ours:
        shown = [
            ", ".join(names[:4]) + (", …" if len(names) > 4 else "") for names in (theirs, ours)
        ]
        message = f"that head predicts {shown[0]}; the head of '{name}' predicts {shown[1]}."
        fail(one.owner, message, "other_targets")
    readers: list[Reader] = [source.network.reader(other), network.reader(name)]
    _copy_module(one, readers[0].network, readers[1].network)
    with torch.no_grad():
        for buffer in ("offset", "unit", "score_variance"):
            getattr(readers[1], buffer).copy_(getattr(readers[0], buffer))


def _targets(model: SakuraModel, name: str) -> tuple[str, ...]:
    """Return genes, classes or columns of a guide."""
    guide = next(guide for guide in model.guidance.guides if guide.name == name)
    if isinstance(guide, Signature):
        return guide.targets
    return tuple(model.classes.get(name, guide.columns))


def _copy_module(one: Insertion, source: nn.Module, target: nn.Module) -> None:
    theirs, ours = source.state_dict(), target.state_dict()
    if [v.shape for v in theirs.values()] != [v.shape for v in ours.values()]:
        shown = [" → ".join(map(str, _widths(module))) for module in (source, target)]
        message = f"its layers are {shown[0]}, those of the model to train {shown[1]}"
        fail(one.owner, f"{message}; set hidden, n_latent and layers alike.", "wrong_width")
    target.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


def _widths(module: nn.Module) -> Iterator[int]:
    """Yield the widths of the inputs of the linear layers, and of the last output."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    yield from (layer.in_features for layer in layers)
    yield layers[-1].out_features if layers else 0
