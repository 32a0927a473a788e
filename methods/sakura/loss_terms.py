"""Weights of loss terms over the epochs, heads, and regularisers of the latent space."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from .config_model import reject

HeadKind = Literal["linear", "mlp", "identity"]
Activation = Literal["identity", "relu", "sigmoid", "softmax"]
PriorKind = Literal["uniform", "gaussian_mixture", "ring", "l1", "l2"]
Rate: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Positive: TypeAlias = Annotated[int, Field(ge=1)]
CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=CHECKED)
class WeightSchedule:
    """Weight of one term: a start, then a sum or a product per epoch, within bounds.

    An epoch is one pass over the cells of the term. From ``start_epoch`` on (at least the first)
    each finished epoch adds ``step`` or multiplies by ``growth``.
    """

    weight: NonNegative = 1.0
    start_epoch: Count = 0
    step: float | None = None
    growth: Annotated[float, Field(gt=0)] | None = None
    cap: float | None = None
    floor: float | None = None

    def __post_init__(self) -> None:
        two = self.step is not None and self.growth is not None
        reject("step (a sum) and growth (a factor) exclude each other.", when=two)
        constant = self.weight == 0 and self.growth not in (None, 1.0)
        reject(f"growth={self.growth} leaves a weight of 0 at 0; give step.", when=constant)
        floor = self.floor or 0.0
        outside = self.cap is not None and self.cap < floor
        reject(f"cap={self.cap} is below the floor {floor}.", when=outside)

    @classmethod
    def ramp(cls, weight: float, start_epoch: int, n_epochs: int) -> WeightSchedule:
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

        A weight without a bound changes to the end: then that is ``limit`` itself.
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


def _as_schedule(value: Any) -> Any:
    return WeightSchedule(value) if isinstance(value, int | float) else value


Weight: TypeAlias = Annotated[WeightSchedule, BeforeValidator(_as_schedule)]
"""A schedule; a number stands for a constant weight."""


@dataclass(frozen=True, config=CHECKED)
class Head:
    """The network that predicts targets from a part of the latent space."""

    kind: HeadKind = "linear"
    hidden: int | tuple[int, ...] = 5
    """mlp: width of all hidden layers, or of each of them."""
    layers: Positive = 3
    """mlp: linear layers, the output among them."""
    output_activation: Activation = "identity"
    """Of a signature or numerical phenotype; a categorical one has a log-softmax."""
    dropout_input: Rate = 0.0
    dropout_hidden: Rate = 0.0

    def __post_init__(self) -> None:
        empty = any(width < 1 for width in self.widths)
        reject(f"hidden={self.hidden} has a width below 1.", when=empty)
        n_widths = len(self.hidden) if isinstance(self.hidden, tuple) else self.layers - 1
        message = f"hidden has {n_widths} widths, layers={self.layers} needs {self.layers - 1}."
        reject(message, when=n_widths != self.layers - 1, code="wrong_width")

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        if self.kind != "mlp":
            return ()
        if isinstance(self.hidden, tuple):
            return self.hidden
        return (self.hidden,) * (self.layers - 1)


@dataclass(frozen=True, config=CHECKED)
class Regularizer:
    """A penalty on a part of the latent space: distance to a prior, or a norm."""

    kind: PriorKind
    """``uniform``, ``gaussian_mixture`` and ``ring``: squared sliced Wasserstein distance to that
    distribution; ``l1`` and ``l2``: mean norm of a cell."""
    schedule: Weight = WeightSchedule()
    low: float = -10.0
    high: float = 10.0
    """uniform: bounds of every coordinate."""
    n_components: Positive = 10
    """gaussian_mixture: components on a circle of each pair of coordinates."""
    radial_sd: NonNegative = 0.5
    tangential_sd: NonNegative = 0.1
    labels: str = ""
    """uniform, gaussian_mixture: the categorical phenotype whose classes are the components.
    Cells without a class, or all if this is empty, belong to a random component."""
    offsets: tuple[tuple[float, ...], ...] = ()
    """uniform with ``labels``: shift of the coordinates of each class."""
    n_projections: Positive = 50

    def __post_init__(self) -> None:
        reject(f"low={self.low} is not below high={self.high}.", when=self.low >= self.high)
        placed = self.kind in ("uniform", "gaussian_mixture")
        message = f"labels cannot place cells in a prior of kind '{self.kind}'."
        reject(message, when=bool(self.labels) and not placed)
        moved = self.kind == "uniform" and bool(self.labels)
        reject("offsets need kind='uniform' and labels.", when=bool(self.offsets) and not moved)

    @property
    def name(self) -> str:
        """The name of its term."""
        return f"prior_{self.kind}"


@dataclass(frozen=True, config=CHECKED)
class Binarize:
    """Targets become ``scale`` above ``threshold`` and 0 elsewhere, the reverse if ``inverse``."""

    threshold: float = 0.0
    inverse: bool = False
    scale: float = 1.0
