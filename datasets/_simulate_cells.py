"""Simulated cells: types, batches and depths.

Each part of a simulation has a random generator of its own, so that a parameter changes only its
part: batches or modules leave the types as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.seeds import derive_seed

if TYPE_CHECKING:
    from ._simulation_parameters import SimulationParameters


@dataclass(frozen=True)
class Population:
    """Cells before their counts; arrays have shape (n_cells,)."""

    types: np.ndarray
    batches: np.ndarray
    log_depth: np.ndarray
    """Log of depth over its median."""


def random_stream(params: SimulationParameters, purpose: str) -> np.random.Generator:
    """Return the random generator for one part of the simulation."""
    return np.random.default_rng(derive_seed(params.seed, "simulation", purpose))


def draw_population(params: SimulationParameters, part: str = "") -> Population:
    """Draw types, batches and depths; only depths differ between parts of an experiment."""
    sizes = type_sizes(params)
    types = random_stream(params, "types").permutation(np.repeat(np.arange(params.n_types), sizes))
    spread = random_stream(params, f"depth {part}").normal(
        0.0, params.depth_spread, params.n_cells
    )
    return Population(types, _batches(params, types), spread - np.median(spread))


def _batches(params: SimulationParameters, types: np.ndarray) -> np.ndarray:
    """Spread types evenly over the batches, then confound a share of the cells.

    Confounded cells of type t are in batch t modulo ``n_batches``. At a share of 1 no method can
    separate the two effects.
    """
    rng = random_stream(params, "batches")
    n_cells = len(types)
    batches = np.empty(n_cells, dtype=int)
    batches[np.lexsort((rng.random(n_cells), types))] = np.arange(n_cells) % params.n_batches
    confounded = rng.permutation(n_cells)[: round(params.confounding * n_cells)]
    batches[confounded] = types[confounded] % params.n_batches
    return batches


def type_shares(n_types: int, rare: float, n_rare: int = 1) -> np.ndarray:
    """Return the share of each type: ``n_rare`` rare types, the others declining linearly."""
    rare = min(rare, 1.0 / n_types)
    steps = n_types - n_rare + 1
    top = 2.0 * (1.0 - (n_rare - 1) * rare) / steps - rare
    return np.concatenate([np.linspace(top, rare, steps), np.full(n_rare - 1, rare)])


def type_sizes(params: SimulationParameters) -> np.ndarray:
    """Return the number of cells of each type, at least one, ``n_cells`` in all.

    Rare types have their rounded share; the largest type takes the rest.
    """
    exact = type_shares(params.n_types, params.rare, params.n_rare) * params.n_cells
    sizes = np.floor(exact).astype(int)
    sizes[-params.n_rare :] = np.rint(exact[-params.n_rare :])
    sizes = np.maximum(sizes, 1)
    sizes[0] += max(params.n_cells - sizes.sum(), 0)
    while sizes.sum() > params.n_cells:  # many types, hardly more cells than types
        sizes[np.argmax(sizes)] -= 1
    return sizes
