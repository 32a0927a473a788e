"""Links between peaks and genes, and where both lie: distances, shares, sums."""

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

NEAR = (100_000, 1_000_000)
"""Distances from the start of a gene within which links are counted, base pairs."""


@dataclass(frozen=True)
class Sites:
    """Where the genes and peaks of the fit lie, by name."""

    genes: pd.DataFrame
    """``chrom``, ``strand`` and ``tss`` (-1: unknown)."""
    peaks: pd.DataFrame
    """``chrom``, ``start``, ``end``."""

    @classmethod
    def of(cls, data: MuData) -> Sites:
        """Return what ``var`` says; peaks also by their names. Raises ``DataError``."""
        genes, peaks = data["rna"].var.copy(), data["atac"].var
        for name, unknown in (("chrom", ""), ("strand", "."), ("tss", -1)):
            if name not in genes:
                genes[name] = unknown
        if not {"chrom", "start", "end"} <= set(peaks.columns):
            peaks, bad = peak_intervals(peaks.index)
            if bad:
                raise DataError(
                    f"{len(bad)} peaks have no place (first '{bad[0]}'): expected names such as "
                    "chr1:100-200; add places with 'bench data annotate'."
                )
        columns = ["chrom", "strand", "tss"]
        return cls(genes[columns], peaks[["chrom", "start", "end"]])

    @property
    def measured(self) -> bool:
        """True if the start of any gene is known."""
        return bool((self.genes["tss"] >= 0).any())

    @property
    def centre(self) -> np.ndarray:
        """Centre of each peak."""
        centres: np.ndarray = ((self.peaks["start"] + self.peaks["end"]) // 2).to_numpy()
        return centres


def signed_distance(tss: np.ndarray, centre: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """Return base pairs from each start to the peak's centre, NaN where ``tss`` is negative.

    Positive: downstream, in the direction in which the gene is read; with an unknown strand, along
    the chromosome.
    """
    apart = np.where(np.asarray(strand) == "-", -1, 1) * (centre - tss).astype(float)
    return np.where(np.asarray(tss) >= 0, apart, np.nan)


def together(
    genes: sp.csr_matrix, peaks: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return the share of cells in which gene ``rows[i]`` and peak ``columns[i]`` are both there.

    Matrices are cells × features; what counts is that a value is above zero.
    """
    on = sp.csc_matrix(genes > 0, dtype=np.float32)
    opened = sp.csc_matrix(peaks > 0, dtype=np.float32)
    found = np.zeros(len(rows))
    if not len(rows):
        return found
    order = np.argsort(rows, kind="stable")
    names, first = np.unique(rows[order], return_index=True)
    # Gene by gene, and of each only its own peaks: nothing of the size genes × peaks.
    for gene, places in zip(names, np.split(order, first[1:]), strict=True):
        cells = on[:, [gene]].toarray().ravel()
        found[places] = opened[:, columns[places]].T @ cells
    return found / max(1, genes.shape[0])


def near_shares(table: pd.DataFrame, sites: Sites) -> dict[str, float]:
    """Return the share of links with a distance that lie within 100 kb and 1 Mb, and of all pairs.

    ``links``: by number, ``weight``: by weight, ``pairs``: of all genes and peaks on one
    chromosome, linked or not. Empty if no distance is known.
    """
    apart = table["distance"].abs().to_numpy()
    known = ~np.isnan(apart)
    if not known.any():
        return {}
    weight = table["weight"].to_numpy()[known]
    every = _near_pairs(sites)
    shares = {}
    for limit, among in zip(NEAR, every, strict=True):
        near = apart[known] <= limit
        shares[f"links_{limit // 1000}kb"] = float(near.mean())
        shares[f"weight_{limit // 1000}kb"] = float(weight[near].sum() / weight.sum())
        shares[f"pairs_{limit // 1000}kb"] = among
    return shares


def _near_pairs(sites: Sites) -> list[float]:
    """Return the share of the pairs on one chromosome that are near, counted gene by gene."""
    total, near = 0, np.zeros(len(NEAR))
    genes, centre, chrom = sites.genes, sites.centre, sites.peaks["chrom"].to_numpy()
    for name in np.unique(chrom.astype(str)):
        starts = genes["tss"].to_numpy()[(genes["chrom"] == name) & (genes["tss"] >= 0)]
        places = np.sort(centre[chrom == name])
        total += len(starts) * len(places)
        for number, limit in enumerate(NEAR):
            low = np.searchsorted(places, starts - limit, side="left")
            high = np.searchsorted(places, starts + limit, side="right")
            near[number] += (high - low).sum()
    return [float(value / max(1, total)) for value in near]


@dataclass
class Links:
    """The links of a set of cells."""

    table: pd.DataFrame
    """``gene``, ``peak``, ``weight``, ``distance``, ``together``, ``per_cell``."""
    accessibility: np.ndarray
    """Share of these cells in which each peak is open."""
    n_cells: int

    def sums(self, column: str, peaks: pd.Index) -> np.ndarray:
        """Return the sum over genes of a column, of every peak."""
        return self.table.groupby("peak")[column].sum().reindex(peaks, fill_value=0).to_numpy()
