"""Simulated RNA counts with known types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.dataset import Card, Dataset
from bench.recipe import RNA

from ._simulate import SimulationParameters, card_of, draw_sparse, dress, populate

if TYPE_CHECKING:
    from anndata import AnnData


class SimRNA(Dataset):
    """Negative-binomial counts of genes.

    The mean of gene g in cell c is depth_c · p_cg, with p_cg proportional to
    base_g · exp(type and batch effect) and base_g gamma with shape 0.6, the default
    of Splatter; the variance is μ + dispersion · μ². ``dropout`` sets counts to zero with a chance
    that falls with the mean, 1 / (1 + μ / dropout): Splatter's logistic function of log μ with
    slope -1 and its midpoint at log(dropout).
    """

    name = "sim_rna"
    card = Card(
        modality=RNA,
        summary="simulated genes, 6 types of 3 % to 30 %",
        label_key="cell_type",
        n_cells=600,
        n_features=1000,
        n_types=6,
        organism="none",
        reference="after Splatter: Zappia, Phipson and Oshlack 2017, Genome Biology 18:174, "
        "doi 10.1186/s13059-017-1305-0",
        licence="MIT",
        labels_from="the simulation",
        tags=("simulated", "offline"),
        verified=True,
    )

    class Params(SimulationParameters):
        """Parameters of the simulation."""

        n_features: int = Field(1000, ge=20, le=100_000, description="genes")
        depth: float = Field(2000.0, gt=0, description="median counts of a cell, before dropout")
        dispersion: float = Field(
            0.3, ge=0, le=10, description="squared biological variation; 0: Poisson"
        )
        dropout: float = Field(
            0.0, ge=0, description="mean count at which half the counts are lost; 0: none"
        )

    params: Params

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.card = card_of(type(self).card, self.params, self.params.n_features)

    def load(self) -> AnnData:
        """Return the counts with ``obs["cell_type"]``."""
        import numpy as np

        p = self.params
        rng = np.random.default_rng(p.seed)
        people = populate(p, p.n_features, rng)
        base = rng.gamma(0.6, 1.0, p.n_features) + 1e-3
        profile = base * np.exp(people.log_effect)
        profile /= profile.sum(axis=1, keepdims=True)
        groups, depth = people.groups(p.n_batches), p.depth * np.exp(people.log_depth)

        def draw(cells: np.ndarray) -> np.ndarray:
            mean = rate = profile[groups[cells]] * depth[cells, None]
            if p.dispersion > 0:
                rate = rng.gamma(1.0 / p.dispersion, mean * p.dispersion)
            counts = rng.poisson(rate)
            if p.dropout > 0:
                counts[rng.random(mean.shape) < 1.0 / (1.0 + mean / p.dropout)] = 0
            return counts

        counts = draw_sparse(p.n_cells, p.n_features, draw)
        features = [f"gene{number + 1}" for number in range(p.n_features)]
        return dress(counts, people, features, p.n_batches)
