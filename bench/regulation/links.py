"""Positions of genes and peaks; distances, co-detection and shares of links near the TSS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from bench.contract import peak_intervals
from bench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

NEAR_DISTANCES = (100_000, 1_000_000)
"""Distances from a gene's TSS within which links count as near, base pairs."""


@dataclass(frozen=True)
class FeaturePositions:
    """Positions of the fit's genes and peaks, by name."""

    genes: pd.DataFrame
    """``chrom``, ``strand`` and ``tss`` (-1: unknown)."""
    peaks: pd.DataFrame
    """``chrom``, ``start``, ``end``."""

    @classmethod
    def of(cls, data: MuData) -> FeaturePositions:
        """Read the positions from ``var``, or from the names of the peaks."""
        genes, peaks = data["rna"].var.copy(), data["atac"].var
        for name, unknown in (("chrom", ""), ("strand", "."), ("tss", -1)):
            if name not in genes:
                genes[name] = unknown
        if not {"chrom", "start", "end"} <= set(peaks.columns):
            peaks, unparsed = peak_intervals(peaks.index)
            if unparsed:
                raise DataError(
                    f"{len(unparsed)} peaks have no position (first '{unparsed[0]}'): expected "
                    "names such as chr1:100-200; add positions with 'bench data annotate'.",
                    code="missing_positions",
                )
        return cls(genes[["chrom", "strand", "tss"]], peaks[["chrom", "start", "end"]])

    @property
    def has_tss(self) -> bool:
        """True if the TSS of any gene is known."""
        return bool((self.genes["tss"] >= 0).any())

    @property
    def peak_centres(self) -> np.ndarray:
        """Centre of each peak, base pairs."""
        centres: np.ndarray = ((self.peaks["start"] + self.peaks["end"]) // 2).to_numpy()
        return centres


@dataclass
class LinkTable:
    """The links of a set of cells."""

    table: pd.DataFrame
    """Columns ``gene``, ``peak``, ``weight``, ``distance``, ``together``, ``per_cell``."""
    accessibility: np.ndarray
    """Share of these cells in which each peak is open."""
    n_cells: int

    def sum_by_peak(self, column: str, peaks: pd.Index) -> np.ndarray:
        """Return the sum of a column over the genes of each peak."""
        return self.table.groupby("peak")[column].sum().reindex(peaks, fill_value=0).to_numpy()


def signed_distance(tss: np.ndarray, centre: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """Return base pairs from each TSS to the peak's centre, NaN where ``tss`` is negative.

    Positive means downstream, in the direction of transcription; for an unknown strand, in the
    direction of the chromosome's coordinates.
    """
    distance = np.where(np.asarray(strand) == "-", -1, 1) * (centre - tss).astype(float)
    return np.where(np.asarray(tss) >= 0, distance, np.nan)


def codetection_rate(
    genes: sp.csr_matrix, peaks: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return the share of cells with gene ``rows[i]`` and peak ``columns[i]`` both nonzero.

    Both matrices are cells × features.
    """
    detected = sp.csc_matrix(genes > 0, dtype=np.float32)
    opened = sp.csc_matrix(peaks > 0, dtype=np.float32)
    rate = np.zeros(len(rows))
    if not len(rows):
        return rate
    order = np.argsort(rows, kind="stable")
    names, first = np.unique(rows[order], return_index=True)
    # Gene by gene, and only the peaks of that gene: no array of the size genes × peaks.
    for gene, pairs in zip(names, np.split(order, first[1:]), strict=True):
        cells = detected[:, [gene]].toarray().ravel()
        rate[pairs] = opened[:, columns[pairs]].T @ cells
    return rate / max(1, genes.shape[0])


def near_tss_shares(table: pd.DataFrame, positions: FeaturePositions) -> dict[str, float]:
    """Return the shares of links and of all pairs within 100 kb and 1 Mb of the gene's TSS.

    Keys such as ``links_100kb``: ``links`` by number, ``weight`` by weight, ``pairs`` of all genes
    and peaks on the same chromosome, linked or not. Links without a distance do not count; the
    result is empty if no link has one.
    """
    distance = table["distance"].abs().to_numpy()
    measured = ~np.isnan(distance)
    if not measured.any():
        return {}
    weight = table["weight"].to_numpy()[measured]
    shares = {}
    for limit, of_pairs in zip(NEAR_DISTANCES, _near_pair_shares(positions), strict=True):
        near = distance[measured] <= limit
        shares[f"links_{limit // 1000}kb"] = float(near.mean())
        shares[f"weight_{limit // 1000}kb"] = float(weight[near].sum() / weight.sum())
        shares[f"pairs_{limit // 1000}kb"] = of_pairs
    return shares


def _near_pair_shares(positions: FeaturePositions) -> list[float]:
    """Return the share of pairs on the same chromosome within each of ``NEAR_DISTANCES``."""
    total, near = 0, np.zeros(len(NEAR_DISTANCES))
    genes, chrom = positions.genes, positions.peaks["chrom"].to_numpy()
    for name in np.unique(chrom.astype(str)):
        tss = genes["tss"].to_numpy()[(genes["chrom"] == name) & (genes["tss"] >= 0)]
        centres = np.sort(positions.peak_centres[chrom == name])
        total += len(tss) * len(centres)
        for number, limit in enumerate(NEAR_DISTANCES):
            low = np.searchsorted(centres, tss - limit, side="left")
            high = np.searchsorted(centres, tss + limit, side="right")
            near[number] += (high - low).sum()
    return [float(value / max(1, total)) for value in near]
