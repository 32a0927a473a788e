"""Simulated RNA counts with known types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.contract import RNA, Card, Dataset

from ._simulation_parameters import SimulationParameters, card_with_sizes

if TYPE_CHECKING:
    from anndata import AnnData


class SimRNA(Dataset):
    """Negative-binomial counts of genes.

    The mean of gene g in cell c is depth_c · p_cg. p_cg is proportional to base_g · exp(type and
    batch effect), base_g gamma with shape 0.6, as in Splatter. The variance is
    μ + dispersion_g · μ². Dispersions vary among genes as in Splatter (inverse chi-squared).
    ``dropout`` sets counts to zero with the chance 1 / (1 + μ / dropout), Splatter's logistic
    function of log μ with slope -1. Modules of genes share a log-normal factor of mean one in
    each cell.

    The truth is in ``var``, ``varm``, ``obs`` and ``uns["truth"]`` of the loaded data; methods in
    a run do not see it.
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
        labels_from="the simulation: certain; anybody can recompute them from its parameters",
        tags=("simulated", "offline"),
        verified=True,
    )

    class Params(SimulationParameters):
        """Parameters of the simulation."""

        presets = {
            "easy": {"separation": 1.5, "depth": 5000.0, "dispersion": 0.1},
            "hard": {
                "n_types": 10, "rare": 0.01, "n_rare": 3, "separation": 0.7, "depth": 1000.0,
                "dispersion": 0.5, "dropout": 0.3, "n_modules": 5, "n_cells": 1500,
            },
            "batches": {"n_batches": 4, "batch_effect": 0.25, "confounding": 0.3},
        }  # fmt: skip

        separation: float = Field(
            0.8, ge=0, le=10, description="standard deviation of a type's markers' log factors"
        )
        n_features: int = Field(1000, ge=20, le=100_000, description="number of genes")
        depth: float = Field(2000.0, gt=0, description="median counts of a cell, before dropout")
        dispersion: float = Field(
            0.3, ge=0, le=10, description="squared biological variation; 0: Poisson"
        )
        dispersion_df: float = Field(
            60.0, ge=0, description="degrees of freedom of its spread among genes; 0: no spread"
        )
        dropout: float = Field(
            0.0, ge=0, description="mean count at which half the counts are lost; 0: none"
        )

    params: Params

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.card = card_with_sizes(type(self).card, self.params, self.params.n_features)

    def load(self) -> AnnData:
        """Return the counts with ``obs["cell_type"]`` and the truth."""
        from ._simulate_features import simulate_genes

        return simulate_genes(self.params)
