"""Simulated chromatin accessibility with known types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.dataset import Card, Dataset
from bench.recipe import ATAC

from ._simulate import SimulationParameters, card_of, draw_sparse, dress, populate

if TYPE_CHECKING:
    from anndata import AnnData


class SimATAC(Dataset):
    """Poisson counts of fragments in peaks, nearly all 0 or 1.

    The rate of peak p in cell c is depth_c · q_cp, with q_cp proportional to
    base_p · exp(type and batch effect) and base_p gamma with shape 0.8: many peaks open in few
    cells.
    """

    name = "sim_atac"
    card = Card(
        modality=ATAC,
        summary="simulated peaks, 6 types of 3 % to 30 %",
        label_key="cell_type",
        n_cells=600,
        n_features=3000,
        n_types=6,
        organism="none",
        reference="after simATAC: Navidi, Zhang and Wang 2021, Genome Biology 22:74, "
        "doi 10.1186/s13059-021-02270-w",
        licence="MIT",
        labels_from="the simulation",
        tags=("simulated", "offline"),
        verified=True,
    )

    class Params(SimulationParameters):
        """Parameters of the simulation."""

        n_features: int = Field(3000, ge=20, le=500_000, description="peaks")
        depth: float = Field(300.0, gt=0, description="median number of fragments of a cell")

    params: Params

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.card = card_of(type(self).card, self.params, self.params.n_features)

    def load(self) -> AnnData:
        """Return the fragments in peaks with ``obs["cell_type"]``."""
        import numpy as np

        p = self.params
        rng = np.random.default_rng(p.seed)
        people = populate(p, p.n_features, rng)
        base = rng.gamma(0.8, 1.0, p.n_features) + 1e-2
        profile = base * np.exp(people.log_effect)
        profile /= profile.sum(axis=1, keepdims=True)
        groups, depth = people.groups(p.n_batches), p.depth * np.exp(people.log_depth)

        def draw(cells: np.ndarray) -> np.ndarray:
            return rng.poisson(profile[groups[cells]] * depth[cells, None])

        counts = draw_sparse(p.n_cells, p.n_features, draw)
        starts = np.cumsum(rng.integers(600, 5000, p.n_features))
        features = [f"chr1:{start}-{start + 500}" for start in starts]
        return dress(counts, people, features, p.n_batches)
