"""Every two methods compared: paired by seed on one dataset, by dataset over all of them."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, rankdata, ttest_1samp, wilcoxon
from statsmodels.stats.multitest import multipletests

from ..tables.eligible import competing_by_dataset
from ..tables.labels import MAIN, higher_is_better, label
from ..tables.leaderboard import complete_block, tidy
from ..tables.statistics import LEVEL, WILCOXON_PAIRS
from .score_grid import Cell, Choice, Column, Grid

ALL = "all datasets"
RESAMPLES = 999
_T_SEEDS = 3
_COLUMNS = (
    "on", "method", "against", "difference", "low", "high", "effect", "pairs", "p", "p_holm",
    "why",
)  # fmt: skip


def pairs(results: pd.DataFrame, metric: str = MAIN) -> pd.DataFrame:
    """Return one row for each two competing methods, on each dataset and on all of a modality.

    ``difference`` is the mean of method − against; ``low`` and ``high`` end its 95 % percentile
    bootstrap interval over seeds, which are resampled in pairs within each dataset. ``p`` is that
    of a paired t-test over seeds on one dataset and of Wilcoxon's signed-rank test over datasets
    on all; ``p_holm`` is adjusted over all pairs of the same ``on`` (Holm 1979). ``effect`` is the
    matched-pairs rank-biserial correlation (Kerby 2014): 1 if the method is better in every pair,
    −1 if worse. What cannot be computed is NaN and ``why`` says the reason.
    """
    table = tidy(results)
    better = higher_is_better(metric, table)
    if metric not in table or better is None:
        return pd.DataFrame(columns=list(_COLUMNS))
    sign = 1 if better else -1
    valued = table[table[metric].notna()]
    compared = competing_by_dataset(table)
    compared = compared[compared[metric].notna()]
    parts = []
    for dataset, rows in compared.groupby("dataset", sort=False):
        seeds = rows.pivot_table(metric, "method", "seed", "mean")
        parts.append(_compare({str(dataset): seeds}, list(seeds.index), str(dataset), sign))
    modalities = [name for name in compared["modality"].unique() if name] or [""]
    for modality in modalities:
        own = table[table["modality"] == modality] if modality else table
        block = complete_block(own, metric)
        if block.shape[1] > 1:
            by_seed = {
                str(d): valued[valued["dataset"] == d].pivot_table(metric, "method", "seed")
                for d in block.columns
            }
            name = f"{ALL} ({modality})" if len(modalities) > 1 else ALL
            parts.append(_compare(by_seed, list(block.index), name, sign))
    found = [part for part in parts if len(part)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(_COLUMNS))


def _compare(
    by_seed: dict[str, pd.DataFrame], methods: list[str], on: str, sign: int
) -> pd.DataFrame:
    """Return the rows of one dataset or of several; tables are methods × seeds.

    ``sign`` is -1 where less is better.
    """
    means = {m: np.mean([table.loc[m].mean() for table in by_seed.values()]) for m in methods}
    ordered = sorted(methods, key=lambda method: -sign * means[method])
    found, rows = [], []
    for first, second in combinations(ordered, 2):
        deltas = [
            (table.loc[first] - table.loc[second]).dropna().to_numpy()
            for table in by_seed.values()
        ]
        found.append(deltas)
        rows.append({"on": on, "method": first, "against": second} | _row(deltas, sign))
    for row, (low, high) in zip(rows, _intervals(found), strict=True):
        row |= {"low": low, "high": high}
    frame = pd.DataFrame(rows, columns=[c for c in _COLUMNS if c != "p_holm"])
    frame["p_holm"] = _holm(frame["p"])
    return frame[list(_COLUMNS)]


def _row(deltas: list[np.ndarray], sign: int) -> dict[str, Any]:
    """Return difference, effect and p; one array of paired differences a dataset."""
    if any(len(one) == 0 for one in deltas):
        nothing = dict.fromkeys(("difference", "effect", "p"), math.nan)
        return nothing | {"pairs": 0, "why": "no seed in common"}
    means = np.array([one.mean() for one in deltas])
    paired = deltas[0] if len(deltas) == 1 else means
    p, why = _p_seeds(paired) if len(deltas) == 1 else _p_datasets(paired)
    return {
        "difference": float(means.mean()), "effect": sign * rank_biserial(paired),
        "pairs": len(paired), "p": p, "why": why,
    }  # fmt: skip


def _intervals(found: list[list[np.ndarray]]) -> list[tuple[float, float]]:
    """Return the ends of the interval of each pair of methods.

    NaN if a dataset has fewer than two pairs of seeds. Pairs with as many seeds are resampled
    together, which takes milliseconds instead of seconds.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, deltas in enumerate(found):
        alike.setdefault(tuple(len(one) for one in deltas), []).append(number)
    ends = [(math.nan, math.nan)] * len(found)
    for sizes, numbers in alike.items():
        if min(sizes) > 1:
            stacked = [np.array([found[n][d] for n in numbers]) for d in range(len(sizes))]
            for number, low, high in zip(numbers, *_bootstrap(stacked), strict=True):
                ends[number] = (float(low), float(high))
    return ends


def _bootstrap(stacked: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends for arrays of pairs × seeds, one a dataset."""
    found = bootstrap(
        stacked, lambda *parts, axis: np.mean([part.mean(axis=axis) for part in parts], axis=0),
        n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile", vectorized=True,
        axis=-1, rng=np.random.default_rng(0), batch=100,
    )  # fmt: skip
    return found.confidence_interval.low, found.confidence_interval.high


def rank_biserial(deltas: np.ndarray) -> float:
    """Return (ranks of positive − ranks of negative differences) / all; zeros share evenly."""
    ranks = rankdata(np.abs(deltas))
    return float((ranks * np.sign(deltas)).sum() / ranks.sum())


def _p_seeds(deltas: np.ndarray) -> tuple[float, str]:
    if len(deltas) < _T_SEEDS:
        return math.nan, f"fewer than {_T_SEEDS} seeds in common"
    if (deltas == deltas[0]).all():
        return math.nan, "all seeds differ alike"
    return float(ttest_1samp(deltas, 0).pvalue), ""


def _p_datasets(deltas: np.ndarray) -> tuple[float, str]:
    if len(deltas) < WILCOXON_PAIRS:
        why = f"{len(deltas)} datasets; with fewer than {WILCOXON_PAIRS} no p can be below 0.05"
        return math.nan, why
    if not deltas.any():
        return math.nan, "equal on every dataset"
    return float(wilcoxon(deltas).pvalue), ""


def _holm(p: pd.Series) -> pd.Series:
    """Return Holm's adjusted p; what has none counts for nothing."""
    adjusted = p.copy()
    known = p.notna()
    if known.any():
        adjusted[known] = multipletests(p[known], method="holm")[1]
    return adjusted


def choice(results: pd.DataFrame, metric: str = MAIN) -> Choice | None:
    """Return the pairs by dataset, those over all datasets first; ``None`` if there are none."""
    found = pairs(results, metric)
    names = sorted(found["on"].unique(), key=lambda name: not name.startswith(ALL))
    if not names:
        return None
    grids = {str(i): _grid(found[found["on"] == name], metric) for i, name in enumerate(names)}
    return Choice([("on", names)], grids)


def _grid(rows: pd.DataFrame, metric: str) -> Grid:
    overall = str(rows["on"].iloc[0]).startswith(ALL)
    test = "Wilcoxon signed-rank" if overall else "paired t"
    grid = Grid([
        Column("method", number=False),
        Column("against", number=False),
        Column(f"difference of {label(metric)}", tip="mean of method − against"),
        Column("95 % interval", number=False, tip="paired bootstrap over seeds"),
        Column("effect", tip="rank-biserial: 1 better in every pair, −1 worse in every pair"),
        Column("pairs", tip="datasets" if overall else "seeds"),
        Column("p", tip=f"{test} test"),
        Column("p (Holm)", tip="adjusted over all pairs of this table"),
    ])  # fmt: skip
    for row in rows.to_dict("records"):
        low, high = row["low"], row["high"]
        known = low == low
        grid.rows.append([
            Cell(row["method"], row["method"]),
            Cell(row["against"], row["against"]),
            _number(row["difference"], "+.3f"),
            Cell(f"{low:+.3f} to {high:+.3f}" if known else "–", repr(low) if known else ""),
            _number(row["effect"], "+.2f"),
            Cell(str(row["pairs"]), str(row["pairs"])),
            _number(row["p"], ".3g", row["why"]),
            _number(row["p_holm"], ".3g", row["why"]),
        ])  # fmt: skip
    return grid


def _number(value: float, form: str, why: str = "") -> Cell:
    if value != value:
        return Cell("–", "", why)
    return Cell(format(value, form), repr(float(value)))
