"""Add what paired methods need to know of features: places of genes and peaks, DNA, variability.

Everything is found by name, nothing by the position of a line in a file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyfaidx
import scanpy

from bench.contract import ATAC, RNA, peak_intervals, ucsc_chromosome
from bench.contract.multiome import pair_data, write_pair
from bench.data.checks import check_counts
from bench.data.file_dataset import FileDataset
from bench.errors import DataError, UsageError

from .gene_positions import place_genes, read_tss

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from .gene_positions import Annotation

logger = logging.getLogger(__name__)
_TOP_GENES = 2000


@dataclass(frozen=True)
class Window:
    """Which bases stand for a peak."""

    place: str = "centre"
    """``centre``: around the middle of the peak; ``start``: from its start on."""
    width: int = 256

    def first(self, start: int, end: int) -> int:
        """Return the first base of the window of a peak, 0-based; it may lie before the contig."""
        return start if self.place == "start" else (start + end) // 2 - self.width // 2


def annotate(
    files: Sequence[Path], *, tss: Path | None, genome: Path | None, window: Window, out: Path
) -> MuData:
    """Write the paired data in one ``.h5mu`` or two ``.h5ad`` files, annotated, to ``out``.

    ``tss`` is a BED or GTF of genes, ``genome`` an indexed FASTA; without one its facts are left
    as they are in the file. ``say`` hears what was found and what was not. Raises ``UsageError``
    and ``DataError``, one line each.
    """
    if not 1 <= len(files) <= 2:
        raise UsageError(f"{len(files)} files: expected one .h5mu, or two .h5ad (genes, peaks).")
    if out.suffix != ".h5mu":
        raise UsageError(f"--out {out}: expected a name that ends in .h5mu.")
    given = {"part": "both"} if len(files) == 1 else {"atac": str(files[1])}
    dataset = FileDataset.from_path(
        files[0], FileDataset.Params.build(given, owner=str(files[0])), labels_needed=False
    )
    data: Any = dataset.load()
    for note in dataset.notes:
        logger.info(note)
    where = str(files[0])
    rna, atac = data[RNA], data[ATAC]
    for part, adata in ((RNA, rna), (ATAC, atac)):
        checked = check_counts(
            adata, where=f"{where} ({part})", label_key="", batch_key=None, modality=part
        )
        for line in checked.warnings:
            logger.info(line)
    place_peaks(atac, where)
    if tss is not None:
        annotation = read_tss(tss)
        logger.info(place_genes(rna, annotation, where))
        if annotation.moved:
            logger.info(f"{annotation.moved} genes of {tss} are in more than one place: the one with the "
                "most transcripts is taken")  # fmt: skip
        _same_genome(atac, annotation, where)
    if genome is not None:
        add_sequence(atac, genome, window, where)
    add_variability(rna)
    made = pair_data(rna, atac)
    write_pair(made, out)
    return made


def place_peaks(atac: AnnData, where: str) -> None:
    """Set ``chrom``, ``start`` and ``end`` by the names of the peaks.

    Columns of ``var`` that say so already stay. Raises ``DataError`` that counts and names peaks
    whose name says no place.
    """
    if {"chrom", "start", "end"} <= set(atac.var.columns):
        atac.var["chrom"] = [ucsc_chromosome(str(name)) for name in atac.var["chrom"]]
        return
    sites, bad = peak_intervals(atac.var_names)
    if bad:
        raise DataError(
            f"{where}: no columns chrom, start, end in var of atac, and {len(bad)} of "
            f"{atac.n_vars} peak names say no place (first '{bad[0]}'); expected names such as "
            "chr1:100-200, chr1_100_200 or 1-100-200."
        )
    for name in sites:
        atac.var[name] = sites[name].to_numpy()


def _same_genome(atac: AnnData, annotation: Annotation, where: str) -> None:
    """Compare the chromosomes of peaks with those of the genes; raises ``DataError``."""
    there = {place[0] for place in annotation.genes.values()}
    chroms = atac.var["chrom"].astype(str)
    strange = chroms[~chroms.isin(there)]
    if len(strange) == len(chroms):
        raise DataError(
            f"{where}: no chromosome of the peaks (such as '{chroms.iloc[0]}') is in "
            f"{annotation.where}: the annotation is of another genome."
        )
    if len(strange):
        logger.info(f"{len(strange)} of {len(chroms)} peaks are on chromosomes without a gene in "
            f"{annotation.where} (first '{strange.iloc[0]}')")  # fmt: skip


def add_sequence(atac: AnnData, genome: Path, window: Window, where: str) -> None:
    """Set ``sequence``: the bases of each peak's window in an indexed FASTA, in capitals.

    What a window has beyond the ends of its contig is ``N``, and counted. Raises ``DataError`` if
    a contig is not there, or peaks end beyond the end of theirs (another genome).
    """
    fasta = _open(genome)
    with fasta:
        contigs = {ucsc_chromosome(name): name for name in fasta.keys()}
        sites = atac.var[["chrom", "start", "end"]]
        _check_contigs(sites, contigs, fasta, genome, where)
        bases, padded = [], 0
        for site in sites.itertuples():
            record = fasta[contigs[site.chrom]]
            first = window.first(int(site.start), int(site.end))
            last = first + window.width
            text = str(record[max(first, 0) : min(last, len(record))]).upper()
            whole = "N" * max(-first, 0) + text
            padded += len(text) < window.width
            bases.append(whole.ljust(window.width, "N"))
    atac.var["sequence"] = bases
    logger.info(f"{len(bases)} peaks: {window.width} bases ({window.place}) of each from {genome}")
    if padded:
        logger.info(f"{padded} windows reach beyond the end of their contig and are filled with N")


def _open(genome: Path) -> Any:
    """Return the FASTA with its index, which is made if it is not there."""
    if not genome.is_file():
        raise UsageError(f"--genome {genome}: no such file.")
    index = genome.with_name(f"{genome.name}.fai")
    try:
        return pyfaidx.Fasta(str(genome), sequence_always_upper=True)
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        if not index.is_file():
            raise DataError(
                f"{genome}: its index {index} cannot be made ({text}); make it where you may "
                "write: samtools faidx, or copy the file there (packed files need bgzip)."
            ) from None
        raise DataError(f"{genome}: not a readable FASTA: {text}.") from None


def _check_contigs(
    sites: pd.DataFrame, contigs: dict[str, str], fasta: Any, genome: Path, where: str
) -> None:
    missing = sites[~sites["chrom"].isin(contigs)]
    if len(missing):
        names = list(dict.fromkeys(missing["chrom"]))
        raise DataError(
            f"{genome}: has no contig '{names[0]}' ({len(missing)} of {len(sites)} peaks are on "
            f"{len(names)} contigs that are not there); give the genome of {where}, or drop them."
        )
    lengths = {name: len(fasta[contigs[name]]) for name in sites["chrom"].unique()}
    beyond = sites[sites["end"].astype(int) > sites["chrom"].map(lengths)]
    if len(beyond):
        first = beyond.iloc[0]
        raise DataError(
            f"{where}: {len(beyond)} of {len(sites)} peaks end beyond the end of their contig in "
            f"{genome} (first '{beyond.index[0]}': {first['chrom']} has "
            f"{lengths[first['chrom']]} bases): the genome is another one."
        )


def add_variability(rna: AnnData) -> None:
    """Set ``means``, ``variances`` and ``variances_norm`` of each gene (seurat_v3, on counts).

    Source: Stuart et al. 2019, as in ``scanpy.pp.highly_variable_genes``.
    """
    try:
        table = scanpy.pp.highly_variable_genes(
            rna, flavor="seurat_v3", n_top_genes=min(_TOP_GENES, rna.n_vars), inplace=False
        )
    except (ValueError, ImportError) as error:
        text = " ".join(str(error).split())
        logger.info(f"no variable-gene statistics: {text or 'too few genes'}")
        return
    for name in ("means", "variances", "variances_norm"):
        rna.var[name] = table[name].to_numpy()
