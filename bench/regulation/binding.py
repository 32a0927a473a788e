"""Do links rank the peaks that a transcription factor binds? Peaks of ChIP in BED files.

Peaks meet intervals by coordinates. Regions that are open in many cells are bound more often, and
more often linked, so the areas of the links stand beside those of accessibility alone and of the
same weights dealt out anew among the peaks of each chromosome.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bench.contract import ucsc_chromosome
from bench.errors import DataError, UsageError
from bench.scoring.metrics._ranking import areas, precisions

PERMUTATIONS = 20
SHIFT = 1_000_000
"""Base pairs by which intervals are moved to see how many peaks they would meet by chance."""
_NARROW_FIELDS, _SIGNAL, _SCORE = 9, 6, 4
"""Fields of a broadPeak or narrowPeak file, at least; their ``signalValue``; a BED's ``score``."""
_ENDING = re.compile(r"(\.(bed|narrowpeak|broadpeak|txt|gz))+$", re.IGNORECASE)


@dataclass(frozen=True)
class Intervals:
    """Intervals of one factor."""

    factor: str
    """Name of the file without its ending."""
    where: str
    table: pd.DataFrame
    """``chrom``, ``start``, ``end`` (0-based, half-open) and ``signal``, NaN where unknown."""

    def moved(self, by: int) -> Intervals:
        """Return the intervals ``by`` base pairs further on."""
        table = self.table.assign(start=self.table["start"] + by, end=self.table["end"] + by)
        return Intervals(self.factor, self.where, table)


def read_binding(path: Path) -> Intervals:
    """Return the intervals of a BED, narrowPeak or broadPeak file, plain or gzip.

    The signal is ``signalValue`` of files with at least 9 fields, else the score (field 5), where
    these are numbers. Raises ``UsageError`` and ``DataError`` with one line.
    """
    if not path.is_file():
        raise UsageError(f"--binding {path}: no such file.")
    rows = []
    try:
        opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip() and not line.startswith(("#", "track", "browser")):
                    rows.append(_row(line.rstrip("\n").split("\t"), f"{path}: line {number}"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}).") from None
    if not rows:
        raise DataError(f"{path}: no interval in it; expected BED: chromosome, start, end (tabs).")
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "signal"])
    return Intervals(_ENDING.sub("", path.name), str(path), table)


def _row(fields: list[str], where: str) -> tuple[str, int, int, float]:
    if len(fields) < 3 or not (fields[1].isdigit() and fields[2].isdigit()):
        raise DataError(
            f"{where}: expected chromosome, start and end (BED, tabs), found "
            f"'{' '.join(fields[:3])}'."
        )
    start, end = int(fields[1]), int(fields[2])
    if start >= end:
        raise DataError(f"{where}: the interval {start}-{end} is empty; expected start < end.")
    field = _SIGNAL if len(fields) >= _NARROW_FIELDS else _SCORE
    try:
        signal = float(fields[field])
    except (IndexError, ValueError):
        signal = float("nan")
    return ucsc_chromosome(fields[0]), start, end, signal


def overlapping(peaks: pd.DataFrame, intervals: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return which peaks share a base with any interval, and the largest signal of those.

    Both tables have ``chrom``, ``start``, ``end`` (half-open). The signal is NaN where no interval
    with a signal overlaps.
    """
    bound, signal = np.zeros(len(peaks), dtype=bool), np.full(len(peaks), -np.inf)
    groups = {chrom: rows for chrom, rows in intervals.groupby("chrom")}
    places = peaks["chrom"].to_numpy()
    for chrom in np.unique(places.astype(str)):
        if chrom not in groups:
            continue
        here = np.flatnonzero(places == chrom)
        rows = groups[chrom].sort_values("start", kind="stable")
        start, end = rows["start"].to_numpy(), rows["end"].to_numpy()
        low = peaks["start"].to_numpy()[here]
        high = peaks["end"].to_numpy()[here]
        # An interval that starts further to the left than the longest is long cannot reach.
        first = np.searchsorted(start, low - (end - start).max(), side="left")
        number = np.searchsorted(start, high, side="left") - first
        peak = np.repeat(np.arange(len(here)), number)
        offset = np.arange(len(peak)) - np.repeat(np.cumsum(number) - number, number)
        one = np.repeat(first, number) + offset
        meets = end[one] > low[peak]
        bound[here[peak[meets]]] = True
        values = rows["signal"].to_numpy()[one[meets]]
        known = ~np.isnan(values)
        np.maximum.at(signal, here[peak[meets]][known], values[known])
    return bound, np.where(np.isneginf(signal), np.nan, signal)


def check_genome(peaks: pd.DataFrame, intervals: Intervals, bound: np.ndarray) -> str:
    """Return a warning if intervals meet the peaks hardly more often than by chance, else ``""``.

    Raises ``DataError`` if none meets a peak, or all do.
    """
    mine, theirs = set(peaks["chrom"]) - {""}, set(intervals.table["chrom"])
    if not mine & theirs:
        raise DataError(
            f"{intervals.where}: none of its chromosomes ({_some(theirs)}) has a peak (peaks: "
            f"{_some(mine)}); give binding of the same genome."
        )
    if not bound.any():
        raise DataError(
            f"{intervals.where}: none of {len(intervals.table)} intervals overlaps any of "
            f"{len(peaks)} peaks; give binding of the same genome assembly."
        )
    if bound.all():
        raise DataError(
            f"{intervals.where}: all {len(peaks)} peaks are bound; there is nothing to rank."
        )
    chance = int(overlapping(peaks, intervals.moved(SHIFT).table)[0].sum())
    if bound.sum() <= 1.5 * chance:
        return (
            f"{intervals.where}: {bound.sum()} peaks are bound, {chance} after moving the "
            "intervals by 1 Mb: is it the same genome assembly?"
        )
    return ""


def permuted(values: np.ndarray, chrom: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one value a peak dealt out anew among the peaks of each chromosome."""
    out = np.empty_like(values)
    for name in np.unique(chrom.astype(str)):
        here = np.flatnonzero(chrom == name)
        out[here] = values[rng.permutation(here)]
    return out


def bound_scores(
    bound: np.ndarray,
    signal: np.ndarray,
    weight: np.ndarray,
    accessibility: np.ndarray,
    chrom: np.ndarray,
    seed: int,
) -> dict[str, float]:
    """Return how well the summed weight of each peak ranks bound peaks, beside two controls.

    All arrays are (peaks,). ``auroc`` and ``auprc`` of the weight, of ``accessibility`` alone and
    of the weight permuted within chromosomes (mean of 20); ``base_rate`` is the AUPRC of chance.
    ``signal_correlation``: Spearman's of weight and signal among bound peaks, NaN if unknown.
    """
    rng = np.random.default_rng(seed)
    shuffled = [permuted(weight, chrom, rng) for _ in range(PERMUTATIONS)]
    scores = np.stack([weight, accessibility, *shuffled])
    truth = np.broadcast_to(bound, scores.shape)
    found: dict[str, float] = {}
    for name, values in (("auroc", areas(truth, scores)), ("auprc", precisions(truth, scores))):
        found[name] = float(values[0])
        found[f"{name}_accessibility"] = float(values[1])
        found[f"{name}_permuted"] = float(values[2:].mean())
    found["base_rate"] = float(bound.mean())
    known = bound & ~np.isnan(signal)
    varies = known.sum() > 2 and np.ptp(signal[known]) > 0 and np.ptp(weight[known]) > 0
    rho = spearmanr(weight[known], signal[known]).statistic if varies else float("nan")
    found["signal_correlation"] = float(rho)
    return found


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
