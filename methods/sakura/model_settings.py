"""Everything about a model and its training that is not knowledge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, get_args, get_type_hints

from bench.messages import did_you_mean

from .guidance import RECONSTRUCTION_LOSSES
from .loss_terms import Regularizer, Schedule, as_schedule, fail

Detach = Literal["none", "pre_encoder", "encoder"]
Order = Literal["interleave", "sum", "joint"]


@dataclass(frozen=True)
class Task:
    """What one step trains: reconstruction, heads, or both, on some of the cells."""

    name: str
    reconstruct: bool = False
    """Also the regularisers of the main dimensions."""
    guides: tuple[str, ...] = ()
    """Names of signatures and phenotypes."""
    split: str = "train"
    """The cells: ``train``, ``all`` or a split that was given."""
    batch_size: int | None = None
    """``None``: that of the settings."""
    detach: Detach = "none"
    """``pre_encoder``: its weights stay in this task; ``encoder``: the compressors' as well."""
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Guide → those of its terms that are trained (losses by name, regularisers as
    ``prior_KIND``); guides that are not in it: all."""


@dataclass(frozen=True)
class Stage:
    """One of several trainings in a row."""

    tasks: tuple[Task, ...]
    schedule: Order = "joint"
    max_epochs: int = 1
    """Passes of the first task."""
    max_ticks: int = 0
    """Steps over all tasks; 0: no bound."""


@dataclass(frozen=True)
class Settings:
    """Features, network and training of a model."""

    n_top_features: int | None = 2000
    """Variable features that are modelled, with those of the signatures; ``None``: all."""
    scale: bool = False
    """Features have zero mean and unit variance, clipped at ± ``clip``."""
    clip: float = 10.0
    center: bool = False
    """Features have zero mean; ``scale`` implies it."""
    n_latent: int = 50
    hidden: int = 200
    encoder_layers: int = 2
    """Linear layers before the compressors."""
    decoder_hidden: int | None = None
    """``None``: as ``hidden``."""
    decoder_layers: int = 3
    """Linear layers, the output among them."""
    latent_activation: Literal["identity", "celu"] = "identity"
    output_activation: Literal["identity", "relu"] = "identity"
    dropout_input: float = 0.0
    dropout_hidden: float = 0.0
    reconstruction: Mapping[str, Schedule] = field(default_factory=lambda: {"mse": Schedule()})
    regularizers: tuple[Regularizer, ...] = ()
    """Of the main dimensions."""
    relative_weights: bool = False
    """Weights of guides are relative: 1 lets the variance of a target count as much as the first
    principal component of the inputs."""
    schedule: Order = "joint"
    """interleave: each step trains the next task; sum: each step adds up all tasks, each on cells
    of its own; joint: one task, all terms on the same cells."""
    tasks: tuple[Task, ...] = ()
    """Empty: reconstruction, and all heads (joint: both in one)."""
    detach: Detach = "none"
    """Of the heads' task, if ``tasks`` is empty."""
    frozen: tuple[str, ...] = ()
    """Parts of the network that do not learn: ``pre_encoder``, ``decoder``, a latent part
    (``main``, a guide's name), ``head:NAME``."""
    batch_size: int = 128
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    alpha: float = 0.9
    """rmsprop: memory of squared gradients."""
    momentum: float = 0.0
    """rmsprop."""
    weight_decay: float = 0.0
    max_epochs: int = 100
    """Passes of the first task."""
    max_ticks: int = 0
    """Steps over all tasks; 0: no bound."""
    stages: tuple[Stage, ...] = ()
    """Trainings in a row, each of which goes on with the network, the optimiser and the weights
    of the terms that the one before leaves; empty: one, of ``tasks``, ``schedule``,
    ``max_epochs`` and ``max_ticks``."""
    train_deciles: int = 10
    """Tenths of the cells that train."""
    validation: float = 0.1
    """Share of the training cells held out to stop early; 0: never, the last weights stay."""
    patience: int = 15
    """Epochs without a better held-out loss, counted once all weights have settled."""

    def __post_init__(self) -> None:
        terms = {name: as_schedule(value) for name, value in self.reconstruction.items()}
        object.__setattr__(self, "reconstruction", terms)
        hints = get_type_hints(type(self))
        for one in fields(self):
            known, value = get_args(hints[one.name]), getattr(self, one.name)
            if known and all(isinstance(k, str) for k in known) and value not in known:
                fail("settings", f"{one.name}='{value}' is none of {', '.join(known)}.")
        for name in terms:
            if name not in RECONSTRUCTION_LOSSES:
                hint = did_you_mean(name, list(RECONSTRUCTION_LOSSES))
                fail("settings", f"reconstruction: no loss '{name}'.{hint}")
        for name in ("n_latent", "hidden", "encoder_layers", "decoder_layers", "batch_size"):
            if getattr(self, name) < 1:
                fail("settings", f"{name}={getattr(self, name)} is below 1.")
        if (self.scale or self.center) and self.output_activation == "relu":
            fail("settings", "output_activation='relu' cannot reconstruct scaled or centred "
                             "values; set scale=False and center=False.")  # fmt: skip
        if not 1 <= self.train_deciles <= 10:
            fail("settings", f"train_deciles={self.train_deciles} is not in 1 to 10.")
        if not 0 <= self.validation < 1:
            fail("settings", f"validation={self.validation} is not in [0, 1).")
        if self.max_epochs < 0 or self.max_ticks < 0:
            fail("settings", "max_epochs and max_ticks cannot be negative.")
        for tasks, order in ((self.tasks, self.schedule), *((s.tasks, s.schedule) for s in
                             self.stages)):  # fmt: skip
            if order == "joint" and len(tasks) > 1:
                fail("settings", "schedule='joint' has one task; use interleave or sum for "
                                 "several.")  # fmt: skip
        if self.stages and self.validation:
            fail("settings", "stages have fixed lengths; set validation=0.")

    def resolved_stages(self, guides: tuple[str, ...]) -> tuple[Stage, ...]:
        """Return the trainings; a task without anything to train is an error."""
        for stage in self.stages:
            _check(stage.tasks, guides)
        tasks = self.resolved_tasks(guides)
        return self.stages or (Stage(tasks, self.schedule, self.max_epochs, self.max_ticks),)

    def resolved_tasks(self, guides: tuple[str, ...]) -> tuple[Task, ...]:
        """Return the tasks; a task without anything to train is an error."""
        if not self.tasks:
            if not guides:
                return (Task("reconstruction", reconstruct=True),)
            if self.schedule == "joint" and self.detach == "none":
                return (Task("all", reconstruct=True, guides=guides),)
            heads = Task("guidance", guides=guides, detach=self.detach)
            return (Task("reconstruction", reconstruct=True), heads)
        _check(self.tasks, guides)
        return self.tasks


def _check(tasks: tuple[Task, ...], guides: tuple[str, ...]) -> None:
    for task in tasks:
        if not (task.reconstruct or task.guides):
            fail(f"task '{task.name}'", "it trains neither reconstruction nor a guide.")
        for name in (*task.guides, *task.terms):
            if name not in guides:
                hint = did_you_mean(name, list(guides))
                fail(f"task '{task.name}'", f"no guide '{name}'.{hint}")
