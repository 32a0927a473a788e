"""Simulated RNA and chromatin of the same cells, with known links from peaks to genes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import ATAC, MULTIOME, RNA, Card, Dataset

from ._simulation_parameters import SimulationParameters, card_with_sizes

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


class SimMultiome(Dataset):
    """Genes and peaks of the same cells, together or one part (``part=rna``, ``part=atac``).

    Both parts of a seed have the same cells, types, batches and module activities. Depths, batch
    effects and counts are drawn for each part, as in ``sim_rna`` and ``sim_atac``.

    A share of the genes is linked to ``min_links`` to ``max_links`` peaks, all within
    ``link_distance`` of the gene's start. The log expression of a linked gene follows the mean
    log accessibility of its peaks times ``link_effect``, in type effects and in each cell's
    deviations (``link_spread``). Most peaks near a gene are not linked, so distance alone does
    not give the links. ``uns["truth"]["links"]`` has gene, peak, distance and effect; methods in
    a run do not see the truth. Paired methods see the positions of genes and peaks, a strand
    without effect and, with ``sequence``, the DNA of each peak: random, but with a motif of the
    type that a linked peak marks most (``uns["truth"]["motifs"]``).
    """

    name = "sim_multiome"
    card = Card(
        modality=MULTIOME,
        summary="simulated genes and peaks of the same cells, 6 types of 3 % to 30 %",
        label_key="cell_type",
        n_cells=600,
        n_features=4000,
        n_types=6,
        organism="none",
        reference="counts after Splatter (Zappia, Phipson and Oshlack 2017, Genome Biology "
        "18:174, doi 10.1186/s13059-017-1305-0) and simATAC (Navidi, Zhang and Wang 2021, Genome "
        "Biology 22:74, doi 10.1186/s13059-021-02270-w); links: our own scheme",
        licence="MIT",
        labels_from="the simulation: certain; anybody can recompute them from its parameters",
        tags=("simulated", "offline", "paired"),
        verified=True,
    )

    class Params(SimulationParameters):
        """Parameters of the simulation."""

        presets = {
            "easy": {"separation": 1.5, "rna_depth": 5000.0, "atac_depth": 3000.0},
            "hard": {"separation": 0.7, "rna_depth": 1000.0, "atac_depth": 300.0, "n_types": 10,
                     "rare": 0.01, "n_rare": 3, "n_cells": 1500},
            # Two links of every gene; 3 % of the matrix of peaks is not zero.
            "links": {"n_cells": 500, "n_genes": 300, "n_peaks": 3000, "linked": 1.0,
                      "min_links": 2, "max_links": 2, "atac_depth": 90.0, "link_spread": 1.0},
        }  # fmt: skip

        part: Literal["both", "rna", "atac"] = Field(
            "both", description="genes and peaks (both), only genes (rna) or only peaks (atac)"
        )
        n_genes: int = Field(1000, ge=20, le=100_000, description="number of genes")
        n_peaks: int = Field(
            3000, ge=20, le=500_000, description="number of peaks, at most 10 times that of genes"
        )
        rna_depth: float = Field(2000.0, gt=0, description="median counts of a cell in genes")
        atac_depth: float = Field(1000.0, gt=0, description="median fragments of a cell in peaks")
        dispersion: float = Field(
            0.3, ge=0, le=10, description="squared biological variation of genes; 0: Poisson"
        )
        dispersion_df: float = Field(
            60.0, ge=0, description="degrees of freedom of its spread among genes; 0: no spread"
        )
        linked: float = Field(0.5, gt=0, le=1, description="share of genes with linked peaks")
        min_links: int = Field(1, ge=1, le=20, description="fewest peaks linked to one gene")
        max_links: int = Field(3, ge=1, le=20, description="most peaks linked to one gene")
        link_distance: int = Field(
            100_000, ge=20_000, description="largest distance of a linked peak, base pairs"
        )
        link_effect: float = Field(
            1.0, ge=0, le=5, description="log expression per mean log accessibility"
        )
        link_spread: float = Field(
            0.5,
            ge=0,
            le=3,
            description="standard deviation of linked peaks' log accessibility in a type",
        )
        sequence: bool = Field(
            default=False, description="give each peak 256 bases of DNA (part=both)"
        )

        @property
        def n_linked(self) -> int:
            """Number of genes that have linked peaks."""
            return max(1, round(self.linked * self.n_genes))

        def module_feature_limits(self) -> dict[str, int]:
            """Return the numbers of genes and peaks without links."""
            if self.n_peaks > 10 * self.n_genes:
                raise ValueError(
                    f"n_peaks={self.n_peaks} do not fit around n_genes={self.n_genes}; at most 10 "
                    "times as many"
                )
            if self.min_links > self.max_links:
                raise ValueError(f"min_links={self.min_links} is above max_links={self.max_links}")
            return {
                "n_genes without links": self.n_genes - self.n_linked,
                "n_peaks without links": max(0, self.n_peaks - self.max_links * self.n_linked),
            }

    params: Params

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        p = self.params
        card, n_features = type(self).card, p.n_genes + p.n_peaks
        if p.part == "rna":
            summary = card.summary.replace("genes and peaks", "genes")
            card, n_features = replace(card, modality=RNA, summary=summary), p.n_genes
        elif p.part == "atac":
            summary = card.summary.replace("genes and peaks", "peaks")
            card, n_features = replace(card, modality=ATAC, summary=summary), p.n_peaks
        self.card = card_with_sizes(card, p, n_features)

    def load(self) -> AnnData | MuData:
        """Return the counts of the part, or both, with ``obs["cell_type"]`` and the truth."""
        from ._simulate_multiome import simulate_multiome

        return simulate_multiome(self.params)
