"""Settings of a model, its tasks and its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_model import fail, lookup, reject
from .guidance import RECONSTRUCTION_LOSSES, check_losses
from .loss_terms import (
    CHECKED,
    Activation,
    Count,
    Positive,
    Rate,
    Regularizer,
    Weight,
    WeightSchedule,
    layer_widths,
)

if TYPE_CHECKING:
    from .params import SakuraParameters

Detach = Literal["none", "pre_encoder", "encoder"]
Order = Literal["interleave", "sum", "joint"]


@dataclass(frozen=True, config=CHECKED)
class TrainingTask:
    """Terms and cells of one step."""

    name: str
    reconstruct: bool = False
    """Train reconstruction, and the regularisers of the main dimensions."""
    guides: tuple[str, ...] = ()
    split: str = "train"
    """``train``, ``all`` or a split of the caller."""
    batch_size: int | None = None
    """``None``: the batch size of the settings."""
    detach: Detach = "none"
    """``pre_encoder``: its weights stay; ``encoder``: also the weights of the latent parts."""
    terms: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Guide → trained terms (losses, and regularisers as ``prior_KIND``); default: all."""


@dataclass(frozen=True, config=CHECKED)
class Stage:
    tasks: tuple[TrainingTask, ...]
    schedule: Order = "joint"
    max_epochs: Count = 1
    """Passes of the first task."""
    max_ticks: Count = 0
    """Steps over all tasks; 0: no bound."""

    def __post_init__(self) -> None:
        several = self.schedule == "joint" and len(self.tasks) > 1
        reject("schedule='joint' has one task; several need interleave or sum.", when=several)


@dataclass(frozen=True, config=CHECKED)
class SakuraSettings:
    """Features, network and training of a model."""

    n_top_features: int | None = 2000
    """Variable features beside those of signatures; ``None``: all features."""
    scale: bool = False
    """Zero mean and unit variance of features, clipped at ± 10."""
    center: bool = False
    """Zero mean of features; ``scale`` implies it."""
    n_latent: Positive = 50
    hidden: Positive | tuple[Positive, ...] = 200
    """Width of all layers before the latent parts, or of each."""
    encoder_layers: Positive = 2
    """Linear layers before the latent parts."""
    decoder_hidden: Positive | tuple[Positive, ...] | None = None
    """Width of all hidden layers of the decoder, or of each; default: ``hidden``."""
    decoder_layers: Positive = 3
    """Linear layers, the output included."""
    latent_activation: Literal["identity", "celu"] = "identity"
    output_activation: Activation = "identity"
    dropout_input: Rate = 0.0
    dropout_hidden: Rate = 0.0
    reconstruction: Mapping[str, Weight] = Field(default_factory=lambda: {"mse": WeightSchedule()})
    regularizers: tuple[Regularizer, ...] = ()
    """Regularisers of the main dimensions."""
    relative_weights: bool = False
    """A weight of 1 lets a target's variance count as much as the first principal component of the
    inputs."""
    schedule: Order = "joint"
    """interleave: reconstruction and heads take steps in turn. sum: a step adds both, each on
    cells of its own. joint: all terms on the same cells."""
    frozen: tuple[str, ...] = ()
    """Parts that do not learn: ``pre_encoder``, ``decoder``, ``main``, a guide's name or
    ``head:NAME``."""
    batch_size: Positive = 128
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    alpha: float = 0.9
    momentum: float = 0.0
    weight_decay: float = 0.0
    max_epochs: Count = 100
    """Passes of the first task."""
    max_ticks: Count = 0
    """Steps over all tasks; 0: no bound."""
    stages: tuple[Stage, ...] = ()
    """Trainings in a row, which share network, optimiser and term weights; default: one."""
    train_deciles: Annotated[int, Field(ge=1, le=10)] = 10
    """Number of tenths of the cells for training."""
    validation: Rate = 0.1
    """Share of the training cells held out to stop early; 0: train to the end."""
    patience: int = 15
    """Epochs without a better held-out loss, counted when all weights are final."""

    def __post_init__(self) -> None:
        check_losses(self.reconstruction, RECONSTRUCTION_LOSSES)
        bounded = self.output_activation != "identity"
        message = f"output_activation={self.output_activation!r} cannot reconstruct scaled or "
        reject(f"{message}centred values.", when=bounded and (self.scale or self.center))
        layers = {"hidden": (self.hidden, self.encoder_layers)}
        layers["decoder_hidden"] = (self.decoder_width, self.decoder_layers - 1)
        for name, (width, n_layers) in layers.items():
            given = len(width) if isinstance(width, tuple) else n_layers
            message = f"{name} has {given} widths for {n_layers} layers."
            reject(message, when=given != n_layers, code="wrong_width")
        timed = bool(self.stages) and self.validation > 0
        reject("stages have fixed lengths; set validation=0.", when=timed)

    @property
    def decoder_width(self) -> int | tuple[int, ...]:
        """Width of all hidden layers of the decoder, or of each."""
        if self.decoder_hidden is not None:
            return self.decoder_hidden
        return self.hidden if isinstance(self.hidden, int) else self.hidden[-1]

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        return layer_widths(self.hidden, self.encoder_layers)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers of the decoder."""
        return layer_widths(self.decoder_width, self.decoder_layers - 1)

    def resolved_stages(self, guides: tuple[str, ...]) -> tuple[Stage, ...]:
        """Return the trainings; raises ``UsageError`` for a task that trains nothing."""
        tasks = self._default_tasks(guides)
        default = Stage(tasks, self.schedule, self.max_epochs, self.max_ticks)
        stages = self.stages or (default,)
        for task in (task for stage in stages for task in stage.tasks):
            if not (task.reconstruct or task.guides):
                message = "it trains neither reconstruction nor a guide."
                fail(f"task '{task.name}'", message, "missing_key")
            for name in (*task.guides, *task.terms):
                lookup(dict.fromkeys(guides, name), name, f"task '{task.name}'")
        return stages

    def _default_tasks(self, guides: tuple[str, ...]) -> tuple[TrainingTask, ...]:
        if not guides:
            return (TrainingTask("reconstruction", reconstruct=True),)
        if self.schedule == "joint":
            return (TrainingTask("all", reconstruct=True, guides=guides),)
        reconstruction = TrainingTask("reconstruction", reconstruct=True)
        return (reconstruction, TrainingTask("guidance", guides=guides))


def settings_from_params(params: SakuraParameters, *, all_features: bool) -> SakuraSettings:
    p = params
    names = {one.name for one in fields(SakuraSettings)} & type(p).model_fields.keys()
    priors: tuple[Regularizer, ...] = ()
    if p.prior != "none" and p.prior_weight:
        start = min(p.prior_weight, p.prior_cap)
        weight = WeightSchedule(start, growth=p.prior_growth, cap=p.prior_cap)
        prior = Regularizer(
            p.prior, weight, low=-p.prior_bound, high=p.prior_bound,
            n_components=p.prior_components, n_projections=p.n_projections,
        )  # fmt: skip
        priors = (prior,)
    weights = {"mse": p.mse_weight, "l1": p.l1_weight}
    return SakuraSettings(
        n_top_features=None if all_features else p.n_top_genes,
        reconstruction={name: WeightSchedule(w) for name, w in weights.items() if w},
        regularizers=priors,
        **{name: getattr(p, name) for name in names},
    )
