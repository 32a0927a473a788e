"""What lies beside the page: tables in four formats and static figures in three."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..figures.confusion import counts
from ..figures.cost_quality import COSTS, front, points
from ..figures.drawing import between
from ..figures.rank_diagram import blocks, diagram
from ..figures.umap_panels import colours
from ..tables.eligible import CONTROL, competing, competing_by_dataset
from ..tables.labels import MAIN, clustering_label, label, number_text
from ..tables.leaderboard import as_text, dataset_means, leaderboard, summary, tidy
from .markdown import to_markdown
from .pairwise_section import pairs

if TYPE_CHECKING:
    from ..figures.umaps import Panel

logger = logging.getLogger(__name__)

ENDINGS = ("svg", "png", "pdf")
_ACROSS = 3


def write_tables(results: pd.DataFrame, folder: Path) -> list[str]:
    """Write leaderboard, summary and pairs as CSV, Parquet, Markdown and LaTeX; returns names."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "leaderboard": leaderboard(results),
        "summary": summary(results),
        "pairs": pairs(results),
    }
    for name, table in found.items():
        table.to_csv(folder / f"{name}.csv", index=False)
        table.to_parquet(folder / f"{name}.parquet", index=False)
        text = as_text(table)
        (folder / f"{name}.md").write_text(to_markdown(table) + "\n", encoding="utf-8")
        (folder / f"{name}.tex").write_text(_latex(text), encoding="utf-8")
    return list(found)


def _latex(text: pd.DataFrame) -> str:
    """Return a booktabs table; what LaTeX would read as a command is escaped."""
    escaped = text.rename(columns=_plain).map(_plain)
    styled = escaped.style.hide(axis="index")
    return str(styled.to_latex(column_format="l" * text.shape[1], hrules=True))


def _plain(value: str) -> str:
    signs = {"\\": r"\textbackslash{}", "±": r"$\pm$", "⚠": "!"}
    signs |= {one: "\\" + one for one in "&%$#_{}"}
    return "".join(signs.get(one, one) for one in str(value))


def write_figures(
    table: pd.DataFrame,
    folder: Path,
    panels: list[Panel],
    coordinates: dict[str, pd.DataFrame],
    curves: pd.DataFrame | None = None,
) -> list[str]:
    """Write the static twins of the page's figures as SVG, PNG and PDF; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "font.size": 9}):
        for name, figure in _figures(tidy(table), panels, coordinates, curves):
            logger.info(f"figure: {name}")
            for ending in ENDINGS:
                figure.savefig(folder / f"{name}.{ending}", dpi=150, bbox_inches="tight")
            written.append(name)
    return written


def _figures(
    table: pd.DataFrame,
    panels: list[Panel],
    coordinates: dict[str, pd.DataFrame],
    curves: pd.DataFrame | None,
) -> Iterator[tuple[str, Figure]]:
    if MAIN not in table or not table[MAIN].notna().any():
        return
    yield "scores", _heat(table)
    for cost in COSTS:
        yield f"quality_{cost}", _quality(table, cost)
    yield "seeds", _seeds(table)
    for modality, block in blocks(table).items():
        rows = table[table["modality"] == modality] if modality else table
        drawn = diagram(rows, block)
        if drawn is not None:
            yield f"ranks_{modality}".rstrip("_"), drawn
    if curves is not None and not curves.empty:
        jobs = table.drop_duplicates("run_id").set_index("run_id")[["dataset", "method"]]
        losses = curves[curves["name"].isin(["loss", "held_out_loss"])].join(jobs, on="run_id")
        for name, rows in losses.groupby("dataset", sort=False):
            yield f"training_{_file(str(name))}", _training(rows)
    for dataset in dict.fromkeys(panel.dataset for panel in panels):
        own = [panel for panel in panels if panel.dataset == dataset and not panel.missing]
        if own:
            yield f"clusters_{_file(dataset)}", _clusters(table, own)
        own = [panel for panel in own if panel.key in coordinates]
        if own:
            yield f"umap_{_file(dataset)}", _umaps(own, coordinates)


def _file(name: str) -> str:
    return "".join(one if one.isalnum() or one in "-_" else "_" for one in name)


def _grid(n: int, width: float = 3.6, height: float = 3.2) -> tuple[Figure, list]:
    """Return a figure with ``n`` axes in rows of three; no window is ever opened."""
    across = min(n, _ACROSS)
    down = -(-n // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in axes[n:]:
        axis.set_visible(False)
    return figure, axes[:n]


def _heat(table: pd.DataFrame) -> Figure:
    order = leaderboard(table)["method"].drop_duplicates()
    means = dataset_means(table).reindex(index=order).astype(float)
    rows, columns = means.shape
    figure, (axis,) = _grid(1, 2.5 + 1.0 * columns, 1.2 + 0.3 * rows)
    low, high = between(means.loc[means.index.isin(competing(table)["method"])])
    sns.heatmap(
        means, annot=True, fmt=".3f", cmap="YlGnBu", vmin=low, vmax=high, ax=axis,
        linewidths=0.5, cbar_kws={"label": label(MAIN)},
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    return figure


def _quality(table: pd.DataFrame, cost: str) -> Figure:
    rows = competing_by_dataset(table)
    found = {name: points(part, MAIN, cost) for name, part in rows.groupby("dataset", sort=False)}
    found = {name: part for name, part in found.items() if len(part)}
    families = sorted(set(rows["family"]))
    figure, axes = _grid(max(len(found), 1))
    for axis, (dataset, part) in zip(axes, found.items(), strict=False):
        best = front(part)
        axis.step(best["cost"], best["mean"], where="post", ls="--", c="grey", lw=1)
        sns.scatterplot(
            part, x="cost", y="mean", hue="family", style="family", ax=axis, s=40,
            hue_order=families, style_order=families, palette="colorblind",
            legend=axis is axes[0],
        )  # fmt: skip
        axis.errorbar(
            part["cost"], part["mean"], part["half"].fillna(0), fmt="none", ecolor="grey", lw=0.7
        )
        for one in part.itertuples():
            axis.annotate(
                one.method, (one.cost, one.mean), fontsize=6, textcoords="offset points",
                xytext=(4, 3),
            )  # fmt: skip
        axis.set(xscale="log", title=dataset, xlabel=COSTS[cost][1], ylabel=label(MAIN))
        sns.despine(ax=axis)
    return figure


def _seeds(table: pd.DataFrame) -> Figure:
    order = list(leaderboard(table)["method"].drop_duplicates())
    datasets = [d for d, rows in table.groupby("dataset", sort=False) if rows[MAIN].notna().any()]
    figure, axes = _grid(len(datasets), height=0.9 + 0.25 * len(order))
    for axis, dataset in zip(axes, datasets, strict=True):
        rows = table[(table["dataset"] == dataset) & table[MAIN].notna()]
        sns.stripplot(rows, x=MAIN, y="method", order=order, ax=axis, jitter=False, alpha=0.7)
        means = rows.groupby("method")[MAIN].mean()
        axis.scatter(means, [order.index(m) for m in means.index], marker="|", c="#D55E00", s=90)
        axis.set(title=dataset, xlabel=label(MAIN), ylabel="")
        sns.despine(ax=axis)
    return figure


def _training(rows: pd.DataFrame) -> Figure:
    methods = list(rows.groupby("method", sort=False))
    figure, axes = _grid(len(methods), height=2.6)
    for axis, (method, part) in zip(axes, methods, strict=True):
        shown = part.assign(name=part["name"].str.replace("_", " "))
        sns.lineplot(shown, x="step", y="value", hue="name", ax=axis, palette="colorblind")
        axis.legend(title="")
        axis.set(title=method, xlabel="epoch or iteration", ylabel="value")
        sns.despine(ax=axis)
    return figure


def _clusters(table: pd.DataFrame, panels: list[Panel]) -> Figure:
    controls = set(table.loc[table["family"] == CONTROL, "method"])
    shown = [panel for panel in panels if panel.method not in controls] or panels
    figure, axes = _grid(len(shown), height=3.4)
    for axis, panel in zip(axes, shown, strict=True):
        cells = pd.read_parquet(Path(panel.source) / "clusters.parquet")
        if "type" not in cells or "kmeans" not in cells:
            axis.set_visible(False)
            continue
        found = counts(cells["type"], cells["kmeans"])
        share = found.div(found.sum(axis=1), axis=0) * 100
        sns.heatmap(
            share, cmap="YlGnBu", vmin=0, vmax=100, ax=axis, xticklabels=True, yticklabels=True,
            cbar_kws={"label": "cells of the type (%)"},
        )  # fmt: skip
        axis.tick_params(labelsize=6)
        axis.set(title=panel.method, xlabel=f"cluster ({clustering_label('kmeans')})", ylabel="")
    return figure


def _umaps(panels: list[Panel], coordinates: dict[str, pd.DataFrame]) -> Figure:
    types = sorted({str(one) for p in panels for one in coordinates[p.key]["type"]})
    palette = dict(zip(types, colours(len(types)), strict=True))
    figure, axes = _grid(len(panels), 2.8, 2.9)
    for axis, panel in zip(axes, panels, strict=True):
        cells = coordinates[panel.key].sample(frac=1, random_state=0)
        axis.scatter(
            cells["x"], cells["y"], c=cells["type"].astype(str).map(palette), s=3, linewidths=0,
            rasterized=True,
        )  # fmt: skip
        axis.set(
            title=f"{panel.method}, {label(MAIN)} {number_text(panel.score, 3)}",
            xticks=[],
            yticks=[],
        )
    marks = [axes[0].scatter([], [], color=palette[name], label=name) for name in types]
    figure.legend(marks, types, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure
