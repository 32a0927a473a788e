"""Weight schedules, heads and regularisers."""

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


def layer_widths(width: int | tuple[int, ...], n_layers: int) -> tuple[int, ...]:
    """Return the width of each layer; ``width``: one for all layers, or one for each."""
    return width if isinstance(width, tuple) else (width,) * n_layers


@dataclass(frozen=True, config=CHECKED)
class WeightSchedule:
    """Weight of a term that grows by a sum or a factor per epoch, within bounds.

    Epochs are passes over the cells of the term. Each one from ``start_epoch`` on adds ``step`` or
    multiplies by ``growth``.
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
        """Return a weight that rises from 0 to ``weight`` in ``n_epochs`` equal steps."""
        if n_epochs <= 0 or weight == 0:
            return cls(weight)
        return cls(0.0, start_epoch=start_epoch, step=weight / n_epochs, cap=weight)

    def at(self, epoch: int) -> float:
        n_changes = max(0, epoch - max(self.start_epoch, 1) + 1)
        value = self._bounded(self.weight)
        if self.step is not None:
            value += n_changes * self.step
        elif self.growth is not None and value > 0:
            # Through logarithms, because a factor to a high power may overflow.
            value = math.exp(min(math.log(value) + n_changes * math.log(self.growth), 700.0))
        return self._bounded(value)

    def settled(self, limit: int) -> int:
        """Return the first epoch with the weight of epoch ``limit``."""
        last = self.at(limit)
        epochs = range(limit + 1)
        return next(
            epoch
            for epoch in epochs
            if math.isclose(self.at(epoch), last, rel_tol=1e-9, abs_tol=1e-12)
        )

    def _bounded(self, value: float) -> float:
        value = max(value, self.floor or 0.0)
        return value if self.cap is None else min(value, self.cap)


def _as_schedule(value: Any) -> Any:
    return WeightSchedule(value) if isinstance(value, int | float) else value


Weight: TypeAlias = Annotated[WeightSchedule, BeforeValidator(_as_schedule)]
"""A schedule, or a number for a constant weight."""


@dataclass(frozen=True, config=CHECKED)
class Head:
    """Network that predicts targets from part of the latent space."""

    kind: HeadKind = "linear"
    hidden: int | tuple[int, ...] = 5
    """Width of all hidden layers, or of each (mlp only)."""
    layers: Positive = 3
    """Linear layers, the output included (mlp only)."""
    output_activation: Activation = "identity"
    """Categorical phenotypes have a log-softmax instead."""
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
        return layer_widths(self.hidden, self.layers - 1) if self.kind == "mlp" else ()


@dataclass(frozen=True, config=CHECKED)
class Regularizer:
    """Penalty on part of the latent space."""

    kind: PriorKind
    """Squared sliced Wasserstein distance to a ``uniform``, ``gaussian_mixture`` or ``ring``
    prior, or mean norm of a cell (``l1``, ``l2``)."""
    schedule: Weight = WeightSchedule()
    low: float = -10.0
    high: float = 10.0
    """Bounds of each coordinate (uniform)."""
    n_components: Positive = 10
    """Components on a circle in each pair of coordinates (gaussian_mixture)."""
    radial_sd: NonNegative = 0.5
    tangential_sd: NonNegative = 0.1
    labels: str = ""
    """Categorical phenotype whose classes are the components. Cells of unknown class have random
    components."""
    offsets: tuple[tuple[float, ...], ...] = ()
    """Shift of each class (uniform with ``labels``)."""
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
        return f"prior_{self.kind}"


@dataclass(frozen=True, config=CHECKED)
class Binarize:
    """Set targets to ``scale`` above the threshold and 0 below; ``inverse`` swaps both."""

    threshold: float = 0.0
    inverse: bool = False
    scale: float = 1.0
