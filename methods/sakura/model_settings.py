"""Settings of a model: sizes, weights, tasks and stages of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_model import fail, lookup, reject
from .guidance import RECONSTRUCTION_LOSSES, check_losses
from .loss_terms import CHECKED, Count, Positive, Rate, Regularizer, Weight, WeightSchedule

if TYPE_CHECKING:
    from .params import SakuraParameters

Detach = Literal["none", "pre_encoder", "encoder"]
Order = Literal["interleave", "sum", "joint"]


@dataclass(frozen=True, config=CHECKED)
class TrainingTask:
    """The terms of one step, reconstruction, heads or both, and its cells."""

    name: str
    reconstruct: bool = False
    """Also the regularisers of the main dimensions."""
    guides: tuple[str, ...] = ()
    """Names of signatures and phenotypes."""
    split: str = "train"
    """The cells: ``train``, ``all`` or a split of the caller."""
    batch_size: int | None = None
    """``None``: that of the settings."""
    detach: Detach = "none"
    """``pre_encoder``: its weights stay in this task; ``encoder``: the compressors' as well."""
    terms: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Guide → its trained terms (losses by name, regularisers as ``prior_KIND``); all terms of
    other guides."""


@dataclass(frozen=True, config=CHECKED)
class Stage:
    """One of several trainings in a row."""

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
    """Number of variable features, beside those of the signatures; ``None``: all features."""
    scale: bool = False
    """Features have zero mean and unit variance, clipped at ± 10."""
    center: bool = False
    """Features have zero mean; ``scale`` implies it."""
    n_latent: Positive = 50
    hidden: Positive = 200
    encoder_layers: Positive = 2
    """Linear layers before the compressors."""
    decoder_hidden: Positive | None = None
    """``None``: as ``hidden``."""
    decoder_layers: Positive = 3
    """Linear layers, the output among them."""
    latent_activation: Literal["identity", "celu"] = "identity"
    output_activation: Literal["identity", "relu"] = "identity"
    dropout_input: Rate = 0.0
    dropout_hidden: Rate = 0.0
    reconstruction: Mapping[str, Weight] = Field(default_factory=lambda: {"mse": WeightSchedule()})
    regularizers: tuple[Regularizer, ...] = ()
    """Of the main dimensions."""
    relative_weights: bool = False
    """Weights of guides are relative: 1 lets the variance of a target count as much as the first
    principal component of the inputs."""
    schedule: Order = "joint"
    """interleave: steps of reconstruction and of the heads in turn; sum: each step adds up both,
    each on cells of its own; joint: all terms on the same cells."""
    frozen: tuple[str, ...] = ()
    """Parts of the network that do not learn: ``pre_encoder``, ``decoder``, a latent part
    (``main``, a guide's name), ``head:NAME``."""
    batch_size: Positive = 128
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    alpha: float = 0.9
    """rmsprop: memory of squared gradients."""
    momentum: float = 0.0
    """rmsprop."""
    weight_decay: float = 0.0
    max_epochs: Count = 100
    """Passes of the first task."""
    max_ticks: Count = 0
    """Steps over all tasks; 0: no bound."""
    stages: tuple[Stage, ...] = ()
    """Trainings in a row, each of which continues with the network, the optimiser and the weights
    of the terms of the one before; empty: one of reconstruction and all heads."""
    train_deciles: Annotated[int, Field(ge=1, le=10)] = 10
    """Tenths of the cells that train."""
    validation: Rate = 0.1
    """Share of the training cells held out to stop early; 0: never, the last weights stay."""
    patience: int = 15
    """Epochs without a better held-out loss, counted once all weights have settled."""

    def __post_init__(self) -> None:
        check_losses(self.reconstruction, RECONSTRUCTION_LOSSES)
        negative = (self.scale or self.center) and self.output_activation == "relu"
        message = "output_activation='relu' cannot reconstruct scaled or centred values."
        reject(message, when=negative)
        timed = bool(self.stages) and self.validation > 0
        reject("stages have fixed lengths; set validation=0.", when=timed)

    def resolved_stages(self, guides: tuple[str, ...]) -> tuple[Stage, ...]:
        """Return the trainings; raises ``UsageError`` for a task without anything to train."""
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
    """Return the settings of a method's parameters."""
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
