"""Genes and peaks: where they lie, which pairs are candidates, what a cell has of them.

One graph is one cell: its nodes are the genes and peaks that are not zero in it. Nothing is
written per cell; a graph is read off two sparse matrices and the static positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_HINT = "add it with `bench data annotate`"


@dataclass(frozen=True)
class Sites:
    """Positions of genes and peaks; a code of -1: unknown chromosome, pairs with nothing."""

    names: tuple[str, ...]
    """Chromosomes, in the order of their codes."""
    gene_chrom: np.ndarray
    peak_chrom: np.ndarray
    tss: np.ndarray | None
    """Start of each gene, base pairs, -1 where unknown; ``None`` if the data have none."""
    centre: np.ndarray | None
    """Centre of each peak, base pairs."""

    @property
    def measured(self) -> bool:
        """True if distances are known."""
        return self.tss is not None and self.centre is not None

    def short(self, top_k: int) -> list[str]:
        """Return the chromosomes with genes but fewer than ``top_k`` peaks, each with its number.

        Genes there attend to fewer peaks.
        """
        peaks = np.bincount(self.peak_chrom[self.peak_chrom >= 0], minlength=len(self.names))
        genes = np.bincount(self.gene_chrom[self.gene_chrom >= 0], minlength=len(self.names))
        return [
            f"{name}: {n}" for name, n, g in zip(self.names, peaks, genes, strict=True)
            if g and n < top_k
        ]  # fmt: skip


def sites_of(data: MuData) -> Sites:
    """Return the positions in ``var`` of both modalities.

    Raises ``DataError`` if there are no chromosomes, or none that both modalities share.
    """
    chrom = []
    for part in ("rna", "atac"):
        var = data[part].var
        if "chrom" not in var:
            raise DataError(
                f"sccrossrec: {part}.var has no column 'chrom', without which no gene can be "
                f"paired with a peak; {_HINT}."
            )
        chrom.append(var["chrom"].astype(str).to_numpy())
    names = tuple(sorted((set(chrom[0]) | set(chrom[1])) - {""}))
    code = {name: number for number, name in enumerate(names)}
    genes, peaks = (np.array([code.get(c, -1) for c in one], dtype=np.int64) for one in chrom)
    if not np.intersect1d(genes[genes >= 0], peaks[peaks >= 0]).size:
        raise DataError(
            "sccrossrec: no chromosome has both genes and peaks (genes: "
            f"{_some(chrom[0])}; peaks: {_some(chrom[1])}); check the annotation of 'chrom'."
        )
    rna, atac = data["rna"].var, data["atac"].var
    tss = rna["tss"].to_numpy(dtype=np.int64) if "tss" in rna else None
    centre = None
    if "start" in atac and "end" in atac:
        centre = (atac["start"].to_numpy(np.int64) + atac["end"].to_numpy(np.int64)) // 2
    if tss is not None and not np.any(tss >= 0):
        tss = None
    return Sites(names, genes, peaks, tss, centre)


def _some(names: np.ndarray) -> str:
    found = sorted(set(names.tolist()) - {""})
    return (", ".join(found[:3]) + (", …" if len(found) > 3 else "")) or "none"


@dataclass(frozen=True)
class Candidates:
    """Pairs that can attend, gene by gene (CSR), and the distance of each."""

    start: np.ndarray
    """Where the pairs of each gene start in ``peak``, (genes + 1,)."""
    peak: np.ndarray
    distance: np.ndarray | None
    """Base pairs between the peak's centre and the gene's start; ``None`` if not known."""

    @property
    def gene(self) -> np.ndarray:
        """Gene of each pair."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def __len__(self) -> int:
        return len(self.peak)

    def matrix(self, values: np.ndarray, n_peaks: int) -> sp.csr_matrix:
        """Return one value a pair as a sparse matrix, genes × peaks."""
        shape = (len(self.start) - 1, n_peaks)
        return sp.csr_matrix((values, self.peak, self.start), shape=shape)


def candidates(sites: Sites, distance: int | None) -> Candidates:
    """Return the pairs on one chromosome and, if positions are known, within ``distance``.

    ``distance`` in base pairs, ``None``: any. A gene with chromosome but without start pairs with
    the whole chromosome only if no gene has a start, else with nothing.
    """
    near = distance is not None and sites.measured
    on = {c: np.flatnonzero(sites.peak_chrom == c) for c in np.unique(sites.peak_chrom) if c >= 0}
    if sites.centre is not None:
        on = {c: peaks[np.argsort(sites.centre[peaks], kind="stable")] for c, peaks in on.items()}
    chosen: list[np.ndarray] = []
    none = np.empty(0, dtype=np.int64)
    for gene, c in enumerate(sites.gene_chrom):
        peaks = on.get(c, none)
        if near:
            assert sites.tss is not None
            assert sites.centre is not None
            assert distance is not None
            start = sites.tss[gene]
            low, high = np.searchsorted(sites.centre[peaks], [start - distance, start + distance])
            while high < len(peaks) and sites.centre[peaks[high]] == start + distance:
                high += 1
            peaks = peaks[low:high] if start >= 0 else none
        chosen.append(np.sort(peaks))
    starts = np.concatenate([[0], np.cumsum([len(one) for one in chosen])]).astype(np.int64)
    peak = np.concatenate(chosen).astype(np.int64) if chosen else none
    apart = None
    if sites.measured:
        assert sites.tss is not None
        assert sites.centre is not None
        of = np.repeat(np.arange(len(chosen)), np.diff(starts))
        apart = np.where(sites.tss[of] >= 0, np.abs(sites.centre[peak] - sites.tss[of]), -1)
    return Candidates(starts, peak, apart)


def check_cells(data: MuData) -> str:
    """Return one line about cells without any gene or any peak; empty if there are none."""
    said = []
    for part, noun in (("rna", "genes"), ("atac", "peaks")):
        empty = np.flatnonzero(_detected(data[part]) == 0)
        if len(empty):
            first = data[part].obs_names[empty[0]]
            said.append(f"{len(empty)} of {data.n_obs} cells have no {noun} (first: {first})")
    return "; ".join(said) + ": their pools are zero" if said else ""


def _detected(part: AnnData) -> np.ndarray:
    return np.diff(csr(part.layers["counts"]).indptr)


def csr(matrix: sp.csr_matrix | np.ndarray) -> sp.csr_matrix:
    """Return a matrix as CSR without stored zeros; the given one is not changed."""
    sparse = sp.csr_matrix(matrix, dtype=np.float32)
    if sparse.nnz and not sparse.data.all():
        sparse = sparse.copy()
        sparse.eliminate_zeros()
    return sparse
