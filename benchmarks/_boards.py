"""Tables of methods beside a baseline, with intervals over datasets and tests over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from scipy.stats import ttest_1samp, ttest_ind

from bench.reports.page.markdown import markdown_table
from bench.reports.tables.eligible import told_text
from bench.reports.tables.statistics import Interval, t_interval

ARI, LEIDEN = "kmeans/ari", "leiden/ari"
CONTROLS = ("random", "truth", "marker_sum", "pca_markers", "detection_rate")
CORRECTIONS = ("pca_harmony", "combat", "scanorama")
"""Corrections of principal components, on data without batches those components or similar."""
SAME_CELLS = ("forebrain_half_allpeaks",)
"""Datasets with the cells of another one: beside it they are not a value of their own."""


def markdown_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as Markdown."""
    return markdown_table(pd.DataFrame(rows)) if rows else "None."


def distinct(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without datasets that have the cells of another one."""
    return rows[~rows["dataset"].isin(SAME_CELLS)]


def seed_means(rows: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the mean over seeds: methods × datasets."""
    return rows.pivot_table(index="method", columns="dataset", values=score, aggfunc="mean")


def leaderboards(rows: pd.DataFrame, baseline: str) -> list[str]:
    """Return a table for each set of datasets that methods share, the largest first."""
    rows = distinct(rows)
    means = seed_means(rows, ARI)
    if baseline not in means.index:
        return ["No run of the baseline."]
    shared: dict[tuple[str, ...], list[str]] = {}
    for method, row in means.loc[:, means.loc[baseline].notna()].iterrows():
        if method not in (*CONTROLS, *CORRECTIONS) and "[" not in str(method):
            shared.setdefault(tuple(row.dropna().index), []).append(str(method))
    parts = []
    for datasets in sorted(filter(None, shared), key=len, reverse=True):
        names = ", ".join(f"`{name}`" for name in datasets)
        methods = dict.fromkeys([baseline, *shared[datasets]])
        parts += [
            f"On {len(datasets)} sets ({names}):",
            method_board(rows, methods, baseline, datasets),
        ]
    return parts


def method_board(
    rows: pd.DataFrame, methods: Iterable[str], baseline: str, datasets: Sequence[str]
) -> str:
    """Return a table of methods that ran on the same datasets, the highest mean ARI first."""
    there = rows[rows["dataset"].isin(datasets)]
    boards = [_board_row(there, method, baseline, datasets) for method in methods]
    if not any(row["told"] for row in boards):
        boards = [{name: text for name, text in row.items() if name != "told"} for row in boards]
    return markdown_rows(sorted(boards, key=lambda row: -float(row["ARI"])))


def _board_row(
    rows: pd.DataFrame, method: str, baseline: str, datasets: Sequence[str]
) -> dict[str, str]:
    own, others = rows[rows["method"] == method], rows[rows["method"] == baseline]
    differences, better, worse, judged = [], 0, 0, 0
    for name in datasets:
        ours, theirs = (one.loc[one["dataset"] == name, ARI].dropna() for one in (own, others))
        differences.append(ours.mean() - theirs.mean())
        if len(ours) > 1 and len(theirs) > 1:
            judged += 1
            if _differ(ours, theirs):
                better, worse = better + (differences[-1] > 0), worse + (differences[-1] < 0)

    def mean(score: str) -> str:
        return number_text(own.groupby("dataset")[score].mean().mean())

    seconds = own.groupby("dataset")["seconds"].median().mean()
    is_baseline = method == baseline
    return {
        "method": f"`{method}`",
        "told": told_text(own["uses"]),
        "ARI": mean(ARI),
        f"minus {baseline}": "" if is_baseline else difference_text(t_interval(differences)),
        "better, worse": "" if is_baseline or not judged else f"{better}, {worse} of {judged}",
        "ARI, Leiden": mean(LEIDEN),
        "NMI": mean("kmeans/nmi"),
        "silhouette of types": mean("embedding/silhouette_types"),
        "seeds": str(int(own.groupby("dataset")["seed"].nunique().min())),
        "seconds": f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}",
    }


def _differ(ours: pd.Series, theirs: pd.Series) -> bool:
    """Return whether seeds do not explain a difference of means: Welch's test, 5 %."""
    fewer, more = sorted((ours, theirs), key=lambda scores: scores.nunique())
    if more.nunique() == 1:
        return bool(fewer.iloc[0] != more.iloc[0])
    if fewer.nunique() == 1:  # Welch's test with one variance of zero
        return bool(ttest_1samp(more, fewer.iloc[0]).pvalue < 0.05)
    return bool(ttest_ind(ours, theirs, equal_var=False).pvalue < 0.05)


def spread_text(value: float, spread: float) -> str:
    return number_text(value) + ("" if math.isnan(spread) else f" ± {spread:.3f}")


def number_text(value: float) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"


def difference_text(interval: Interval) -> str:
    if math.isnan(interval.half_width):
        return f"{interval.mean:+.3f}" if interval.n else ""
    return f"{interval.mean:+.3f} ± {interval.half_width:.3f}"
