"""What both simulators share: who is of which type and batch, and how deep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import Field

from bench.dataset import Card
from bench.parameters import Parameters

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData


class SimulationParameters(Parameters):
    """Parameters that hold for every modality."""

    n_cells: int = Field(600, ge=20, le=1_000_000, description="cells")
    n_types: int = Field(6, ge=2, le=100, description="cell types")
    rare: float = Field(
        0.03, gt=0, le=0.5, description="share of the rarest type; the others decline evenly"
    )
    n_batches: int = Field(1, ge=1, le=50, description="batches; above 1 obs has a column batch")
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

    shares = type_shares(params.n_types, params.rare)
    sizes = np.maximum(np.floor(shares * params.n_cells).astype(int), 1)
    sizes[0] += params.n_cells - sizes.sum()
    types = rng.permutation(np.repeat(np.arange(params.n_types), sizes))
    batches = rng.integers(params.n_batches, size=params.n_cells)
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
    """Return the card with the sizes that the parameters ask for."""
    return replace(
        card,
        batch_key="batch" if params.n_batches > 1 else None,
        n_cells=params.n_cells,
        n_features=n_features,
        n_types=params.n_types,
    )
