"""What all simulators share: parameters, cells and their types, batches and depths, the card.

What features do is in ``_simulate_features``. Each part of a simulation draws from a generator of
its own, named and derived from the seed, so that a parameter changes only what it is about: adding
batches or modules leaves the types of the cells as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from bench.contract import Card, Parameters
from bench.seeds import derive_seed

if TYPE_CHECKING:
    import numpy as np


class SimulationParameters(Parameters):
    """Parameters that hold for every modality."""

    n_cells: int = Field(600, ge=20, le=1_000_000, description="cells")
    n_types: int = Field(6, ge=2, le=100, description="cell types")
    rare: float = Field(
        0.03, gt=0, le=0.5, description="share of each rare type; the others decline evenly"
    )
    n_rare: int = Field(
        1, ge=1, description="types that are rare, the last ones; their sizes are exact"
    )
    n_batches: int = Field(
        1, ge=1, le=50, description="batches; 1: no column batch and no batch effect"
    )
    batch_effect: float = Field(
        0.3, ge=0, le=5, description="standard deviation of a feature's log factor in a batch"
    )
    confounding: float = Field(
        0.0, ge=0, le=1, description="share of cells whose batch follows from their type; 0: "
        "every type is spread evenly over the batches",
    )  # fmt: skip
    separation: float = Field(
        1.0, ge=0, le=10, description="standard deviation of a type's markers' log factors"
    )
    markers: float = Field(0.1, gt=0, le=1, description="share of features that mark a type")
    n_modules: int = Field(
        0, ge=0, le=100, description="sets of features that vary together from cell to cell"
    )
    module_size: int = Field(20, ge=2, description="features of a module")
    module_spread: float = Field(
        0.7, gt=0, le=5, description="standard deviation of a module's log activity among cells"
    )
    module_scope: Literal["across", "within"] = Field(
        "across", description="where a module varies: across all types, or within one"
    )
    depth_spread: float = Field(
        0.4, ge=0, le=3, description="standard deviation of the log depth of cells"
    )
    seed: int = Field(0, ge=0, description="everything random follows from it")

    def feature_numbers(self) -> dict[str, int]:
        """Return how many features modules can have, by the name of what decides it."""
        return {"n_features": self.n_features} if hasattr(self, "n_features") else {}

    @model_validator(mode="after")
    def _everything_fits(self) -> Self:
        for name in ("n_types", "n_batches"):
            if getattr(self, name) > self.n_cells:
                raise ValueError(
                    f"{name}={getattr(self, name)} needs at least as many cells; n_cells is "
                    f"{self.n_cells}"
                )
        if self.n_rare >= self.n_types:
            raise ValueError(
                f"n_rare={self.n_rare} leaves no common type; n_types is {self.n_types}"
            )
        if self.confounding and self.n_batches > self.n_types:
            raise ValueError(
                f"confounding={self.confounding:g} needs at least as many types as batches; "
                f"n_batches is {self.n_batches}, n_types {self.n_types}"
            )
        needed = self.n_modules * self.module_size
        for name, number in self.feature_numbers().items():
            if needed > number:
                raise ValueError(
                    f"n_modules={self.n_modules} of module_size={self.module_size} need {needed} "
                    f"features; {name} is {number}"
                )
        return self


@dataclass(frozen=True)
class Population:
    """Cells before their counts, each array of shape (n_cells,)."""

    types: np.ndarray
    """Type number."""
    batches: np.ndarray
    """Batch number."""
    log_depth: np.ndarray
    """Log of depth over its median."""


def stream(params: SimulationParameters, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose, independent of those of all others."""
    import numpy as np

    return np.random.default_rng(derive_seed(params.seed, "simulation", purpose))


def populate(params: SimulationParameters, part: str = "") -> Population:
    """Draw types (in mixed order), batches and depths.

    Parts of one experiment share types and batches; each ``part`` has depths of its own.
    """
    import numpy as np

    sizes = type_sizes(params)
    types = stream(params, "types").permutation(np.repeat(np.arange(params.n_types), sizes))
    spread = stream(params, f"depth {part}").normal(0.0, params.depth_spread, params.n_cells)
    return Population(types, _batches(params, types), spread - np.median(spread))


def _batches(params: SimulationParameters, types: np.ndarray) -> np.ndarray:
    """Deal the cells of each type out evenly, then confound the share that is asked for.

    Confounded cells of type t are in batch t modulo ``n_batches``: at a share of 1 every type lies
    in one batch, and no method can tell both effects apart.
    """
    import numpy as np

    rng = stream(params, "batches")
    n_cells = len(types)
    batches = np.empty(n_cells, dtype=int)
    batches[np.lexsort((rng.random(n_cells), types))] = np.arange(n_cells) % params.n_batches
    moved = rng.permutation(n_cells)[: round(params.confounding * n_cells)]
    batches[moved] = types[moved] % params.n_batches
    return batches


def type_shares(n_types: int, rare: float, n_rare: int = 1) -> np.ndarray:
    """Return the share of each type: ``n_rare`` types of ``rare``, the others declining evenly.

    The decline is linear down to the share of the rare types, which is at most an equal share.
    """
    import numpy as np

    rare = min(rare, 1.0 / n_types)
    steps = n_types - n_rare + 1
    top = 2.0 * (1.0 - (n_rare - 1) * rare) / steps - rare
    return np.concatenate([np.linspace(top, rare, steps), np.full(n_rare - 1, rare)])


def type_sizes(params: SimulationParameters) -> np.ndarray:
    """Return the number of cells of each type: at least one, ``n_cells`` in all.

    Sizes of rare types are their share of the cells, rounded; what rounding leaves over goes to
    the largest type.
    """
    import numpy as np

    exact = type_shares(params.n_types, params.rare, params.n_rare) * params.n_cells
    sizes = np.floor(exact).astype(int)
    sizes[-params.n_rare :] = np.rint(exact[-params.n_rare :])
    sizes = np.maximum(sizes, 1)
    sizes[0] += max(params.n_cells - sizes.sum(), 0)
    while sizes.sum() > params.n_cells:  # many types, hardly more cells than types
        sizes[np.argmax(sizes)] -= 1
    return sizes


def card_of(card: Card, params: SimulationParameters, n_features: int) -> Card:
    """Return the card with the sizes that the parameters ask for.

    The summary of ``card`` is ``"<what>, <types of the default>"``; its second half is replaced.
    """
    rare = min(params.rare, 1.0 / params.n_types)
    steps = params.n_types - params.n_rare + 1
    common = 2.0 * (1.0 - (params.n_rare - 1) * rare) / steps - rare
    types = f"{params.n_types} types of {100 * rare:.2g} % to {100 * common:.2g} %"
    return replace(
        card,
        summary=f"{card.summary.split(',')[0]}, {types}",
        batch_key="batch" if params.n_batches > 1 else None,
        n_cells=params.n_cells,
        n_features=n_features,
        n_types=params.n_types,
    )
