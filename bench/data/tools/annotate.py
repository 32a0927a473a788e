"""Annotate paired data with positions of genes and peaks, DNA of peaks and variability of genes.

Genes, peaks and contigs are matched by name.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyfaidx
import scanpy

from bench.contract import ATAC, RNA, pair_data, peak_intervals, ucsc_chromosome
from bench.contract.multiome import write_pair
from bench.data.user_file import read_user_file
from bench.errors import DataError, UsageError

from .gene_positions import add_gene_positions, read_gene_positions

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from .gene_positions import GenePositions

logger = logging.getLogger(__name__)
_N_TOP_GENES = 2000


@dataclass(frozen=True)
class Window:
    """The bases that represent a peak."""

    place: str = "centre"
    """``centre``: around the middle of the peak; ``start``: from its first base."""
    width: int = 256

    def first_base(self, start: int, end: int) -> int:
        """Return the first base of a peak's window, 0-based; it may lie before the contig."""
        return start if self.place == "start" else (start + end) // 2 - self.width // 2


def annotate(
    files: Sequence[Path], *, tss: Path | None, genome: Path | None, window: Window, out: Path
) -> MuData:
    """Annotate the paired data in one ``.h5mu`` or two ``.h5ad`` files and write them to ``out``.

    ``tss`` is a BED or GTF of genes, ``genome`` an indexed FASTA. Without ``tss``, gene positions
    stay as they are in the file; without ``genome``, sequences do. Raises ``UsageError`` and
    ``DataError``.
    """
    if not 1 <= len(files) <= 2:
        raise UsageError(
            f"{len(files)} files: expected one .h5mu, or two .h5ad (genes, peaks).",
            code="invalid_value",
        )
    if out.suffix != ".h5mu":
        raise UsageError(f"--out {out}: expected a name that ends in .h5mu.", code="invalid_value")
    where = str(files[0])
    rna, atac = _load_parts(files)
    add_peak_positions(atac, where)
    if tss is not None:
        positions = read_gene_positions(tss)
        logger.info(add_gene_positions(rna, positions, where))
        if positions.n_ambiguous:
            logger.info(
                f"{positions.n_ambiguous} genes of {tss} have several positions: the one with "
                "the most transcripts is taken"
            )
        _check_chromosomes(atac, positions, where)
    if genome is not None:
        add_sequence(atac, genome, window, where)
    add_variability(rna)
    data = pair_data(rna, atac)
    write_pair(data, out)
    return data


def _load_parts(files: Sequence[Path]) -> tuple[AnnData, AnnData]:
    """Return checked genes and peaks; the cells need no labels."""
    values = {"part": "both"} if len(files) == 1 else {"atac": str(files[1])}
    _, data = read_user_file(files[0], values, check_columns=False)
    return data[RNA], data[ATAC]


def add_peak_positions(atac: AnnData, where: str) -> None:
    """Set ``chrom``, ``start`` and ``end`` of ``var`` from the names, unless they exist.

    Raises ``DataError`` if the name of a peak is no genome interval.
    """
    if {"chrom", "start", "end"} <= set(atac.var.columns):
        atac.var["chrom"] = [ucsc_chromosome(str(name)) for name in atac.var["chrom"]]
        return
    intervals, invalid = peak_intervals(atac.var_names)
    if invalid:
        raise DataError(
            f"{where}: no columns chrom, start, end in var of atac, and {len(invalid)} of "
            f"{atac.n_vars} peak names are no intervals (first '{invalid[0]}'); expected names "
            "such as chr1:100-200, chr1_100_200 or 1-100-200.",
            code="no_intervals",
        )
    for name in intervals:
        atac.var[name] = intervals[name].to_numpy()


def _check_chromosomes(atac: AnnData, positions: GenePositions, where: str) -> None:
    """Raise ``DataError`` if no chromosome of the peaks is one of the genes."""
    gene_chroms = {chrom for chrom, _, _ in positions.genes.values()}
    chroms = atac.var["chrom"].astype(str)
    unknown = chroms[~chroms.isin(gene_chroms)]
    if len(unknown) == len(chroms):
        raise DataError(
            f"{where}: no chromosome of the peaks (such as '{chroms.iloc[0]}') is in "
            f"{positions.source}: the annotation is of another genome.",
            code="wrong_genome",
        )
    if len(unknown):
        logger.info(
            f"{len(unknown)} of {len(chroms)} peaks are on chromosomes without a gene in "
            f"{positions.source} (first '{unknown.iloc[0]}')"
        )


def add_sequence(atac: AnnData, genome: Path, window: Window, where: str) -> None:
    """Set ``sequence``: the bases of each peak's window in an indexed FASTA, in capitals.

    Bases beyond the ends of a contig are ``N``. Raises ``DataError`` if a contig is missing, or a
    peak ends beyond its contig (another genome).
    """
    with _open_fasta(genome) as fasta:
        contigs = {ucsc_chromosome(name): name for name in list(fasta.keys())}
        intervals = atac.var[["chrom", "start", "end"]]
        _check_contigs(intervals, contigs, fasta, genome, where)
        sequences, n_padded = [], 0
        for interval in intervals.itertuples():
            record = fasta[contigs[interval.chrom]]
            first = window.first_base(int(interval.start), int(interval.end))
            last = first + window.width
            bases = str(record[max(first, 0) : min(last, len(record))]).upper()
            n_padded += len(bases) < window.width
            sequences.append(("N" * max(-first, 0) + bases).ljust(window.width, "N"))
    atac.var["sequence"] = sequences
    logger.info(
        f"{len(sequences)} peaks: {window.width} bases ({window.place}) of each from {genome}"
    )
    if n_padded:
        logger.info(
            f"{n_padded} windows reach beyond the end of their contig and are filled with N"
        )


def _open_fasta(genome: Path) -> Any:
    """Return the opened FASTA; its index is written if it is missing."""
    if not genome.is_file():
        raise UsageError(f"--genome {genome}: no such file.", code="missing_file")
    index = genome.with_name(f"{genome.name}.fai")
    try:
        return pyfaidx.Fasta(str(genome), sequence_always_upper=True)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if not index.is_file():
            raise DataError(
                f"{genome}: its index {index} cannot be made ({reason}); make it where you may "
                "write: samtools faidx, or copy the file there (packed files need bgzip).",
                code="not_writable",
            ) from None
        raise DataError(f"{genome}: not a readable FASTA: {reason}.", code="unreadable") from None


def _check_contigs(
    intervals: pd.DataFrame, contigs: dict[str, str], fasta: Any, genome: Path, where: str
) -> None:
    """Raise ``DataError`` if a peak lies on no contig, or beyond the end of its contig."""
    missing = intervals[~intervals["chrom"].isin(contigs)]
    if len(missing):
        names = list(dict.fromkeys(missing["chrom"]))
        raise DataError(
            f"{genome}: has no contig '{names[0]}' ({len(missing)} of {len(intervals)} peaks are "
            f"on {len(names)} contigs that are not there); give the genome of {where}, or drop "
            "them.",
            code="wrong_genome",
        )
    lengths = {name: len(fasta[contigs[name]]) for name in intervals["chrom"].unique()}
    beyond = intervals[intervals["end"].astype(int) > intervals["chrom"].map(lengths)]
    if len(beyond):
        first = beyond.iloc[0]
        raise DataError(
            f"{where}: {len(beyond)} of {len(intervals)} peaks end beyond the end of their contig "
            f"in {genome} (first '{beyond.index[0]}': {first['chrom']} has "
            f"{lengths[first['chrom']]} bases): it is another genome.",
            code="wrong_genome",
        )


def add_variability(rna: AnnData) -> None:
    """Set ``means``, ``variances`` and ``variances_norm`` of each gene (seurat_v3, on counts).

    Source: Stuart et al. 2019, as in ``scanpy.pp.highly_variable_genes``.
    """
    try:
        table = scanpy.pp.highly_variable_genes(
            rna, flavor="seurat_v3", n_top_genes=min(_N_TOP_GENES, rna.n_vars), inplace=False
        )
    except (ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        logger.info(f"no variable-gene statistics: {reason or 'too few genes'}")
        return
    for name in ("means", "variances", "variances_norm"):
        rna.var[name] = table[name].to_numpy()
