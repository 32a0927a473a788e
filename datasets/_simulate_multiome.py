"""Simulated genes and peaks of the same cells, with links."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.contract import pair_data

from ._simulate_cells import draw_population, random_stream
from ._simulate_features import (
    Effects,
    draw_effects,
    draw_modules,
    draw_sparse,
    expected_counts,
    gene_dispersions,
    labelled_anndata,
    negative_binomial,
    record_truth,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from .sim_multiome import SimMultiome

_CHROMOSOMES = 5
_GAP = (10_000, 70_000)
"""Base pairs between neighbouring genes."""
_SLOT, _WIDTH = 1000, 500
"""Peaks of 500 base pairs on a grid of 1,000, so that they cannot overlap."""
_WINDOW, _MOTIF = 256, 12
"""Bases of a peak's DNA, and of a type's motif."""


def simulate_multiome(params: SimMultiome.Params) -> AnnData | MuData:
    """Return the counts of one part or both, with the truth."""
    experiment = _Experiment(params)
    if params.part == "both":
        return experiment.pair()
    return experiment.peaks() if params.part == "atac" else experiment.genes()


@dataclass(frozen=True)
class _Experiment:
    """Positions, links and effects of both parts."""

    params: SimMultiome.Params

    @cached_property
    def positions(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Genes (chromosome, start) and peaks (…, start, end), in genomic order."""
        return _place_features(self.params)

    @cached_property
    def links(self) -> pd.DataFrame:
        """``gene``, ``peak``, ``distance`` in base pairs and ``effect`` of each link."""
        return _draw_links(self.params, *self.positions)

    @cached_property
    def peak_effects(self) -> Effects:
        return draw_effects(self.params, self.params.n_peaks, "peaks")

    @cached_property
    def weights(self) -> sp.csr_matrix:
        """Effect of each linked peak's log accessibility on genes, (linked peaks, genes)."""
        rows = self.linked_peaks.searchsorted(self.links["peak"])
        shape = (len(self.linked_peaks), self.params.n_genes)
        return sp.csr_matrix((self.links["effect"], (rows, self.links["gene"])), shape=shape)

    @cached_property
    def linked_peaks(self) -> np.ndarray:
        """Sorted numbers of the linked peaks."""
        return np.unique(self.links["peak"])

    def _link_deviations(self) -> np.random.Generator:
        """Return the generator of the deviations of linked peaks, shared by both parts."""
        return random_stream(self.params, "link activity")

    def peaks(self) -> AnnData:
        p, linked = self.params, self.linked_peaks
        population = draw_population(p, "peaks")
        base = random_stream(p, "base of peaks").gamma(0.8, 1.0, p.n_peaks) + 1e-2
        eligible = np.setdiff1d(np.arange(p.n_peaks), linked)
        modules = draw_modules(p, p.n_peaks, population.types, "peaks", eligible)
        mean = expected_counts(base, self.peak_effects, population, modules, p.atac_depth)
        rng, deviations = random_stream(p, "counts in peaks"), self._link_deviations()

        def draw(cells: np.ndarray) -> np.ndarray:
            expected = mean(cells)
            log_factor = p.link_spread * deviations.standard_normal((len(cells), len(linked)))
            expected[:, linked] *= np.exp(log_factor - p.link_spread**2 / 2)
            return rng.poisson(expected)

        counts = draw_sparse(p.n_cells, p.n_peaks, draw)
        table = self.positions[1]
        adata = labelled_anndata(counts, p, population, list(table.index), p.atac_depth)
        record_truth(adata, base, self.peak_effects, modules)
        return self._add_links(adata, table, linked)

    def genes(self) -> AnnData:
        p, weights = self.params, self.weights
        population = draw_population(p, "genes")
        base = random_stream(p, "base of genes").gamma(0.6, 1.0, p.n_genes) + 1e-3
        effects = draw_effects(p, p.n_genes, "genes")
        linked = np.unique(self.links["gene"])
        through_peaks = self.peak_effects.by_type[:, self.linked_peaks] @ weights
        effects.by_type[:, linked] = through_peaks[:, linked]
        eligible = np.setdiff1d(np.arange(p.n_genes), linked)
        modules = draw_modules(p, p.n_genes, population.types, "genes", eligible)
        dispersion = gene_dispersions(p, p.n_genes, p.dispersion, p.dispersion_df)
        mean = expected_counts(base, effects, population, modules, p.rna_depth)
        half_variance = p.link_spread**2 / 2 * weights.power(2).sum(axis=0).A1[linked]
        rng, deviations = random_stream(p, "counts of genes"), self._link_deviations()

        def draw(cells: np.ndarray) -> np.ndarray:
            expected = mean(cells)
            size = (len(cells), len(self.linked_peaks))
            log_factor = p.link_spread * (deviations.standard_normal(size) @ weights[:, linked])
            expected[:, linked] *= np.exp(log_factor - half_variance)
            return negative_binomial(rng, expected, dispersion)

        counts = draw_sparse(p.n_cells, p.n_genes, draw)
        table = self.positions[0]
        adata = labelled_anndata(counts, p, population, list(table.index), p.rna_depth)
        record_truth(adata, base, effects, modules)
        adata.var["dispersion"] = dispersion
        return self._add_links(adata, table, linked)

    def pair(self) -> MuData:
        """Return both parts with positions."""
        p, genes, peaks = self.params, self.genes(), self.peaks()
        for part in (genes, peaks):
            part.var["chrom"] = part.var["chromosome"]
        genes.var["tss"] = genes.var["start"]
        genes.var["strand"] = np.where(
            random_stream(p, "strands").random(p.n_genes) < 0.5, "+", "-"
        )
        truth = {"links": genes.uns["truth"]["links"]}
        if p.sequence:
            peaks.var["sequence"], truth["motifs"] = self._sequences()
        data = pair_data(genes, peaks)
        data.uns["truth"] = truth
        return data

    def _sequences(self) -> tuple[list[str], dict[str, str]]:
        """Return the DNA of each peak, and the motif of each type.

        A linked peak holds the motif of the type with the largest effect on it.
        """
        p, effects = self.params, np.abs(self.peak_effects.by_type)
        rng = random_stream(p, "sequences")
        letters = np.frombuffer(b"ACGT", dtype="S1")
        motifs = letters[rng.integers(0, 4, (p.n_types, _MOTIF))]
        bases = letters[rng.integers(0, 4, (p.n_peaks, _WINDOW))]
        for peak in self.linked_peaks:
            if effects[:, peak].any():
                place = rng.integers(0, _WINDOW - _MOTIF + 1)
                bases[peak, place : place + _MOTIF] = motifs[effects[:, peak].argmax()]
        names = {f"type{number + 1}": motif.tobytes().decode()
                 for number, motif in enumerate(motifs)}  # fmt: skip
        return [row.tobytes().decode() for row in bases], names

    def _add_links(self, adata: AnnData, table: pd.DataFrame, linked: np.ndarray) -> AnnData:
        """Add positions, the column ``linked``, and the table of links by name."""
        for column in table.columns:
            adata.var[column] = table[column]
        adata.var["linked"] = np.isin(np.arange(adata.n_vars), linked)
        genes, peaks = self.positions
        adata.uns["truth"]["links"] = self.links.assign(
            gene=genes.index[self.links["gene"]], peak=peaks.index[self.links["peak"]]
        )
        return adata


def _place_features(p: SimMultiome.Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw positions of genes and peaks on the chromosomes."""
    rng = random_stream(p, "positions")
    gene_chromosomes = np.arange(p.n_genes) * _CHROMOSOMES // p.n_genes
    starts = np.cumsum(rng.integers(*_GAP, p.n_genes))
    for chromosome in range(1, _CHROMOSOMES):
        first = np.argmax(gene_chromosomes >= chromosome)
        starts[first:] -= starts[first] - starts[0]
    genes = pd.DataFrame(
        {"chromosome": [f"chr{number + 1}" for number in gene_chromosomes], "start": starts},
        index=[f"gene{number + 1}" for number in range(p.n_genes)],
    )
    # Slots of all chromosomes in one row; a chromosome ends with its last gene.
    slots = np.array([
        starts[gene_chromosomes == number].max() // _SLOT + 1 for number in range(_CHROMOSOMES)
    ])  # fmt: skip
    peak_slots = np.sort(rng.choice(slots.sum(), p.n_peaks, replace=False))
    chromosomes = np.searchsorted(np.cumsum(slots), peak_slots, side="right")
    peak_starts = (peak_slots - (np.cumsum(slots) - slots)[chromosomes]) * _SLOT + 1
    peaks = pd.DataFrame({
        "chromosome": [f"chr{number + 1}" for number in chromosomes],
        "start": peak_starts,
        "end": peak_starts + _WIDTH,
    })  # fmt: skip
    peaks.index = pd.Index(
        [f"{row.chromosome}:{row.start}-{row.end}" for row in peaks.itertuples()]
    )
    return genes, peaks


def _draw_links(p: SimMultiome.Params, genes: pd.DataFrame, peaks: pd.DataFrame) -> pd.DataFrame:
    """Draw linked genes, and peaks of each within ``link_distance``; see ``links``."""
    rng = random_stream(p, "links")
    centres = {name: (part.index, part["start"].to_numpy() + _WIDTH // 2)
               for name, part in peaks.reset_index(drop=True).groupby("chromosome")}  # fmt: skip
    links: list[tuple[int, int, int, float]] = []
    for gene in np.sort(rng.permutation(p.n_genes)[: p.n_linked]):
        chromosome, start = genes["chromosome"].iloc[gene], genes["start"].iloc[gene]
        if chromosome not in centres:
            continue
        numbers, centre = centres[chromosome]
        low = np.searchsorted(centre, start - p.link_distance)
        high = np.searchsorted(centre, start + p.link_distance, side="right")
        n_links = min(int(rng.integers(p.min_links, p.max_links + 1)), high - low)
        for row in np.sort(rng.choice(high - low, n_links, replace=False)) + low:
            links.append((gene, numbers[row], centre[row] - start, p.link_effect / n_links))
    return pd.DataFrame(links, columns=["gene", "peak", "distance", "effect"])
