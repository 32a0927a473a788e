"""Where genes lie: transcription start sites from a BED or GTF file."""

from __future__ import annotations

import bz2
import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import ucsc_chromosome
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

_GTF = re.compile(r"\.g[tf]f(\.gz|\.bz2)?$", re.IGNORECASE)
_ATTRIBUTE = re.compile(r'(\w+) "([^"]*)"')
_VERSION = re.compile(r"\.\d+$")


@dataclass(frozen=True)
class Annotation:
    """Genes by symbol or identifier."""

    where: str
    genes: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Name → chromosome, strand and TSS (0-based)."""
    moved: int = 0
    """Genes that are in more than one place; the one with the most transcripts is taken."""

    def find(self, name: str) -> tuple[str, str, int] | None:
        """Return the place of a gene; a version behind an identifier does not matter."""
        return self.genes.get(name) or self.genes.get(_VERSION.sub("", name))


def read_tss(path: Path) -> Annotation:
    """Return the 5'-most start of the transcripts of each gene.

    BED: chromosome, start, end, gene, anything, strand; one line a transcript, or a TSS. GTF: the
    lines ``transcript``, or ``gene`` if there are none; genes go by ``gene_name`` and
    ``gene_id``. Both may be packed. Raises ``DataError`` if the file cannot be read so.
    """
    lines = _gtf(path) if _GTF.search(path.name) else _bed(path)
    places: dict[str, dict[tuple[str, str], list[int]]] = {}
    for names, chrom, strand, tss in lines:
        for name in names:
            places.setdefault(name, {}).setdefault((ucsc_chromosome(chrom), strand), []).append(tss)
    if not places:
        raise DataError(f"{path}: no gene in it; expected a BED of TSS, or a GTF.")
    genes = {}
    for name, found in places.items():
        home, starts = max(found.items(), key=lambda one: len(one[1]))
        genes[name] = (*home, max(starts) if home[1] == "-" else min(starts))
    return Annotation(path.name, genes, sum(len(found) > 1 for found in places.values()))


def place_genes(rna: AnnData, annotation: Annotation, where: str) -> str:
    """Set ``chrom``, ``strand`` and ``tss`` in ``var`` by the genes' names; says what was found.

    A gene that is not there has no chromosome, and the TSS -1. Raises ``DataError`` if no gene is
    there, or the names are another organism's.
    """
    names = [str(name) for name in rna.var_names]
    found = [annotation.find(name) for name in names]
    lost = [name for name, one in zip(names, found, strict=True) if one is None]
    mine, theirs = _spelling(names), _spelling(annotation.genes)
    if mine and theirs and mine != theirs:
        raise DataError(
            f"{where}: genes are spelled like those of {mine} ('{names[0]}'), {annotation.where} "
            f"holds genes spelled like those of {theirs}; give the annotation of the organism."
        )
    if len(lost) == len(names):
        raise DataError(
            f"{where}: none of {len(names)} genes (such as '{names[0]}') is in "
            f"{annotation.where}; expected symbols or identifiers of that annotation."
        )
    rows = [one or ("", ".", -1) for one in found]
    for number, column in enumerate(("chrom", "strand", "tss")):
        rna.var[column] = [row[number] for row in rows]
    more = f"; {len(lost)} are not there (first '{lost[0]}') and link to no peak" if lost else ""
    return f"{len(names) - len(lost)} of {len(names)} genes found in {annotation.where}{more}"


def _spelling(names: Iterable[str]) -> str:
    """Return ``human`` if most symbols are capitals, ``mouse`` if only their first letter is."""
    words = [name for name in names if re.search("[A-Za-z]{3}", name)]
    words = [word for word in words if not word.startswith("ENS")]
    if len(words) < 5:
        return ""
    upper = sum(word == word.upper() for word in words) / len(words)
    lower = sum(word[1:] == word[1:].lower() for word in words) / len(words)
    return "human" if upper > 0.7 else "mouse" if lower > 0.7 else ""


def _bed(path: Path) -> Iterator[tuple[list[str], str, str, int]]:
    for number, cells in _rows(path):
        if cells[0].startswith(("track", "browser")):
            continue
        if len(cells) < 6 or not (cells[1].isdigit() and cells[2].isdigit()):
            raise DataError(
                f"{path}: line {number}: expected chromosome, start, end, gene, score and strand "
                f"(BED, tabs), found {len(cells)} fields."
            )
        strand = cells[5] if cells[5] in "+-" else "."
        yield [cells[3]], cells[0], strand, int(cells[2]) - 1 if strand == "-" else int(cells[1])


def _gtf(path: Path) -> Iterator[tuple[list[str], str, str, int]]:
    lines = list(_features(path, "transcript")) or list(_features(path, "gene"))
    yield from lines


def _features(path: Path, wanted: str) -> Iterator[tuple[list[str], str, str, int]]:
    for number, cells in _rows(path):
        if len(cells) < 9:
            raise DataError(f"{path}: line {number}: expected 9 fields (GTF), found {len(cells)}.")
        if cells[2] != wanted:
            continue
        said = dict(_ATTRIBUTE.findall(cells[8]))
        names = [said.get("gene_name", ""), _VERSION.sub("", said.get("gene_id", ""))]
        strand = cells[6] if cells[6] in "+-" else "."
        tss = int(cells[4] if strand == "-" else cells[3]) - 1
        yield list(dict.fromkeys(filter(None, names))), cells[0], strand, tss


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each line that is no comment."""
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix.lower(), open)
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip() and not line.startswith("#"):
                    yield number, line.rstrip("\n").split("\t")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}).") from None
