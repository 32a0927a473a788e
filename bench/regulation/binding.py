"""Peaks bound by a transcription factor (ChIP, in BED files), and their ranking by links.

Peaks that are open in many cells are bound and linked more often. Scores of links are therefore
compared with scores of accessibility alone, and of link weights permuted within each chromosome.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bench.contract import ucsc_chromosome
from bench.errors import DataError, UsageError
from bench.messages import quote_names
from bench.scoring.metrics._ranking import average_precisions, roc_areas

PERMUTATIONS = 20
TOP_PEAKS = 10_000
"""Largest number of top peaks compared, as in the published comparison."""
SHIFT = 1_000_000
"""Base pairs by which intervals are shifted to count chance overlaps."""
_NARROW_FIELDS, _SIGNAL, _SCORE = 9, 6, 4
"""Fewest fields of narrowPeak and broadPeak; index of ``signalValue``, of the ``score`` of BED."""
_SUFFIXES = re.compile(r"(\.(bed|narrowpeak|broadpeak|txt|gz))+$", re.IGNORECASE)


@dataclass(frozen=True)
class BindingIntervals:
    """Binding intervals of one transcription factor."""

    factor: str
    """File name without its suffixes."""
    path: str
    table: pd.DataFrame
    """``chrom``, ``start``, ``end`` (0-based, half-open) and ``signal`` (NaN: unknown)."""


def read_binding(path: Path) -> BindingIntervals:
    """Read the intervals of a BED, narrowPeak or broadPeak file, plain or gzipped.

    The signal is ``signalValue`` (field 7) in files with at least 9 fields, else the score (field
    5).
    """
    if not path.is_file():
        raise UsageError(f"--binding {path}: no such file.", code="missing_file")
    try:
        rows = list(_read_rows(path))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}).", code="unreadable") from None
    if not rows:
        raise DataError(
            f"{path}: no interval in it; expected BED: chromosome, start, end (tabs).",
            code="empty_file",
        )
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "signal"])
    return BindingIntervals(_SUFFIXES.sub("", path.name), str(path), table)


def _read_rows(path: Path) -> Iterator[tuple[str, int, int, float]]:
    open_text: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with open_text(path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip() and not line.startswith(("#", "track", "browser")):
                yield _parse_row(line.rstrip("\n").split("\t"), f"{path}: line {number}")


def _parse_row(fields: list[str], where: str) -> tuple[str, int, int, float]:
    if len(fields) < 3 or not (fields[1].isdigit() and fields[2].isdigit()):
        raise DataError(
            f"{where}: expected chromosome, start and end (BED, tabs), found "
            f"'{' '.join(fields[:3])}'.",
            code="not_bed",
        )
    start, end = int(fields[1]), int(fields[2])
    if start >= end:
        raise DataError(
            f"{where}: the interval {start}-{end} is empty; expected start < end.",
            code="empty_interval",
        )
    field = _SIGNAL if len(fields) >= _NARROW_FIELDS else _SCORE
    try:
        signal = float(fields[field])
    except (IndexError, ValueError):
        signal = float("nan")
    return ucsc_chromosome(fields[0]), start, end, signal


def find_bound_peaks(
    peaks: pd.DataFrame, intervals: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each peak overlaps an interval, and the largest signal of these intervals.

    Both tables have ``chrom``, ``start``, ``end`` (half-open). The signal is NaN if no interval
    with a signal overlaps.
    """
    bound, signal = np.zeros(len(peaks), dtype=bool), np.full(len(peaks), -np.inf)
    chrom = peaks["chrom"].to_numpy()
    for name, rows in intervals.groupby("chrom"):
        rows = rows.sort_values("start", kind="stable")
        start, end = rows["start"].to_numpy(), rows["end"].to_numpy()
        on_chrom = np.flatnonzero(chrom == name)
        low = peaks["start"].to_numpy()[on_chrom]
        high = peaks["end"].to_numpy()[on_chrom]
        # An interval that starts before ``low`` by more than the longest length cannot overlap.
        first = np.searchsorted(start, low - (end - start).max(), side="left")
        number = np.searchsorted(start, high, side="left") - first
        peak = np.repeat(np.arange(len(on_chrom)), number)
        offset = np.arange(len(peak)) - np.repeat(np.cumsum(number) - number, number)
        interval = np.repeat(first, number) + offset
        overlap = end[interval] > low[peak]
        peak, values = on_chrom[peak[overlap]], rows["signal"].to_numpy()[interval[overlap]]
        bound[peak] = True
        measured = ~np.isnan(values)
        np.maximum.at(signal, peak[measured], values[measured])
    return bound, np.where(np.isneginf(signal), np.nan, signal)


def check_genome(peaks: pd.DataFrame, intervals: BindingIntervals, bound: np.ndarray) -> str:
    """Return a warning if at most 1.5 times as many peaks are bound as by chance, else ``""``.

    Chance is the number for intervals shifted by ``SHIFT``. Raises ``DataError`` if no or all
    peaks are bound.
    """
    peak_chroms, chroms = set(peaks["chrom"]) - {""}, set(intervals.table["chrom"])
    if not peak_chroms & chroms:
        raise DataError(
            f"{intervals.path}: none of its chromosomes ({quote_names(sorted(chroms))}) has a "
            f"peak (peaks: {quote_names(sorted(peak_chroms))}); give binding of the same genome.",
            code="other_genome",
        )
    if not bound.any():
        raise DataError(
            f"{intervals.path}: none of {len(intervals.table)} intervals overlaps any of "
            f"{len(peaks)} peaks; give binding of the same genome assembly.",
            code="no_bound_peaks",
        )
    if bound.all():
        raise DataError(
            f"{intervals.path}: all {len(peaks)} peaks are bound; there is nothing to rank.",
            code="all_peaks_bound",
        )
    table = intervals.table
    shifted = table.assign(start=table["start"] + SHIFT, end=table["end"] + SHIFT)
    chance = int(find_bound_peaks(peaks, shifted)[0].sum())
    if bound.sum() <= 1.5 * chance:
        return (
            f"{intervals.path}: {bound.sum()} peaks are bound, and {chance} with the intervals "
            "shifted by 1 Mb: is it the same genome assembly?"
        )
    return ""


def permute_within_chromosomes(
    values: np.ndarray, chrom: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Permute peak values within each chromosome."""
    out = np.empty_like(values)
    for name in np.unique(chrom.astype(str)):
        peaks = np.flatnonzero(chrom == name)
        out[peaks] = values[rng.permutation(peaks)]
    return out


def score_bound_peaks(
    bound: np.ndarray,
    signal: np.ndarray,
    weight: np.ndarray,
    accessibility: np.ndarray,
    chrom: np.ndarray,
    seed: int,
    top: int = TOP_PEAKS,
) -> dict[str, float]:
    """Score the ranking of bound peaks by summed link weights, with two controls.

    All arrays have shape (n_peaks,). Scores are ``auroc``, ``auprc``, and the agreement with the
    signal, ``cosine``, ``pearson`` and ``jaccard`` of the ``top`` peaks (see
    :func:`signal_agreement`): each for the weight, for ``accessibility`` alone and for the weight
    permuted within chromosomes (mean of 20). ``base_rate`` is the AUPRC of chance.
    ``signal_correlation`` is Spearman's correlation of weight and signal among bound peaks, NaN if
    undefined.
    """
    rng = np.random.default_rng(seed)
    permuted = [permute_within_chromosomes(weight, chrom, rng) for _ in range(PERMUTATIONS)]
    ranked = np.stack([weight, accessibility, *permuted])
    truth = np.broadcast_to(bound, ranked.shape)
    scores: dict[str, float] = {}
    for name, values in (
        ("auroc", roc_areas(truth, ranked)),
        ("auprc", average_precisions(truth, ranked)),
    ):
        scores[name] = float(values[0])
        scores[f"{name}_accessibility"] = float(values[1])
        scores[f"{name}_permuted"] = float(values[2:].mean())
    height = signal_heights(bound, signal)
    agreement = [signal_agreement(values, height, top) for values in ranked]
    for name in agreement[0]:
        scores[name] = agreement[0][name]
        scores[f"{name}_accessibility"] = agreement[1][name]
        scores[f"{name}_permuted"] = float(np.mean([one[name] for one in agreement[2:]]))
    scores["base_rate"] = float(bound.mean())
    measured = bound & ~np.isnan(signal)
    varies = measured.sum() > 2 and np.ptp(signal[measured]) > 0 and np.ptp(weight[measured]) > 0
    rho = spearmanr(weight[measured], signal[measured]).statistic if varies else float("nan")
    scores["signal_correlation"] = float(rho)
    return scores


def signal_heights(bound: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Return the signal of bound peaks, or 1 if none is measured; 0 for all other peaks."""
    measured = ~np.isnan(signal)
    if not (bound & measured).any():
        return bound.astype(np.float64)
    return np.where(bound & measured, signal, 0.0)


def signal_agreement(weight: np.ndarray, height: np.ndarray, top: int) -> dict[str, float]:
    """Return cosine, Pearson correlation and Jaccard index of weights and signals of peaks.

    ``jaccard``: number of peaks among the ``top`` largest of both / of either; peaks with 0 are in
    neither. Values are NaN if weights or signals are all 0 or, for Pearson, constant.
    """
    size = float(np.linalg.norm(weight) * np.linalg.norm(height))
    varies = np.ptp(weight) > 0 and np.ptp(height) > 0
    first, second = (_largest(values, top) for values in (weight, height))
    none = not (first.any() and second.any())
    shared = float((first & second).sum()) / max(1, (first | second).sum())
    return {
        "cosine": float(weight @ height) / size if size else float("nan"),
        "pearson": float(np.corrcoef(weight, height)[0, 1]) if varies else float("nan"),
        "jaccard": float("nan") if none else shared,
    }


def _largest(values: np.ndarray, top: int) -> np.ndarray:
    """Return a mask of the ``top`` largest values above 0, the first ones among ties."""
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argsort(-values, kind="stable")[:top]] = True
    return chosen & (values > 0)
