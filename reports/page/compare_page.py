"""The comparison of two experiments as a page, as Markdown and as a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ..figures.drawing import Axis, Drawing, legend, line, mark, row_plot
from ..tables.compare import (
    COSTS,
    Comparison,
    Difference,
    change_sentences,
    comparison_warnings,
    interval_ends,
    signed_number,
)
from ..tables.eligible import CONTROL
from ..tables.labels import (
    DEFAULT_COLUMNS,
    MAIN_METRIC,
    is_own_clustering,
    label,
    number_text,
)
from .markdown import command_block, escape_markdown, markdown_table
from .page_table import CONTROLS, Cell, Column, PageTable, text_cell
from .report_page import render_page, write_atomically, write_text
from .score_tables import metric_definitions

VERDICTS = {"better": 2, "worse": 1, "changed": 0, "unclear": 4, "equal": 4, "one pair": 4}
"""Number of the style of each verdict's mark."""


def write_comparison(
    comparison: Comparison,
    folder: Path,
    *,
    metric: str = MAIN_METRIC,
    command: str,
    provenance: dict[str, str],
) -> Path:
    """Write ``compare.html``, ``compare.md`` and ``differences.csv``; returns the page's path.

    Raises ``OSError`` if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = difference_table(comparison)
    write_atomically(folder / "differences.csv", lambda path: table.to_csv(path, index=False))
    text = comparison_markdown(comparison, metric=metric, command=command)
    write_text(folder / "compare.md", text)
    drawings = difference_drawings(comparison, metric)
    page = render_page(
        "compare.html.j2",
        title=f"{comparison.b} against {comparison.a}",
        counts=f"{comparison.n_pairs} pairs of jobs",
        comparison=comparison,
        sentences=change_sentences(comparison, metric),
        warnings=comparison_warnings(comparison),
        differences=comparison_table(comparison, metric),
        drawings=drawings,
        main=label(metric),
        definitions=metric_definitions(table.pivot_table("b", ["method", "dataset"], "metric")),
        command=command,
        provenance=provenance,
    )
    return write_text(folder / "compare.html", page)


def _difference_records(comparison: Comparison) -> list[dict[str, Any]]:
    return [asdict(row) | {"verdict": row.verdict} for row in comparison.differences]


def difference_table(comparison: Comparison) -> pd.DataFrame:
    """Return one row per method, dataset, protocol and metric, with the verdict."""
    columns = [*Difference.__dataclass_fields__, "verdict"]
    return pd.DataFrame(_difference_records(comparison), columns=columns)


def _score_metrics(comparison: Comparison, metric: str) -> list[str]:
    """Return the metrics of scores: ``metric``, the default columns, then the others."""
    keys = dict.fromkeys(row.metric for row in comparison.differences)
    others = [key for key in keys if "/" in key and key != metric]
    others.sort(key=lambda key: (key not in DEFAULT_COLUMNS, is_own_clustering(key)))
    return [metric, *others]


def comparison_table(comparison: Comparison, metric: str) -> PageTable:
    """Return one row per method and dataset: one metric in full, differences of the others."""
    others = _score_metrics(comparison, metric)[1:]
    name = label(metric)
    columns = [
        Column("method", number=False),
        Column("dataset", number=False),
        Column("pairs", tip="jobs of equal seed"),
        Column(f"{name}, A"),
        Column(f"{name}, B"),
        Column("difference", tip="B minus A"),
        Column("95 % interval", number=False, tip="bootstrap over the pairs"),
        Column("verdict", number=False, tip="unclear: the interval contains zero"),
        *(Column(f"{label(key)}, B / A", tip="means over the pairs") for key in COSTS),
        *(Column(f"{label(key)}, B − A", extra=key not in DEFAULT_COLUMNS) for key in others),
    ]
    groups: dict[tuple[str, str, str], dict[str, Difference]] = {}
    for row in comparison.differences:
        groups.setdefault((row.dataset, row.method, row.protocol), {})[row.metric] = row
    table = PageTable(columns)
    for by_metric in groups.values():
        first = next(iter(by_metric.values()))
        cells = [text_cell(first.method), text_cell(first.dataset)]
        cells += _metric_cells(by_metric.get(metric))
        cells += [_ratio_cell(by_metric.get(key)) for key in COSTS]
        cells += [_difference_cell(by_metric.get(key)) for key in others]
        table.add(cells, CONTROLS if first.family == CONTROL else "")
    return table


def _metric_cells(row: Difference | None) -> list[Cell]:
    if row is None:
        return [Cell("–") for _ in range(6)]
    return [
        text_cell(str(row.n)),
        Cell(f"{row.a:.3f}", repr(row.a)),
        Cell(f"{row.b:.3f}", repr(row.b)),
        Cell(signed_number(row.difference), repr(row.difference)),
        Cell(interval_ends(row)),
        text_cell(row.verdict),
    ]


def _ratio_cell(row: Difference | None) -> Cell:
    """Return the cost of B as a multiple of that of A."""
    if row is None or row.a <= 0:
        return Cell("–")
    ratio = row.b / row.a
    tip = f"{number_text(row.a, 1)} → {number_text(row.b, 1)}"
    return Cell(f"{ratio:.2f}", repr(ratio), tip)


def _difference_cell(row: Difference | None) -> Cell:
    if row is None:
        return Cell("–")
    tip = f"{row.a:.3f} → {row.b:.3f}, {row.verdict}"
    return Cell(signed_number(row.difference), repr(row.difference), tip)


def comparison_markdown(comparison: Comparison, *, metric: str = MAIN_METRIC, command: str) -> str:
    """Return the comparison as Markdown, for an issue or a pull request."""
    a, b = escape_markdown(comparison.a), escape_markdown(comparison.b)
    lines = [f"# {b} against {a}", ""]
    lines += [f"{comparison.n_pairs} pairs of jobs; differences are B − A.", ""]
    lines += [f"- A: {a}", f"- B: {b}"]
    lines += [f"- **Note:** {escape_markdown(text)}" for text in comparison_warnings(comparison)]
    lines += [f"- {escape_markdown(text)}" for text in change_sentences(comparison, metric)]
    if comparison.differences:
        table = comparison_table(comparison, metric)
        columns = [i for i, column in enumerate(table.columns) if not column.extra]
        rows = [[row[i].text for i in columns] for row in table.all_rows]
        heads = [table.columns[i].text for i in columns]
        lines += ["", "## Differences", "", markdown_table(pd.DataFrame(rows, columns=heads))]
    if comparison.unpaired:
        unpaired = pd.DataFrame(unpaired_records(comparison))
        lines += ["", "## Not paired", "", markdown_table(unpaired)]
    if comparison.conditions:
        conditions = pd.DataFrame([asdict(row) for row in comparison.conditions])
        conditions.columns = ["differs", "A", "B"]
        lines += ["", "## Other conditions", "", markdown_table(conditions)]
    return "\n".join([*lines, "", *command_block(command)]) + "\n"


def unpaired_records(comparison: Comparison) -> list[dict[str, str]]:
    """Return the jobs without a partner as rows of text."""
    return [
        {"methods": ", ".join(row.methods), "dataset": row.dataset}
        | {"seeds": ", ".join(map(str, row.seeds)) or "–", "reason": row.reason}
        for row in comparison.unpaired
    ]


def difference_drawings(comparison: Comparison, metric: str) -> list[Drawing]:
    """Return the differences with their intervals, to choose metric and dataset."""
    metrics = [
        key for key in _score_metrics(comparison, metric) if key in {metric, *DEFAULT_COLUMNS}
    ]
    datasets = list(dict.fromkeys(row.dataset for row in comparison.differences_in(metric)))
    figures = {}
    for i, key in enumerate(metrics):
        rows = [row for row in comparison.differences_in(key) if row.family != CONTROL]
        for j, dataset in enumerate(datasets):
            own = [row for row in rows if row.dataset == dataset]
            if own:
                figures[f"{i},{j}"] = _figure(own, key)
    if not figures:
        return []
    selectors = [("metric", [label(key) for key in metrics]), ("dataset", datasets)]
    return [Drawing(
        "differences", "Differences with their intervals",
        f"Dot plot of the difference in {label(metric)}, B minus A, one row a method. The table "
        "holds the same numbers.", figures, selectors,
        note="Points are means over the pairs, bars are bootstrap intervals. At zero, A and B "
        "are equal.",
    )]  # fmt: skip


def _figure(rows: list[Difference], metric: str) -> str:
    rows = sorted(rows, key=lambda row: -row.difference)
    axis = Axis.around(
        [0.0, *(end for row in rows for end in (row.low, row.high, row.difference))],
        f"difference in {label(metric)}, B − A",
    )
    zero = axis.place(0)
    verdicts = [name for name in VERDICTS if any(row.verdict == name for row in rows)]
    lines = []
    for row in rows:
        text = f"{row.method}: {row.difference:+.4f}, {row.verdict}; "
        text += f"{row.a:.4f} → {row.b:.4f}, {row.n} pairs"
        marks = line(zero, 0, zero, 100, "zero")
        if not math.isnan(row.low):
            marks += line(axis.place(row.low), 50, axis.place(row.high), 50, "interval")
        marks += mark(axis.place(row.difference), 50, text, VERDICTS[row.verdict])
        lines.append((row.method, marks))
    keys = [(VERDICTS[name], name) for name in verdicts]
    alt = f"Difference in {label(metric)}, B minus A, of {len(rows)} methods with their intervals"
    return legend(keys) + row_plot(axis, lines, alt)


def comparison_json(comparison: Comparison, page: Path) -> dict[str, Any]:
    """Return everything for programs; missing numbers are ``None``."""
    differences = _difference_records(comparison)
    for row in differences:
        row |= {k: None for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)}
    return {
        "a": comparison.a,
        "b": comparison.b,
        "pairs": comparison.n_pairs,
        "differences": differences,
        "unpaired": [asdict(row) for row in comparison.unpaired],
        "conditions": [asdict(row) for row in comparison.conditions],
        "page": str(page),
    }
