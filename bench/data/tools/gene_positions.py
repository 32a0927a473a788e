"""Positions of genes: transcription start sites from a BED or GTF file."""

from __future__ import annotations

import bz2
import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import ucsc_chromosome
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

_GTF_NAME = re.compile(r"\.g[tf]f(\.gz|\.bz2)?$", re.IGNORECASE)
_ATTRIBUTE = re.compile(r'(\w+) "([^"]*)"')
_VERSION = re.compile(r"\.\d+$")


@dataclass(frozen=True)
class GenePositions:
    """Positions of genes by symbol or identifier."""

    source: str
    """Name of the file."""
    genes: dict[str, tuple[str, str, int]]
    """Name → chromosome, strand and TSS (0-based)."""
    n_ambiguous: int = 0
    """Number of genes with more than one position; the one with the most transcripts is taken."""

    def find(self, name: str) -> tuple[str, str, int] | None:
        """Return the position of a gene; the version of an identifier is ignored."""
        return self.genes.get(name) or self.genes.get(_VERSION.sub("", name))


def read_gene_positions(path: Path) -> GenePositions:
    """Return the most 5' transcription start site of each gene.

    BED: chromosome, start, end, gene, any value, strand; one line a transcript or TSS. GTF: lines
    of kind ``transcript``, or ``gene`` if there are none; a gene is found by its ``gene_name`` and
    its ``gene_id``. Both may be compressed. Raises ``DataError`` if the file is neither.
    """
    lines = _read_gtf(path) if _GTF_NAME.search(path.name) else _read_bed(path)
    starts: dict[str, dict[tuple[str, str], list[int]]] = {}
    for names, chrom, strand, tss in lines:
        place = (ucsc_chromosome(chrom), strand)
        for name in names:
            starts.setdefault(name, {}).setdefault(place, []).append(tss)
    if not starts:
        raise DataError(
            f"{path}: no gene in it; expected a BED of TSS, or a GTF.", code="empty_file"
        )
    genes = {}
    for name, by_place in starts.items():
        (chrom, strand), sites = max(by_place.items(), key=lambda item: len(item[1]))
        genes[name] = (chrom, strand, max(sites) if strand == "-" else min(sites))
    n_ambiguous = sum(len(by_place) > 1 for by_place in starts.values())
    return GenePositions(path.name, genes, n_ambiguous)


def add_gene_positions(rna: AnnData, positions: GenePositions, where: str) -> str:
    """Set ``chrom``, ``strand`` and ``tss`` of ``var`` by gene name; returns a line of counts.

    A gene without a position has an empty chromosome and the TSS -1. Raises ``DataError`` if no
    gene has one, or the names are those of another organism.
    """
    names = [str(name) for name in rna.var_names]
    places = [positions.find(name) for name in names]
    missing = [name for name, place in zip(names, places, strict=True) if place is None]
    organism, expected = _organism(names), _organism(positions.genes)
    if organism and expected and organism != expected:
        raise DataError(
            f"{where}: genes are spelled like those of {organism} ('{names[0]}'), "
            f"{positions.source} holds genes spelled like those of {expected}; give the "
            "annotation of the organism.",
            code="wrong_genome",
        )
    if len(missing) == len(names):
        raise DataError(
            f"{where}: none of {len(names)} genes (such as '{names[0]}') is in "
            f"{positions.source}; expected symbols or identifiers of that annotation.",
            code="missing_features",
        )
    rows = [place or ("", ".", -1) for place in places]
    for number, column in enumerate(("chrom", "strand", "tss")):
        rna.var[column] = [row[number] for row in rows]
    line = f"{len(names) - len(missing)} of {len(names)} genes found in {positions.source}"
    if missing:
        line += f"; {len(missing)} are missing (first '{missing[0]}') and cannot link to a peak"
    return line


def _organism(names: Iterable[str]) -> str:
    """Return ``human`` for mostly capital symbols, ``mouse`` if only first letters are capital."""
    symbols = [name for name in names if re.search("[A-Za-z]{3}", name)]
    symbols = [name for name in symbols if not name.startswith("ENS")]
    if len(symbols) < 5:
        return ""
    upper = sum(name == name.upper() for name in symbols) / len(symbols)
    lower = sum(name[1:] == name[1:].lower() for name in symbols) / len(symbols)
    return "human" if upper > 0.7 else "mouse" if lower > 0.7 else ""


def _read_bed(path: Path) -> Iterator[tuple[list[str], str, str, int]]:
    """Yield names, chromosome, strand and TSS of each line."""
    for number, fields in _read_rows(path):
        if fields[0].startswith(("track", "browser")):
            continue
        if len(fields) < 6 or not (fields[1].isdigit() and fields[2].isdigit()):
            raise DataError(
                f"{path}: line {number}: expected chromosome, start, end, gene, score and strand "
                f"(BED, tabs), found {len(fields)} fields.",
                code="invalid_line",
            )
        strand = fields[5] if fields[5] in "+-" else "."
        tss = int(fields[2]) - 1 if strand == "-" else int(fields[1])
        yield [fields[3]], fields[0], strand, tss


def _read_gtf(path: Path) -> list[tuple[list[str], str, str, int]]:
    """Return names, chromosome, strand and TSS of each transcript, else of each gene."""
    return list(_read_features(path, "transcript")) or list(_read_features(path, "gene"))


def _read_features(path: Path, kind: str) -> Iterator[tuple[list[str], str, str, int]]:
    for number, fields in _read_rows(path):
        if len(fields) < 9:
            raise DataError(
                f"{path}: line {number}: expected 9 fields (GTF), found {len(fields)}.",
                code="invalid_line",
            )
        if fields[2] != kind:
            continue
        attributes = dict(_ATTRIBUTE.findall(fields[8]))
        names = [attributes.get("gene_name", ""), _VERSION.sub("", attributes.get("gene_id", ""))]
        strand = fields[6] if fields[6] in "+-" else "."
        tss = int(fields[4] if strand == "-" else fields[3]) - 1
        yield list(dict.fromkeys(filter(None, names))), fields[0], strand, tss


def _read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line that is no comment."""
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix.lower(), open)
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip() and not line.startswith("#"):
                    yield number, line.rstrip("\n").split("\t")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}).", code="unreadable") from None
