"""The page's figures drawn with Matplotlib, as SVG, PNG and PDF."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import matplotlib as mpl
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..tables.labels import (
    MAIN_METRIC,
    clustering_label,
    higher_is_better,
    label,
    number_text,
)
from ..tables.leaderboard import tidy
from .figure_data import (
    COSTS,
    cluster_counts,
    cost_points_by_dataset,
    curves_by_job,
    least_told,
    method_order,
    method_panels,
    pareto_front,
    score_matrix,
    seed_scores,
    type_shares,
)
from .rank_diagram import rank_diagram, rank_groups
from .training_curves import LOSSES
from .umap_panels import palette

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

    from .umaps import UmapPanel

logger = logging.getLogger(__name__)

FORMATS = ("svg", "png", "pdf")
_FIGURES_PER_ROW = 3
_DPI = 150
_UPRIGHT = 12
"""Most clusters whose numbers stand upright below a panel."""


class NotebookFigure(Figure):
    """A figure that a notebook shows, with and without pyplot."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=_DPI, bbox_inches="tight")
        return stream.getvalue()


def write_figures(
    table: pd.DataFrame,
    folder: Path,
    panels: list[UmapPanel],
    coordinates: dict[str, pd.DataFrame],
    curves: pd.DataFrame | None = None,
) -> None:
    """Write the static version of the page's figures in three formats."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "font.size": 9}):
        for name, figure in _draw_figures(tidy(table), panels, coordinates, curves):
            logger.info(f"figure: {name}")
            _save(figure, folder / name)


def _save(figure: Figure, path: Path) -> None:
    """Write a figure in each format; it is laid out and measured once for all of them."""
    figure.dpi = _DPI
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    box = figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
    for ending in FORMATS:
        figure.savefig(path.with_name(f"{path.name}.{ending}"), dpi=_DPI, bbox_inches=box)


def _draw_figures(
    table: pd.DataFrame,
    panels: list[UmapPanel],
    coordinates: dict[str, pd.DataFrame],
    curves: pd.DataFrame | None,
) -> Iterator[tuple[str, Figure]]:
    """Yield file name and figure."""
    if MAIN_METRIC not in table or not table[MAIN_METRIC].notna().any():
        return
    order = method_order(table)
    yield "scores", heatmap_figure(table, order)
    for cost in COSTS:
        yield f"quality_{cost}", cost_figure(table, cost)
    yield "seeds", _strip_plots(seed_scores(table), order)
    for group in rank_groups(table):
        diagram = rank_diagram(group)
        if diagram is not None:
            yield (
                file_name("_".join(filter(None, ("ranks", group.modality, group.told)))),
                diagram,
            )
    by_job = curves_by_job(table, curves)
    for dataset in dict.fromkeys(dataset for dataset, _ in by_job):
        losses = {
            method: rows[rows["name"].isin(LOSSES)]
            for (name, method), rows in by_job.items() if name == dataset
        }  # fmt: skip
        losses = {method: rows for method, rows in losses.items() if len(rows)}
        if losses:
            yield f"training_{file_name(dataset)}", _loss_curves(losses)
    for dataset in dict.fromkeys(panel.dataset for panel in panels):
        own = [panel for panel in panels if panel.dataset == dataset]
        clusters = {panel.method: cluster_counts(panel) for panel in method_panels(table, own)}
        k_means = {
            name: counts["kmeans"] for name, counts in clusters.items() if "kmeans" in counts
        }
        if k_means:
            yield f"clusters_{file_name(dataset)}", _cluster_maps(k_means)
        own = [panel for panel in own if panel.key in coordinates]
        if own:
            yield f"umap_{file_name(dataset)}", umap_figure(own, coordinates)


def file_name(name: str) -> str:
    """Return a name that any file system takes."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def _subplots(n: int, width: float = 3.6, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``n`` axes in rows of three, independent of any display."""
    across = min(n, _FIGURES_PER_ROW)
    down = -(-n // across)
    figure = NotebookFigure(figsize=(width * across, height * down), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in axes[n:]:
        axis.set_visible(False)
    return figure, axes[:n]


def heatmap_figure(table: pd.DataFrame, order: list[str], metric: str = MAIN_METRIC) -> Figure:
    """Return the mean scores, methods × datasets; the table is tidy."""
    matrix = score_matrix(table, metric, order)
    rows, columns = matrix.means.shape
    names = max(1.3, 0.1 * max(map(len, matrix.means.index)))  # inches beside the cells
    figure, (axis,) = _subplots(1, 1.2 + names + 1.0 * columns, 1.2 + 0.3 * rows)
    figure.set_layout_engine("none")  # seaborn draws once with names that it turns afterwards
    sns.heatmap(
        matrix.means, annot=True, fmt=".3f", cmap="YlGnBu", vmin=matrix.low, vmax=matrix.high,
        ax=axis, linewidths=0.5, cbar_kws={"label": label(metric)},
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    figure.set_layout_engine("constrained")
    return figure


def cost_figure(table: pd.DataFrame, cost: str, metric: str = MAIN_METRIC) -> Figure:
    """Return scores against a cost, a panel a dataset; the table is tidy."""
    by_dataset = cost_points_by_dataset(table, metric, cost)
    families = sorted({family for points in by_dataset.values() for family in points["family"]})
    figure, axes = _subplots(max(len(by_dataset), 1))
    for axis, (dataset, points) in zip(axes, by_dataset.items(), strict=False):
        front = pareto_front(
            least_told(points), higher=higher_is_better(metric, table) is not False
        )
        axis.step(front["cost"], front["mean"], where="post", ls="--", c="grey", lw=1)
        sns.scatterplot(
            points, x="cost", y="mean", hue="family", style="family", ax=axis, s=40,
            hue_order=families, style_order=families, palette="colorblind",
            legend=axis is axes[0],
        )  # fmt: skip
        axis.errorbar(
            points["cost"], points["mean"], points["half"].fillna(0), fmt="none", ecolor="grey",
            lw=0.7,
        )  # fmt: skip
        for point in points.itertuples():
            axis.annotate(
                str(point.method), (point.cost, point.mean), fontsize=6, xytext=(4, 3),
                textcoords="offset points",
            )  # fmt: skip
        title = COSTS[cost][1]
        axis.set(xscale="log", title=dataset, xlabel=title, ylabel=label(metric))
        sns.despine(ax=axis)
    return figure


def _strip_plots(by_dataset: dict[str, pd.DataFrame], order: list[str]) -> Figure:
    figure, axes = _subplots(len(by_dataset), height=0.9 + 0.25 * len(order))
    for axis, (dataset, rows) in zip(axes, by_dataset.items(), strict=True):
        sns.stripplot(
            rows, x=MAIN_METRIC, y="method", order=order, ax=axis, jitter=False, alpha=0.7
        )
        means = rows.groupby("method")[MAIN_METRIC].mean()
        places = [order.index(name) for name in means.index]
        axis.scatter(means, places, marker="|", c="#D55E00", s=90)
        axis.set(title=dataset, xlabel=label(MAIN_METRIC), ylabel="")
        sns.despine(ax=axis)
    return figure


def _loss_curves(by_method: dict[str, pd.DataFrame]) -> Figure:
    figure, axes = _subplots(len(by_method), height=2.6)
    for axis, (method, rows) in zip(axes, by_method.items(), strict=True):
        named = rows.assign(name=rows["name"].str.replace("_", " "))
        sns.lineplot(
            named, x="step", y="value", hue="name", ax=axis, palette="colorblind", estimator=None
        )
        axis.legend(title="")
        axis.set(title=method, xlabel="epoch or iteration", ylabel="value")
        sns.despine(ax=axis)
    return figure


def _cluster_maps(by_method: dict[str, pd.DataFrame]) -> Figure:
    figure, axes = _subplots(len(by_method), height=3.4)
    for axis, (method, counts) in zip(axes, by_method.items(), strict=True):
        # Not seaborn's heat map, which draws the whole figure once for each panel.
        mesh = axis.pcolormesh(type_shares(counts), cmap="YlGnBu", vmin=0, vmax=100)
        axis.set_xticks([place + 0.5 for place in range(counts.shape[1])], counts.columns)
        axis.set_yticks([place + 0.5 for place in range(counts.shape[0])], counts.index)
        axis.invert_yaxis()
        axis.tick_params(labelsize=6, length=2)
        axis.tick_params(axis="x", rotation=90 if counts.shape[1] > _UPRIGHT else 0)
        axis.set(title=method, xlabel=f"cluster ({clustering_label('kmeans')})", ylabel="")
        sns.despine(ax=axis, left=True, bottom=True)
    figure.colorbar(mesh, ax=axes, label="cells of the type (%)", shrink=0.6, aspect=30)
    return figure


def umap_figure(panels: list[UmapPanel], coordinates: dict[str, pd.DataFrame]) -> Figure:
    """Return the UMAPs of panels with coordinates, coloured by type."""
    types = sorted({str(name) for panel in panels for name in coordinates[panel.key]["type"]})
    colours = dict(zip(types, palette(len(types)), strict=True))
    n_datasets = len({panel.dataset for panel in panels})
    figure, axes = _subplots(len(panels), 2.8 if n_datasets == 1 else 3.6, 2.9)
    for axis, panel in zip(axes, panels, strict=True):
        cells = coordinates[panel.key].sample(frac=1, random_state=0)
        axis.scatter(
            cells["x"], cells["y"], c=cells["type"].astype(str).map(colours), s=3, linewidths=0,
            rasterized=True,
        )  # fmt: skip
        names = panel.method if n_datasets == 1 else f"{panel.method}, {panel.dataset}"
        score = f", {label(MAIN_METRIC)} {number_text(panel.score, 3)}"
        axis.set(title=names + (score if panel.score == panel.score else ""), xticks=[], yticks=[])
    if types == [""]:  # data without labels
        return figure
    marks = [axes[0].scatter([], [], color=colours[name], label=name) for name in types]
    figure.legend(marks, types, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure
