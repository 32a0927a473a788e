"""Parameters of all simulators, and cards with their sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from bench.contract import Card, Parameters


class SimulationParameters(Parameters):
    """Parameters that hold for every modality."""

    n_cells: int = Field(600, ge=20, le=1_000_000, description="number of cells")
    n_types: int = Field(6, ge=2, le=100, description="number of cell types")
    rare: float = Field(
        0.03, gt=0, le=0.5, description="share of each rare type; other types decline evenly"
    )
    n_rare: int = Field(
        1, ge=1, description="number of rare types, the last ones; their sizes are exact"
    )
    n_batches: int = Field(
        1, ge=1, le=50, description="number of batches; 1: no column batch and no batch effect"
    )
    batch_effect: float = Field(
        0.3, ge=0, le=5, description="standard deviation of a feature's log factor in a batch"
    )
    confounding: float = Field(
        0.0, ge=0, le=1, description="share of cells whose batch follows from their type"
    )
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
    seed: int = Field(0, ge=0, description="seed of all random numbers")

    def module_feature_limits(self) -> dict[str, int]:
        """Return the limits on the number of features in modules, by name."""
        return {"n_features": self.n_features} if hasattr(self, "n_features") else {}

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
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
        n_members = self.n_modules * self.module_size
        for name, limit in self.module_feature_limits().items():
            if n_members > limit:
                raise ValueError(
                    f"n_modules={self.n_modules} of module_size={self.module_size} need "
                    f"{n_members} features; {name} is {limit}"
                )
        return self


def card_with_sizes(card: Card, params: SimulationParameters, n_features: int) -> Card:
    """Return the card with the sizes of the parameters.

    The second half of its summary, after the comma, is replaced.
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
