"""Positions of genes and peaks, and candidate pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import quote_names

if TYPE_CHECKING:
    from mudata import MuData


@dataclass(frozen=True)
class GenomeSites:
    """Positions of genes and peaks; chromosome -1 is unknown and pairs with nothing."""

    names: tuple[str, ...]
    """Chromosomes by code."""
    gene_chrom: np.ndarray
    peak_chrom: np.ndarray
    tss: np.ndarray | None
    """TSS of each gene in base pairs, -1 if unknown."""
    centre: np.ndarray | None
    """Centre of each peak in base pairs."""

    def chromosomes_with_few_peaks(self, top_k: int) -> list[str]:
        """Return ``NAME: peaks`` of chromosomes with genes and fewer than ``top_k`` peaks."""
        peaks = np.bincount(self.peak_chrom[self.peak_chrom >= 0], minlength=len(self.names))
        genes = np.bincount(self.gene_chrom[self.gene_chrom >= 0], minlength=len(self.names))
        return [
            f"{name}: {n}" for name, n, g in zip(self.names, peaks, genes, strict=True)
            if g and n < top_k
        ]  # fmt: skip

    def positions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return TSS and peak centres if both are known."""
        return None if self.tss is None or self.centre is None else (self.tss, self.centre)


def read_genome_sites(data: MuData) -> GenomeSites:
    """Read the positions in ``var`` of both modalities.

    Raises ``DataError`` without chromosomes, or if none is shared.
    """
    chrom = []
    for part in ("rna", "atac"):
        var = data[part].var
        if "chrom" not in var:
            raise DataError(
                f"sccrossrec: {part}.var has no column 'chrom', without which no gene can be "
                "paired with a peak; add it with `bench data annotate`.",
                code="missing_column",
            )
        chrom.append(var["chrom"].astype(str).to_numpy())
    names = tuple(sorted((set(chrom[0]) | set(chrom[1])) - {""}))
    code = {name: number for number, name in enumerate(names)}
    genes, peaks = (np.array([code.get(c, -1) for c in one], dtype=np.int64) for one in chrom)
    if not np.intersect1d(genes[genes >= 0], peaks[peaks >= 0]).size:
        shown = (quote_names(sorted(set(one) - {""})) or "none" for one in chrom)
        raise DataError(
            "sccrossrec: no chromosome has both genes and peaks (genes: {}; peaks: {}); check the "
            "annotation of 'chrom'.".format(*shown),
            code="no_shared_chromosome",
        )
    rna, atac = data["rna"].var, data["atac"].var
    tss = rna["tss"].to_numpy(dtype=np.int64) if "tss" in rna else None
    centre = None
    if "start" in atac and "end" in atac:
        centre = (atac["start"].to_numpy(np.int64) + atac["end"].to_numpy(np.int64)) // 2
    if tss is not None and not np.any(tss >= 0):
        tss = None
    return GenomeSites(names, genes, peaks, tss, centre)


@dataclass(frozen=True)
class CandidatePairs:
    """Pairs that may be linked, gene by gene (CSR)."""

    start: np.ndarray
    """Offset of each gene's pairs in ``peak``, (genes + 1,)."""
    peak: np.ndarray
    distance: np.ndarray | None
    """Base pairs between peak centre and TSS, -1 without TSS."""

    @property
    def gene(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def __len__(self) -> int:
        return len(self.peak)

    def to_matrix(self, values: np.ndarray, n_peaks: int) -> sp.csr_matrix:
        """Return a value of each pair as a sparse matrix, genes × peaks."""
        shape = (len(self.start) - 1, n_peaks)
        return sp.csr_matrix((values, self.peak, self.start), shape=shape)


def candidate_pairs(sites: GenomeSites, max_distance: int | None) -> CandidatePairs:
    """Return the pairs on one chromosome and, if positions are known, within ``max_distance``.

    ``None``: any distance. If no gene has a TSS, genes pair with all peaks of their chromosome;
    else a gene without TSS pairs with nothing.
    """
    positions = sites.positions()
    on = {c: np.flatnonzero(sites.peak_chrom == c) for c in np.unique(sites.peak_chrom) if c >= 0}
    none = np.empty(0, dtype=np.int64)
    pairs: list[np.ndarray] = []
    for gene, c in enumerate(sites.gene_chrom):
        peaks = on.get(c, none)
        if max_distance is not None and positions is not None:
            tss, centre = positions[0][gene], positions[1][peaks]
            peaks = peaks[np.abs(centre - tss) <= max_distance] if tss >= 0 else none
        pairs.append(peaks)
    start = np.concatenate([[0], np.cumsum([len(one) for one in pairs])]).astype(np.int64)
    peak = np.concatenate(pairs).astype(np.int64) if pairs else none
    distance = None
    if positions is not None:
        tss = np.repeat(positions[0], np.diff(start))
        distance = np.where(tss >= 0, np.abs(positions[1][peak] - tss), -1)
    return CandidatePairs(start, peak, distance)


def note_empty_cells(data: MuData) -> str:
    """Return a note on cells without genes or peaks, or an empty text."""
    notes = []
    for part, noun in (("rna", "genes"), ("atac", "peaks")):
        detected = np.diff(to_csr(data[part].layers["counts"]).indptr)
        empty = np.flatnonzero(detected == 0)
        if len(empty):
            first = data[part].obs_names[empty[0]]
            notes.append(f"{len(empty)} of {data.n_obs} cells have no {noun} (first: {first})")
    return "; ".join(notes) + ": their pools are zero" if notes else ""


def to_csr(matrix: sp.csr_matrix | np.ndarray) -> sp.csr_matrix:
    """Return a matrix as float32 CSR without stored zeros."""
    sparse = sp.csr_matrix(matrix, dtype=np.float32)
    if sparse.nnz and not sparse.data.all():
        sparse = sparse.copy()
        sparse.eliminate_zeros()
    return sparse
