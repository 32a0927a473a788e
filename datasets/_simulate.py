"""What both simulators share: who is of which type and batch, and how deep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from bench.dataset import Card
from bench.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

_BLOCK = 10_000_000
"""Entries drawn at once: 80 MB of float64, more would only cost memory."""


class SimulationParameters(Parameters):
    """Parameters that hold for every modality."""

    n_cells: int = Field(600, ge=20, le=1_000_000, description="cells")
    n_types: int = Field(6, ge=2, le=100, description="cell types")
    rare: float = Field(
        0.03, gt=0, le=0.5, description="share of the rarest type; the others decline evenly"
    )
    n_batches: int = Field(
        1, ge=1, le=50, description="batches; 1: no column batch and no batch effect"
    )
    batch_effect: float = Field(
        0.3, ge=0, le=5, description="standard deviation of a feature's log factor in a batch"
    )
    separation: float = Field(
        1.0, ge=0, le=10, description="standard deviation of the log factor of a type's markers"
    )
    markers: float = Field(0.1, gt=0, le=1, description="share of features that mark a type")
    depth_spread: float = Field(
        0.4, ge=0, le=3, description="standard deviation of the log depth of cells"
    )
    seed: int = Field(0, ge=0, description="everything random follows from it")

    @model_validator(mode="after")
    def _everyone_has_a_cell(self) -> Self:
        for name in ("n_types", "n_batches"):
            if getattr(self, name) > self.n_cells:
                raise ValueError(
                    f"{name}={getattr(self, name)} needs at least as many cells; n_cells is "
                    f"{self.n_cells}"
                )
        return self


@dataclass(frozen=True)
class Population:
    """Cells before their counts."""

    types: np.ndarray
    """Type number of each cell, shape (n_cells,)."""
    batches: np.ndarray
    """Batch number of each cell, shape (n_cells,)."""
    log_depth: np.ndarray
    """Log of depth over its median, shape (n_cells,)."""
    log_effect: np.ndarray
    """Log factor of each feature in each cell's type and batch, (n_types · n_batches, features);
    row type · n_batches + batch."""

    def groups(self, n_batches: int) -> np.ndarray:
        """Return the row of ``log_effect`` of each cell."""
        return self.types * n_batches + self.batches


def populate(
    params: SimulationParameters, n_features: int, rng: np.random.Generator
) -> Population:
    """Draw types (in mixed order), batches, depths and the effect of both on each feature.

    Every type has a share of marker features whose log factor is normal; batches shift all
    features. Source of the scheme: Splatter (Zappia et al. 2017), with normal log factors.
    """
    import numpy as np

    sizes = type_sizes(params.n_cells, type_shares(params.n_types, params.rare))
    types = rng.permutation(np.repeat(np.arange(params.n_types), sizes))
    batches = np.zeros(params.n_cells, dtype=int)
    if params.n_batches > 1:
        batches = rng.permutation(np.arange(params.n_cells) % params.n_batches)
    log_depth = rng.normal(0.0, params.depth_spread, params.n_cells)
    marks = rng.random((params.n_types, n_features)) < params.markers
    by_type = marks * rng.normal(0.0, 1.0, marks.shape) * params.separation
    by_batch = rng.normal(0.0, 1.0, (params.n_batches, n_features)) * params.batch_effect
    if params.n_batches == 1:
        by_batch[:] = 0.0
    effect = by_type[:, None, :] + by_batch[None, :, :]
    return Population(types, batches, log_depth - np.median(log_depth),
                      effect.reshape(-1, n_features))  # fmt: skip


def type_shares(n_types: int, rare: float) -> np.ndarray:
    """Return the share of each type, declining evenly to ``rare`` (at most an equal share)."""
    import numpy as np

    rare = min(rare, 1.0 / n_types)
    return np.linspace(2.0 / n_types - rare, rare, n_types)


def type_sizes(n_cells: int, shares: np.ndarray) -> np.ndarray:
    """Return the number of cells of each type: at least one, ``n_cells`` in all.

    ``shares`` (n_types,) sum to one and decline; rounding goes to the first, largest types.
    """
    import numpy as np

    sizes = np.maximum(np.floor(shares * n_cells).astype(int), 1)
    sizes[0] += max(n_cells - sizes.sum(), 0)
    while sizes.sum() > n_cells:  # many types, hardly more cells than types
        sizes[np.argmax(sizes)] -= 1
    return sizes


def draw_sparse(
    n_cells: int, n_features: int, draw: Callable[[np.ndarray], np.ndarray]
) -> sp.csr_matrix:
    """Return counts (CSR float32, cells × features) drawn in blocks of cells.

    ``draw`` gets the numbers of some cells and returns their dense counts; the dense matrix of a
    large simulation would not fit into memory.
    """
    import numpy as np
    import scipy.sparse as sp

    rows = max(1, _BLOCK // n_features)
    parts = np.array_split(np.arange(n_cells), -(-n_cells // rows))
    blocks = [sp.csr_matrix(draw(part).astype(np.float32)) for part in parts]
    return sp.vstack(blocks, format="csr")


def dress(
    counts: sp.csr_matrix, people: Population, features: list[str], n_batches: int
) -> AnnData:
    """Return the counts (cells × features) with types and, if there are several, batches."""
    from anndata import AnnData

    adata = AnnData(counts)
    adata.obs_names = [f"cell{number}" for number in range(counts.shape[0])]
    adata.var_names = features
    adata.obs["cell_type"] = [f"type{number + 1}" for number in people.types]
    if n_batches > 1:
        adata.obs["batch"] = [f"batch{number + 1}" for number in people.batches]
    return adata


def card_of(card: Card, params: SimulationParameters, n_features: int) -> Card:
    """Return the card with the sizes that the parameters ask for.

    The summary of ``card`` is ``"<what>, <types of the default>"``; its second half is replaced.
    """
    rare = min(params.rare, 1.0 / params.n_types)
    common = 2.0 / params.n_types - rare
    types = f"{params.n_types} types of {100 * rare:.2g} % to {100 * common:.2g} %"
    return replace(
        card,
        summary=f"{card.summary.split(',')[0]}, {types}",
        batch_key="batch" if params.n_batches > 1 else None,
        n_cells=params.n_cells,
        n_features=n_features,
        n_types=params.n_types,
    )
