"""Knowledge in files: bulk profiles, regions, halves of a marker list."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.contract import parse_interval, ucsc_chromosome
from bench.errors import DataError, UsageError
from bench.seeds import derive_seed

from .guidance import ExtraRows

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


def read_bulk(
    path: Path, features: Sequence[str], weight: float = 1.0, target_sum: float = 1e4
) -> ExtraRows:
    """Return bulk profiles as rows that train with the cells, log(1 + x · target / depth).

    The file is tab-separated: genes in rows, samples in columns, raw counts. Depth is that over
    all genes of the file. Genes that are no features are counted and left out. Raises
    ``DataError`` for values that are no counts, or if no gene is a feature.
    """
    table = _table(path)
    counts = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise DataError(
            f"{path}: values that are missing, negative or no numbers; expected raw counts, genes "
            "in rows, samples in columns."
        )
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise DataError(f"{path}: gene '{twice}' has several rows; expected one.")
    depth = counts.sum(axis=0)
    if (depth == 0).any():
        raise DataError(f"{path}: sample '{table.columns[depth == 0][0]}' has no counts at all.")
    known = table.index.isin(list(features))
    if not known.any():
        raise DataError(
            f"{path}: none of its {len(table):,} genes (such as '{table.index[0]}') is among the "
            f"{len(features):,} features (such as '{features[0]}')."
        )
    logger.info(
        f"{path.name}: {table.shape[1]} profiles, {int(known.sum()):,} of {len(table):,} genes"
    )
    values = np.log1p(counts * target_sum / depth)[known].T.astype(np.float32)
    genes = tuple(str(name) for name in table.index[known])
    return ExtraRows(tuple(str(name) for name in table.columns), genes, values, weight)


def peaks_in(path: Path, peaks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the peaks that overlap the regions of a BED file, by the regions' names.

    Coordinates of BED are half-open from 0; peaks are named ``chr1:100-200`` (or with ``-`` or
    ``_``) and are taken alike. Regions without a fourth column belong to one set, named by the
    file. Raises ``DataError`` for a line that is none, or if no peak overlaps.
    """
    regions = _read_bed(path)
    placed = _placed(peaks, path)
    found: dict[str, list[str]] = {name: [] for name, *_ in regions}
    by_chrom: dict[str, list[tuple[str, int, int]]] = {}
    for name, chrom, start, end in regions:
        by_chrom.setdefault(chrom, []).append((name, start, end))
    for peak, (chrom, start, end) in zip(peaks, placed, strict=True):
        names = {n for n, low, high in by_chrom.get(chrom, ()) if start < high and low < end}
        for name in names:
            found[name].append(peak)
    kept = {name: tuple(hits) for name, hits in found.items() if hits}
    if not kept:
        raise DataError(
            f"{path}: none of the {len(peaks):,} peaks (such as '{peaks[0]}') overlaps one of its "
            f"{len(regions):,} regions; expected the same genome and names of chromosomes."
        )
    gone = [name for name in found if name not in kept]
    logger.info(
        f"{path.name}: {len(kept)} sets of peaks, {sum(map(len, kept.values())):,} peaks"
        + (f"; without a peak: {', '.join(gone)}" if gone else "")
    )
    return kept


def held_out_half(name: str, genes: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return a random half of a list, to be scored while the other half guides.

    The choice depends on the name of the list and the seed. Raises ``UsageError`` for a list of
    one gene.
    """
    if len(genes) < 2:
        raise UsageError(f"signature '{name}': a list of {len(genes)} gene has no two halves.")
    order = np.random.default_rng(derive_seed(seed, "half", name)).permutation(len(genes))
    chosen = set(order[: len(genes) // 2].tolist())
    return tuple(gene for number, gene in enumerate(genes) if number in chosen)


def half_scores(data: AnnData, held_out: dict[str, tuple[str, ...]]) -> np.ndarray:
    """Return the mean of each list's held-out genes in ``data.X``, (cells, lists)."""
    names = list(data.var_names)
    columns = [[names.index(gene) for gene in genes] for genes in held_out.values()]
    means = [np.asarray(data.X[:, one].mean(axis=1)).ravel() for one in columns]
    return np.column_stack(means)


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", dtype=str, index_col=0)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as tab-separated: {error}.") from None


def _read_bed(path: Path) -> list[tuple[str, str, int, int]]:
    """Return name, chromosome, start and end of each region."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from None
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        parts = line.split("\t")
        if len(parts) < 3 or not (parts[1].isdigit() and parts[2].isdigit()):
            raise DataError(
                f"{path}: line {number}: expected chromosome, start and end, tab-separated."
            )
        name = parts[3] if len(parts) > 3 and parts[3] else path.stem
        found.append((name, ucsc_chromosome(parts[0]), int(parts[1]), int(parts[2])))
    if not found:
        raise DataError(f"{path}: no region in it.")
    return found


def _placed(peaks: Sequence[str], path: Path) -> list[tuple[str, int, int]]:
    found = []
    for peak in peaks:
        interval = parse_interval(peak)
        if interval is None:
            raise DataError(
                f"{path}: feature '{peak}' is no interval; expected names such as chr1:100-200."
            )
        found.append(interval)
    return found
