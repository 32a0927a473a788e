"""Simulated chromatin accessibility with known types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.contract import ATAC, Card, Dataset

from ._simulation_parameters import SimulationParameters, card_with_sizes

if TYPE_CHECKING:
    from anndata import AnnData


class SimATAC(Dataset):
    """Poisson counts of fragments in peaks, nearly all 0 or 1.

    The rate is depth_c · q_cp. q_cp is proportional to base_p · exp(type and batch effect), base_p
    gamma with shape 0.8: many peaks open in few cells. Modules of peaks share a log-normal factor
    of mean one in each cell.

    The truth is in ``var``, ``varm``, ``obs`` and ``uns["truth"]`` of the loaded data; methods in
    a run do not see it.
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
        labels_from="the simulation: certain; anybody can recompute them from its parameters",
        tags=("simulated", "offline"),
        verified=True,
    )

    class Params(SimulationParameters):
        """Parameters of the simulation."""

        presets = {
            "easy": {"separation": 1.5, "depth": 1000.0},
            "hard": {
                "n_types": 10, "rare": 0.01, "n_rare": 3, "separation": 1.0, "depth": 300.0,
                "n_modules": 5, "n_cells": 1500,
            },
            "batches": {"n_batches": 4, "batch_effect": 0.4, "confounding": 0.3},
        }  # fmt: skip

        n_features: int = Field(3000, ge=20, le=500_000, description="number of peaks")
        depth: float = Field(300.0, gt=0, description="median number of fragments of a cell")

    params: Params

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.card = card_with_sizes(type(self).card, self.params, self.params.n_features)

    def load(self) -> AnnData:
        """Return the fragments in peaks with ``obs["cell_type"]`` and the truth."""
        from ._simulate_features import simulate_peaks

        return simulate_peaks(self.params)
