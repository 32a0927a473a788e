"""The comparison of two experiments as a page, as Markdown and as a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go

from ..figures.drawing import ROW, categories, lay_out, plain, variants
from ..tables.compare import COSTS, Comparison, Difference, cautions, sentences, signed
from ..tables.eligible import CONTROL
from ..tables.labels import FIRST, MAIN, is_own, label, number_text
from .markdown import escape_markdown, to_markdown
from .report_page import render, replace
from .score_grid import Cell, Column, Grid, definitions

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..figures.drawing import Drawing

COLOURS = {
    "better": "#009E73", "worse": "#D55E00", "changed": "#0072B2", "unclear": "#8a8a8a",
    "equal": "#8a8a8a", "one pair": "#8a8a8a",
}  # fmt: skip
_SYMBOLS = {"better": "triangle-right", "worse": "triangle-left", "equal": "circle-open"}


def write(
    found: Comparison,
    folder: Path,
    *,
    metric: str = MAIN,
    command: str,
    provenance: dict[str, str],
) -> Path:
    """Write ``compare.html``, ``compare.md`` and ``differences.csv``; returns the page's path.

    Raises ``OSError`` if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = as_table(found)
    replace(folder / "differences.csv", lambda path: table.to_csv(path, index=False))
    text = as_markdown(found, metric=metric, command=command)
    replace(folder / "compare.md", lambda path: path.write_text(text, encoding="utf-8"))
    drawn = drawing(found, metric)
    page = render(
        "compare.html.j2",
        figures=bool(drawn),
        title=f"{found.b} against {found.a}",
        counts=f"{found.n_pairs} pairs of jobs",
        found=found,
        sentences=sentences(found, metric),
        cautions=cautions(found),
        grid=grid(found, metric),
        drawn=drawn,
        main=label(metric),
        definitions=definitions(table.pivot_table("b", ["method", "dataset"], "metric")),
        command=command,
        provenance=provenance,
    )
    target = folder / "compare.html"
    replace(target, lambda path: path.write_text(page, encoding="utf-8"))
    return target


def as_table(found: Comparison) -> pd.DataFrame:
    """Return one row per method, dataset, protocol and metric, with the verdict."""
    columns = [*Difference.__dataclass_fields__, "verdict"]
    rows = [asdict(one) | {"verdict": one.verdict} for one in found.differences]
    return pd.DataFrame(rows, columns=columns)


def _metrics(found: Comparison, metric: str) -> list[str]:
    """Return the metrics of scores, the main one first, then those a page shows at once."""
    there = dict.fromkeys(one.metric for one in found.differences)
    scores = [key for key in there if "/" in key and key != metric]
    return [metric, *sorted(scores, key=lambda key: (key not in FIRST, is_own(key)))]


def grid(found: Comparison, metric: str) -> Grid:
    """Return one row per method and dataset: the main metric in full, of others the difference."""
    others = _metrics(found, metric)[1:]
    name = label(metric)
    columns = [
        Column("method", number=False),
        Column("dataset", number=False),
        Column("pairs", tip="jobs of equal seed"),
        Column(f"{name}, A"),
        Column(f"{name}, B"),
        Column("difference", tip="B minus A"),
        Column("95 % interval", number=False, tip="bootstrap over the pairs"),
        Column("verdict", number=False, tip="unclear: the interval holds zero"),
        *(Column(f"{label(key)}, B / A", tip="means over the pairs") for key in COSTS),
        *(Column(f"{label(key)}, B − A", extra=key not in FIRST) for key in others),
    ]
    groups: dict[tuple[str, str, str], dict[str, Difference]] = {}
    for one in found.differences:
        groups.setdefault((one.dataset, one.method, one.protocol), {})[one.metric] = one
    table = Grid(columns, datasets=list(dict.fromkeys(one.dataset for one in found.differences)))
    for part in groups.values():
        first = next(iter(part.values()))
        row = [Cell(first.method, first.method), Cell(first.dataset, first.dataset)]
        row += _main(part.get(metric))
        row += [_factor(part.get(key)) for key in COSTS]
        row += [_delta(part.get(key)) for key in others]
        (table.controls if first.family == CONTROL else table.rows).append(row)
    return table


def _main(one: Difference | None) -> list[Cell]:
    if one is None:
        return [Cell("–") for _ in range(6)]
    return [
        Cell(str(one.n), str(one.n)),
        Cell(f"{one.a:.3f}", repr(one.a)),
        Cell(f"{one.b:.3f}", repr(one.b)),
        Cell(signed(one.difference), repr(one.difference)),
        Cell(_interval(one)),
        Cell(one.verdict, one.verdict),
    ]


def _interval(one: Difference) -> str:
    return "–" if one.n < 2 else f"{signed(one.low)} to {signed(one.high)}"


def _factor(one: Difference | None) -> Cell:
    """Return how many times a cost is that of A."""
    if one is None or one.a <= 0:
        return Cell("–")
    factor = one.b / one.a
    tip = f"{number_text(one.a, 1)} → {number_text(one.b, 1)}"
    return Cell(f"{factor:.2f}", repr(factor), tip)


def _delta(one: Difference | None) -> Cell:
    if one is None:
        return Cell("–")
    tip = f"{one.a:.3f} → {one.b:.3f}, {one.verdict}"
    return Cell(signed(one.difference), repr(one.difference), tip)


def as_markdown(found: Comparison, *, metric: str = MAIN, command: str) -> str:
    """Return the comparison as Markdown, for an issue or a pull request."""
    lines = [f"# {escape_markdown(found.b)} against {escape_markdown(found.a)}", ""]
    lines += [f"{found.n_pairs} pairs of jobs; differences are B − A.", ""]
    lines += [f"- A: {escape_markdown(found.a)}", f"- B: {escape_markdown(found.b)}"]
    lines += [f"- **Note:** {escape_markdown(text)}" for text in cautions(found)]
    lines += [f"- {escape_markdown(text)}" for text in sentences(found, metric)]
    if found.differences:
        table = grid(found, metric)
        kept = [i for i, column in enumerate(table.columns) if not column.extra]
        rows = [[row[i].text for i in kept] for row in [*table.rows, *table.controls]]
        heads = [table.columns[i].text for i in kept]
        lines += ["", "## Differences", "", to_markdown(pd.DataFrame(rows, columns=heads))]
    if found.unpaired:
        lines += ["", "## Not paired", "", to_markdown(pd.DataFrame(unpaired_rows(found)))]
    if found.conditions:
        conditions = pd.DataFrame([asdict(one) for one in found.conditions])
        conditions.columns = ["not the same", "A", "B"]
        lines += ["", "## Made under other conditions", "", to_markdown(conditions)]
    lines += ["", "Made by:", "", *(f"    {line}" for line in command.splitlines())]
    return "\n".join(lines) + "\n"


def unpaired_rows(found: Comparison) -> list[dict[str, str]]:
    """Return the jobs without a partner as rows of text."""
    return [
        {"methods": ", ".join(one.methods), "dataset": one.dataset}
        | {"seeds": ", ".join(map(str, one.seeds)) or "–", "reason": one.reason}
        for one in found.unpaired
    ]


def drawing(found: Comparison, metric: str) -> list[Drawing]:
    """Return the differences of each dataset and metric with their intervals; empty without."""
    metrics = [key for key in _metrics(found, metric) if key == metric or key in FIRST]
    datasets = list(dict.fromkeys(one.dataset for one in found.of(metric)))
    figures = {}
    for i, key in enumerate(metrics):
        for j, dataset in enumerate(datasets):
            ones = [one for one in found.of(key) if one.dataset == dataset]
            ones = [one for one in ones if one.family != CONTROL]
            if ones:
                figures[f"{i},{j}"] = _figure(ones, key)
    if not figures:
        return []
    selectors = [("metric", [label(key) for key in metrics]), ("dataset", datasets)]
    return [variants(
        "differences", "Differences with their intervals",
        f"Dot plot of the difference in {label(metric)}, B minus A, one row a method. The table "
        "holds the same numbers.", selectors, figures,
        "Points are means over the pairs, bars bootstrap intervals; at zero nothing changed.",
    )]  # fmt: skip


def _figure(ones: list[Difference], metric: str) -> Figure:
    ones = sorted(ones, key=lambda one: -one.difference)
    figure = go.Figure()
    for verdict in [name for name in COLOURS if any(one.verdict == name for one in ones)]:
        part = [one for one in ones if one.verdict == verdict]
        figure.add_trace(
            go.Scatter(
                x=[one.difference for one in part], y=[plain(one.method) for one in part],
                mode="markers", name=verdict, showlegend=True,
                marker={
                    "size": 11, "color": COLOURS[verdict],
                    "symbol": _SYMBOLS.get(verdict, "circle"),
                },
                error_x={
                    "array": [_reach(one.high - one.difference) for one in part],
                    "arrayminus": [_reach(one.difference - one.low) for one in part],
                    "symmetric": False, "thickness": 1.5,
                },
                customdata=[[one.a, one.b, one.n] for one in part],
                hovertemplate="%{y}: %{x:+.4f}<br>%{customdata[0]:.4f} → %{customdata[1]:.4f}, "
                "%{customdata[2]} pairs<extra></extra>",
            )
        )  # fmt: skip
    names = [one.method for one in ones]
    lay_out(figure, 130 + ROW * len(names))
    figure.update_yaxes(autorange="reversed", **categories(names))
    figure.update_xaxes(
        title=f"difference in {label(metric)}, B − A", automargin=True, zeroline=True,
        zerolinewidth=2,
    )  # fmt: skip
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return figure


def _reach(length: float) -> float:
    return 0.0 if math.isnan(length) else max(length, 0.0)


def as_json(found: Comparison, page: Path) -> dict[str, Any]:
    """Return everything for programs; what has no value is ``None``."""
    differences = [asdict(one) | {"verdict": one.verdict} for one in found.differences]
    for row in differences:
        row |= {k: None for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)}
    return {
        "a": found.a,
        "b": found.b,
        "pairs": found.n_pairs,
        "differences": differences,
        "unpaired": [asdict(one) for one in found.unpaired],
        "conditions": [asdict(one) for one in found.conditions],
        "page": str(page),
    }
