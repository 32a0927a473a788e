"""Simulated RNA and chromatin of the same cells, with known links from peaks to genes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import ATAC, MULTIOME, RNA, Card, Dataset, pair_data

from . import _simulate_features as sim
from ._simulate_cells import SimulationParameters, card_of, populate, stream

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData
    from mudata import MuData

_CHROMOSOMES = 5
_GAP = (10_000, 70_000)
"""Smallest and largest distance between neighbouring genes, in base pairs."""
_SLOT, _WIDTH = 1000, 500
"""Peaks of 500 base pairs lie on a grid of 1,000, so that they cannot overlap."""
_WINDOW, _MOTIF = 256, 12
"""Bases of the simulated DNA of a peak, and of the motif of a type."""


class SimMultiome(Dataset):
    """Genes and peaks of the same cells, together or one part (``part=rna``, ``part=atac``).

    Under one seed both parts have the same cells, types, batches and module activities; depths,
    batch effects and counts are drawn for each. Counts follow ``sim_rna`` and ``sim_atac``.

    A share of the genes is linked to ``min_links`` to ``max_links`` peaks each, all on the gene's
    chromosome with their centre within ``link_distance`` of its start. The log expression of a
    linked gene follows the mean log accessibility of its peaks, times ``link_effect``: the effects
    of types on the gene are those on its peaks, and in each cell a normal deviation of a peak's
    log accessibility (``link_spread``) shows in both parts. Most peaks near a gene are not linked
    to it, so distance alone does not give the links. The links are in ``uns["truth"]["links"]``
    (gene, peak, distance from the gene's start, effect on the log scale), positions and effects in
    ``var`` and ``varm``; methods in a run are not given them. Paired methods are given chromosome,
    strand (drawn, without effect) and start of genes and the place of peaks, and with ``sequence``
    the DNA of each peak, random but for linked peaks: these hold the motif of the type that they
    mark most (``uns["truth"]["motifs"]``).
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
        labels_from="the simulation: certain",
        tags=("simulated", "offline", "paired"),
        verified=True,
    )

    class Params(SimulationParameters):
        """Parameters of the simulation."""

        presets = {
            "easy": {"separation": 1.5, "rna_depth": 5000.0, "atac_depth": 3000.0},
            "hard": {"separation": 0.7, "rna_depth": 1000.0, "atac_depth": 300.0, "n_types": 10,
                     "rare": 0.01, "n_rare": 3, "n_cells": 1500},
            # Two links of every gene, to be found again: 3 % of the matrix of peaks is not zero.
            "links": {"n_cells": 500, "n_genes": 300, "n_peaks": 3000, "linked": 1.0,
                      "min_links": 2, "max_links": 2, "atac_depth": 90.0, "link_spread": 1.0},
        }  # fmt: skip

        part: Literal["both", "rna", "atac"] = Field(
            "both", description="genes and peaks of the cells, or one of them"
        )
        n_genes: int = Field(1000, ge=20, le=100_000, description="genes")
        n_peaks: int = Field(
            3000, ge=20, le=500_000, description="peaks; at most 10 times the number of genes"
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
            0.5, ge=0, le=3, description="standard deviation of a linked peak's log accessibility "
            "among the cells of a type",
        )  # fmt: skip
        sequence: bool = Field(
            False, description="part=both: give each peak 256 bases of DNA, with motifs if linked"
        )

        @property
        def n_linked(self) -> int:
            """Number of genes that have linked peaks."""
            return max(1, round(self.linked * self.n_genes))

        def feature_numbers(self) -> dict[str, int]:
            """Return how many features modules can have: those that no link can touch."""
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
        self.card = card_of(card, p, n_features)

    def load(self) -> AnnData | MuData:
        """Return the counts of the part, or both, with ``obs["cell_type"]`` and the truth."""
        experiment = _Experiment(self.params)
        if self.params.part == "both":
            return experiment.both()
        return experiment.peaks() if self.params.part == "atac" else experiment.genes()


@dataclass(frozen=True)
class _Experiment:
    """What both parts share; each part is drawn on its own."""

    params: SimMultiome.Params

    @cached_property
    def sites(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Genes (index name; chromosome, start) and peaks (…, start, end), in genomic order."""
        return _lay_out(self.params)

    @cached_property
    def links(self) -> pd.DataFrame:
        """Numbers of linked ``gene`` and ``peak``, ``distance`` in base pairs and ``effect``."""
        return _link(self.params, *self.sites)

    @cached_property
    def open(self) -> sim.Effects:
        """Effects on peaks."""
        return sim.draw_effects(self.params, self.params.n_peaks, "peaks")

    @cached_property
    def weights(self) -> sp.csr_matrix:
        """Effect of each linked peak's log accessibility on each gene, (linked peaks, genes)."""
        import scipy.sparse as sp

        rows = self.linked_peaks.searchsorted(self.links["peak"])
        shape = (len(self.linked_peaks), self.params.n_genes)
        return sp.csr_matrix((self.links["effect"], (rows, self.links["gene"])), shape=shape)

    @cached_property
    def linked_peaks(self) -> np.ndarray:
        """Numbers of the peaks that are linked to any gene, sorted."""
        import numpy as np

        return np.unique(self.links["peak"])

    def _deviations(self) -> np.random.Generator:
        """Return the generator of the deviations of linked peaks.

        Both parts draw from it in the order of the cells, so the size of a block has no effect.
        """
        return stream(self.params, "link activity")

    def peaks(self) -> AnnData:
        """Return fragments in peaks."""
        import numpy as np

        p, linked = self.params, self.linked_peaks
        people = populate(p, "peaks")
        base = stream(p, "base of peaks").gamma(0.8, 1.0, p.n_peaks) + 1e-2
        free = np.setdiff1d(np.arange(p.n_peaks), linked)
        modules = sim.draw_modules(p, p.n_peaks, people.types, "peaks", free)
        mean = sim.means(base, self.open, people, modules, p.atac_depth)
        rng, deviations = stream(p, "counts in peaks"), self._deviations()

        def draw(cells: np.ndarray) -> np.ndarray:
            expected = mean(cells)
            log_factor = p.link_spread * deviations.standard_normal((len(cells), len(linked)))
            expected[:, linked] *= np.exp(log_factor - p.link_spread**2 / 2)
            return rng.poisson(expected)

        counts = sim.draw_sparse(p.n_cells, p.n_peaks, draw)
        table = self.sites[1]
        adata = sim.dress(counts, p, people, list(table.index), p.atac_depth)
        sim.record_truth(adata, base, self.open, modules)
        return self._with_links(adata, table, linked)

    def genes(self) -> AnnData:
        """Return counts of genes."""
        import numpy as np

        p, weights = self.params, self.weights
        people = populate(p, "genes")
        base = stream(p, "base of genes").gamma(0.6, 1.0, p.n_genes) + 1e-3
        effects = sim.draw_effects(p, p.n_genes, "genes")
        linked = np.unique(self.links["gene"])
        through_peaks = self.open.by_type[:, self.linked_peaks] @ weights
        effects.by_type[:, linked] = through_peaks[:, linked]
        free = np.setdiff1d(np.arange(p.n_genes), linked)
        modules = sim.draw_modules(p, p.n_genes, people.types, "genes", free)
        dispersion = sim.gene_dispersions(p, p.n_genes, p.dispersion, p.dispersion_df)
        mean = sim.means(base, effects, people, modules, p.rna_depth)
        half_variance = p.link_spread**2 / 2 * weights.power(2).sum(axis=0).A1[linked]
        rng, deviations = stream(p, "counts of genes"), self._deviations()

        def draw(cells: np.ndarray) -> np.ndarray:
            expected = mean(cells)
            size = (len(cells), len(self.linked_peaks))
            log_factor = p.link_spread * (deviations.standard_normal(size) @ weights[:, linked])
            expected[:, linked] *= np.exp(log_factor - half_variance)
            return sim.negative_binomial(rng, expected, dispersion)

        counts = sim.draw_sparse(p.n_cells, p.n_genes, draw)
        table = self.sites[0]
        adata = sim.dress(counts, p, people, list(table.index), p.rna_depth)
        sim.record_truth(adata, base, effects, modules)
        adata.var["dispersion"] = dispersion
        return self._with_links(adata, table, linked)

    def both(self) -> MuData:
        """Return both parts, with the positions that paired methods may see."""
        import numpy as np

        p, genes, peaks = self.params, self.genes(), self.peaks()
        for part in (genes, peaks):
            part.var["chrom"] = part.var["chromosome"]
        genes.var["tss"] = genes.var["start"]
        genes.var["strand"] = np.where(stream(p, "strands").random(p.n_genes) < 0.5, "+", "-")
        truth = {"links": genes.uns["truth"]["links"]}
        if p.sequence:
            peaks.var["sequence"], truth["motifs"] = self._sequences()
        data = pair_data(genes, peaks)
        data.uns["truth"] = truth
        return data

    def _sequences(self) -> tuple[list[str], dict[str, str]]:
        """Return the DNA of each peak, and the motif of each type.

        A linked peak holds the motif of the type with the largest effect on it, if there is one.
        """
        import numpy as np

        p, effects = self.params, np.abs(self.open.by_type)
        rng = stream(p, "sequences")
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

    def _with_links(self, adata: AnnData, table: pd.DataFrame, linked: np.ndarray) -> AnnData:
        """Add positions, which features are linked, and the table of links by name."""
        import numpy as np

        for column in table.columns:
            adata.var[column] = table[column]
        adata.var["linked"] = np.isin(np.arange(adata.n_vars), linked)
        genes, peaks = self.sites
        adata.uns["truth"]["links"] = self.links.assign(
            gene=genes.index[self.links["gene"]], peak=peaks.index[self.links["peak"]]
        )
        return adata


def _lay_out(p: SimMultiome.Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Place genes on the chromosomes, and peaks anywhere on them."""
    import numpy as np
    import pandas as pd

    rng = stream(p, "positions")
    home = np.arange(p.n_genes) * _CHROMOSOMES // p.n_genes
    starts = np.cumsum(rng.integers(*_GAP, p.n_genes))
    for chromosome in range(1, _CHROMOSOMES):
        first = np.argmax(home >= chromosome)
        starts[first:] -= starts[first] - starts[0]
    genes = pd.DataFrame(
        {"chromosome": [f"chr{number + 1}" for number in home], "start": starts},
        index=[f"gene{number + 1}" for number in range(p.n_genes)],
    )
    # Slots of all chromosomes in one row; a chromosome ends with its last gene.
    slots = np.array([starts[home == number].max() // _SLOT + 1 for number in range(_CHROMOSOMES)])
    chosen = np.sort(rng.choice(slots.sum(), p.n_peaks, replace=False))
    where = np.searchsorted(np.cumsum(slots), chosen, side="right")
    begin = (chosen - (np.cumsum(slots) - slots)[where]) * _SLOT + 1
    peaks = pd.DataFrame(
        {"chromosome": [f"chr{number + 1}" for number in where], "start": begin,
         "end": begin + _WIDTH}
    )  # fmt: skip
    peaks.index = pd.Index(
        [f"{row.chromosome}:{row.start}-{row.end}" for row in peaks.itertuples()]
    )
    return genes, peaks


def _link(p: SimMultiome.Params, genes: pd.DataFrame, peaks: pd.DataFrame) -> pd.DataFrame:
    """Choose linked genes and their peaks; a gene without a peak in reach has no link."""
    import numpy as np
    import pandas as pd

    rng = stream(p, "links")
    centres = {name: (part.index, part["start"].to_numpy() + _WIDTH // 2)
               for name, part in peaks.reset_index(drop=True).groupby("chromosome")}  # fmt: skip
    rows: list[tuple[int, int, int, float]] = []
    for gene in np.sort(rng.permutation(p.n_genes)[: p.n_linked]):
        chromosome, start = genes["chromosome"].iloc[gene], genes["start"].iloc[gene]
        if chromosome not in centres:
            continue
        numbers, centre = centres[chromosome]
        low = np.searchsorted(centre, start - p.link_distance)
        high = np.searchsorted(centre, start + p.link_distance, side="right")
        wanted = min(int(rng.integers(p.min_links, p.max_links + 1)), high - low)
        for place in np.sort(rng.choice(high - low, wanted, replace=False)) + low:
            rows.append((gene, numbers[place], centre[place] - start, p.link_effect / wanted))
    return pd.DataFrame(rows, columns=["gene", "peak", "distance", "effect"])
