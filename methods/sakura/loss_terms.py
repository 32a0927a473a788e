"""How one term is weighted, what a head looks like, and what a latent space is held to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from bench.errors import UsageError
from bench.messages import did_you_mean

HeadKind = Literal["linear", "mlp", "identity"]
Activation = Literal["identity", "relu", "sigmoid", "softmax"]
REGULARIZERS = ("uniform", "gaussian_mixture", "ring", "l1", "l2")


def fail(owner: str, message: str) -> NoReturn:
    """Raise ``UsageError`` with a message that names its owner."""
    raise UsageError(f"{owner}: {message}")


@dataclass(frozen=True)
class Schedule:
    """Weight of one term: a start, then a sum or a product per epoch, within bounds.

    An epoch is one pass over the cells of the term. From ``start_epoch`` on (at least the first)
    each finished epoch adds ``step`` or multiplies by ``growth``.
    """

    weight: float = 1.0
    start_epoch: int = 0
    step: float | None = None
    growth: float | None = None
    cap: float | None = None
    floor: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            fail("schedule", f"weight={self.weight} is not a number from 0 on.")
        if self.start_epoch < 0:
            fail("schedule", f"start_epoch={self.start_epoch} is below 0.")
        if self.step is not None and self.growth is not None:
            fail("schedule", "step (a sum) and growth (a factor) are both given; give one.")
        if self.growth is not None and self.growth <= 0:
            fail("schedule", f"growth={self.growth} is not above 0.")
        if self.weight == 0 and self.growth not in (None, 1.0):
            fail("schedule", f"growth={self.growth} leaves a weight of 0 at 0; give step.")
        if self.cap is not None and self.cap < (self.floor or 0.0):
            fail("schedule", f"cap={self.cap} is below the floor {self.floor or 0.0}.")

    @classmethod
    def ramp(cls, weight: float, start_epoch: int, n_epochs: int) -> Schedule:
        """Return a weight that is 0 first and ``weight`` after ``n_epochs`` equal steps."""
        if n_epochs <= 0 or weight == 0:
            return cls(weight)
        return cls(0.0, start_epoch=start_epoch, step=weight / n_epochs, cap=weight)

    def at(self, epoch: int) -> float:
        """Return the weight after ``epoch`` finished epochs."""
        n_changes = max(0, epoch - max(self.start_epoch, 1) + 1)
        value = self._bounded(self.weight)
        if self.step is not None:
            value += n_changes * self.step
        elif self.growth is not None and value > 0:
            # Through logarithms, because a factor to a high power may overflow.
            value = math.exp(min(math.log(value) + n_changes * math.log(self.growth), 700.0))
        return self._bounded(value)

    def settled(self, limit: int) -> int:
        """Return the first epoch up to ``limit`` from which on the weight stays as at ``limit``.

        A weight without a bound never stays: then that is ``limit`` itself.
        """
        last = self.at(limit)
        low, high = 0, limit
        while low < high:
            middle = (low + high) // 2
            if math.isclose(self.at(middle), last, rel_tol=1e-9, abs_tol=1e-12):
                high = middle
            else:
                low = middle + 1
        return low

    def _bounded(self, value: float) -> float:
        value = max(value, self.floor or 0.0)
        return value if self.cap is None else min(value, self.cap)


@dataclass(frozen=True)
class Head:
    """The network that predicts targets from a part of the latent space."""

    kind: HeadKind = "linear"
    hidden: int | tuple[int, ...] = 5
    """mlp: width of all hidden layers, or of each of them."""
    layers: int = 3
    """mlp: linear layers, the output among them."""
    output_activation: Activation = "identity"
    """Of a signature or numerical phenotype; a categorical one has a log-softmax."""
    dropout_input: float = 0.0
    dropout_hidden: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "mlp", "identity"):
            fail("head", f"kind='{self.kind}' is none of linear, mlp, identity.")
        if self.output_activation not in ("identity", "relu", "sigmoid", "softmax"):
            known = "identity, relu, sigmoid, softmax"
            fail("head", f"output_activation='{self.output_activation}' is none of {known}.")
        if self.layers < 1:
            fail("head", f"layers={self.layers} is below 1.")
        if any(width < 1 for width in self.widths):
            fail("head", f"hidden={self.hidden} has a width below 1.")
        if isinstance(self.hidden, tuple) and len(self.hidden) != self.layers - 1:
            fail("head", f"hidden has {len(self.hidden)} widths, layers={self.layers} needs "
                          f"{self.layers - 1}.")  # fmt: skip
        for name in ("dropout_input", "dropout_hidden"):
            if not 0 <= getattr(self, name) < 1:
                fail("head", f"{name}={getattr(self, name)} is not in [0, 1).")

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        if self.kind != "mlp":
            return ()
        if isinstance(self.hidden, tuple):
            return self.hidden
        return (self.hidden,) * (self.layers - 1)


@dataclass(frozen=True)
class Regularizer:
    """A penalty on a part of the latent space: distance to a prior, or a norm."""

    kind: str
    """``uniform``, ``gaussian_mixture`` and ``ring``: squared sliced Wasserstein distance to that
    distribution; ``l1`` and ``l2``: mean norm of a cell."""
    schedule: Schedule = field(default_factory=Schedule)
    low: float = -10.0
    high: float = 10.0
    """uniform: bounds of every coordinate."""
    n_components: int = 10
    """gaussian_mixture: components on a circle of each pair of coordinates."""
    radial_sd: float = 0.5
    tangential_sd: float = 0.1
    labels: str = ""
    """uniform, gaussian_mixture: the categorical phenotype whose classes say to which component a
    cell belongs; cells without a class, or all if this is empty, belong to a random one."""
    offsets: tuple[tuple[float, ...], ...] = ()
    """uniform with ``labels``: what is added to the coordinates of each class."""
    n_projections: int = 50

    def __post_init__(self) -> None:
        if self.kind not in REGULARIZERS:
            hint = did_you_mean(self.kind, list(REGULARIZERS))
            fail("regularizer", f"kind='{self.kind}' is unknown.{hint}")
        if self.low >= self.high:
            fail("regularizer", f"low={self.low} is not below high={self.high}.")
        for name in ("n_components", "n_projections"):
            if getattr(self, name) < 1:
                fail("regularizer", f"{name}={getattr(self, name)} is below 1.")
        if self.radial_sd < 0 or self.tangential_sd < 0:
            fail("regularizer", "radial_sd and tangential_sd cannot be negative.")
        if self.labels and self.kind not in ("uniform", "gaussian_mixture"):
            fail("regularizer", f"labels cannot place cells in a prior of kind '{self.kind}'.")
        if self.offsets and not (self.kind == "uniform" and self.labels):
            fail("regularizer", "offsets need kind='uniform' and labels.")


@dataclass(frozen=True)
class Binarize:
    """Targets become ``scale`` above ``threshold`` and 0 elsewhere, the reverse if ``inverse``."""

    threshold: float = 0.0
    inverse: bool = False
    scale: float = 1.0


def as_schedule(value: float | Schedule) -> Schedule:
    """Return a number as a constant weight."""
    return value if isinstance(value, Schedule) else Schedule(float(value))
