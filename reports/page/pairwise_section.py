"""Differences between every two methods, on each dataset and over all datasets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import combinations

import pandas as pd

from ..figures.drawing import tip
from ..figures.rank_diagram import rank_groups
from ..tables.claims import Standing, over_datasets, within_datasets
from ..tables.eligible import told_groups
from ..tables.labels import MAIN_METRIC, higher_is_better, label
from ..tables.leaderboard import tidy
from .page_table import Cell, Column, PageTable, text_cell

ALL = "all datasets"
_COLUMNS = (
    "dataset", "method", "compared_with", "difference", "low", "high", "reliable", "reason",
)  # fmt: skip


def pairwise_differences(results: pd.DataFrame, metric: str = MAIN_METRIC) -> pd.DataFrame:
    """Return one row for each two competing methods, by dataset and over those of a modality.

    Both methods of a pair were told the same about the types. ``difference`` is the mean of
    ``method`` minus that of ``compared_with``; the better method comes first. ``low`` and
    ``high`` end an interval that holds for all pairs of the report at once
    (:mod:`bench.reports.tables.claims`). A difference is ``reliable`` if the interval leaves out
    zero. Without an interval its ends are NaN and ``reason`` explains it.
    """
    table = tidy(results)
    if metric not in table or higher_is_better(metric, table) is None:
        return pd.DataFrame(columns=list(_COLUMNS))
    rows = [
        row
        for told in told_groups(table)
        for dataset, standing in within_datasets(table, metric, told).items()
        for row in _standing_rows(dataset, standing, "one seed")
    ]
    groups = rank_groups(table, metric)
    n_modalities = len({group.modality for group in groups})
    for group in groups:
        n_datasets = group.block.shape[1]
        if n_datasets > 1:
            standing = over_datasets(
                group.rows, group.block, metric, told=group.told, n_modalities=n_modalities
            )
            name = f"{ALL} ({group.modality})" if n_modalities > 1 else ALL
            rows += _standing_rows(name, standing, f"{n_datasets} datasets are too few")
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _standing_rows(dataset: str, standing: Standing, no_interval: str) -> list[dict[str, object]]:
    """Return the rows of one standing; ``no_interval`` is the reason of a missing interval."""
    rows: list[dict[str, object]] = []
    for first, second in combinations(standing.order, 2):
        difference = standing.means[first] - standing.means[second]
        half, reason = math.nan, no_interval
        failed = [name for name in (first, second) if name in standing.failed]
        if failed:
            reason = f"failed seeds: {', '.join(failed)}"
        elif standing.comparisons is not None:
            half = standing.comparisons.interval(first, second)[1]
            reason = no_interval if math.isnan(half) else ""
        rows.append({
            "dataset": dataset, "method": first, "compared_with": second,
            "difference": difference, "low": difference - half, "high": difference + half,
            "reliable": standing.beats(first, second) or standing.beats(second, first),
            "reason": reason,
        })  # fmt: skip
    return rows


@dataclass(frozen=True)
class PairSection:
    """The pairs of methods by dataset, as a picture and as a table."""

    names: list[str]
    """Datasets, all datasets first."""
    matrices: dict[str, str]
    """Number of a dataset → HTML."""
    tables: dict[str, PageTable]


def pair_section(results: pd.DataFrame, metric: str = MAIN_METRIC) -> PairSection | None:
    """Return the pairs by dataset; ``None`` without pairs."""
    pairs = pairwise_differences(results, metric)
    names = sorted(pairs["dataset"].unique(), key=lambda name: not name.startswith(ALL))
    if not names:
        return None
    by_name = {str(i): pairs[pairs["dataset"] == name] for i, name in enumerate(names)}
    return PairSection(
        names,
        {key: _matrix(rows, metric) for key, rows in by_name.items()},
        {key: _page_table(rows, metric) for key, rows in by_name.items()},
    )


def _matrix(rows: pd.DataFrame, metric: str) -> str:
    """Return the methods by the methods: row minus column, marked where it is reliable."""
    pairs = zip(rows["method"], rows["compared_with"], strict=True)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    cells: dict[tuple[str, str], str] = {}
    for pair in rows.to_dict("records"):
        better, worse, low, high = (pair[k] for k in ("method", "compared_with", "low", "high"))
        for sign, first, second in ((1, better, worse), (-1, worse, better)):
            difference = sign * pair["difference"]
            ends = sorted((sign * low, sign * high))
            interval = "" if math.isnan(low) else f", {ends[0]:+.3f} to {ends[1]:+.3f}"
            kind = "plus" if difference > 0 else "minus"
            kind += " reliable" * pair["reliable"]
            share = 45 if pair["reliable"] else min(round(100 * abs(difference)), 18)
            reason = pair["reason"] or ("reliable" if pair["reliable"] else "not reliable")
            about = f"{first} minus {second}: {difference:+.3f}{interval}; {reason}"
            text = f"{difference:+.2f}".replace("0.", ".").replace("-", "−")
            cells[first, second] = (
                f'<td class="{kind}" style="--share:{share}%"{tip(about)}>{text}</td>'
            )
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(cells.get((name, other), "<td>·</td>" if name == other else "<td></td>")
                  for other in names) + "</tr>"
        for name in names
    )  # fmt: skip
    caption = f"Difference in {label(metric)}: method of the row minus method of the column"
    return (
        f'<table class="matrix"><caption>{caption}</caption><thead><tr><td></td>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def _page_table(rows: pd.DataFrame, metric: str) -> PageTable:
    table = PageTable([
        Column("method", number=False),
        Column("compared with", number=False),
        Column(f"difference in {label(metric)}", tip="method minus the one it is compared with"),
        Column("interval", number=False, tip="holds for all pairs of the report at once"),
        Column("reliable", number=False, tip="yes: the interval leaves out zero"),
    ])  # fmt: skip
    for row in rows.to_dict("records"):
        low, high, difference, reason = (row[k] for k in ("low", "high", "difference", "reason"))
        interval, reliable = Cell("–", tip=reason), text_cell("–", reason)
        if not math.isnan(low):
            interval = Cell(f"{low:+.3f} to {high:+.3f}", repr(low))
            reliable = text_cell("yes" if row["reliable"] else "no")
        table.rows.append([
            text_cell(row["method"]),
            text_cell(row["compared_with"]),
            Cell(f"{difference:+.3f}", repr(float(difference))),
            interval,
            reliable,
        ])  # fmt: skip
    return table
