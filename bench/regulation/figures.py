"""Figures of links between peaks and genes: a heat map, and the links of one locus as arcs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from pathlib import Path

    from .links import FeaturePositions

MAX_GENES, MAX_PEAKS = 25, 40
"""Largest numbers of rows and columns of a heat map."""
_MAX_ARCS = 30
_MAX_POINTS = 3000
_GENE_COLOUR = "#c0392b"


def draw_map(
    table: pd.DataFrame, column: str, positions: FeaturePositions, path: Path, title: str
) -> dict[str, str]:
    """Draw a heat map of top genes × top peaks linked to them, in genomic order, as PNG and SVG.

    ``table`` has ``gene``, ``peak`` and the value ``column``. Returns file name → title; nothing
    is drawn without a link.
    """
    links = table[table[column] > 0]
    genes = links.groupby("gene")[column].max().nlargest(MAX_GENES).index
    links = links[links["gene"].isin(genes)]
    peaks = links.groupby("peak")[column].max().nlargest(MAX_PEAKS).index
    links = links[links["peak"].isin(peaks)]
    if links.empty:
        return {}
    rows = _genomic_order(positions.genes.loc[genes], "tss")
    columns = _genomic_order(positions.peaks.loc[peaks], "start")
    wide = links.pivot_table(index="gene", columns="peak", values=column, aggfunc="max")
    wide = wide.reindex(index=rows.index, columns=columns.index)
    width, height = 3.2 + 0.2 * len(columns), 2.6 + 0.2 * len(rows)
    figure, axis = _new_figure(max(6.0, width), height)
    sns.heatmap(
        wide.fillna(0.0), ax=axis, cmap="viridis", vmin=0.0, xticklabels=True, yticklabels=True,
        cbar_kws={"label": "weight" if column == "weight" else "mean weight in a cell"},
    )  # fmt: skip
    axis.set_yticklabels([f"{gene} ({chrom or '?'})" for gene, chrom in rows["chrom"].items()])
    axis.tick_params(axis="both", labelsize=7, length=2)
    axis.set(xlabel="peak, in genomic order", ylabel="gene, in genomic order")
    borders = np.flatnonzero(columns["chrom"].ne(columns["chrom"].shift()).to_numpy())[1:]
    axis.vlines(borders, 0, len(rows), colors="white", linewidth=0.8)
    axis.set_title(
        f"{title}\n{len(rows)} genes and {len(columns)} peaks with the largest weights",
        fontsize=10,
    )
    return _save(figure, path, title)


def draw_locus(
    table: pd.DataFrame, gene: str, positions: FeaturePositions, path: Path
) -> dict[str, str]:
    """Draw the links of one gene as arcs from its TSS to its peaks, x in kb.

    ``table`` has the gene's ``peak`` and ``weight``. Returns file name → title; nothing is drawn
    for a gene without links.
    """
    if table.empty:
        return {}
    links = table.nlargest(_MAX_ARCS, "weight")
    site: Any = positions.genes.loc[gene]
    number = positions.peaks.index.get_indexer(pd.Index(links["peak"]))
    tss, ends = float(site["tss"]) / 1e3, positions.peak_centres[number] / 1e3
    reach = max(20.0, 1.15 * float(np.abs(ends - tss).max()))
    figure, axis = _new_figure(10, 4.2)
    scale = plt.Normalize(0, float(links["weight"].max()))
    colours = plt.get_cmap("viridis_r")
    for end, weight in sorted(zip(ends, links["weight"], strict=True), key=lambda arc: arc[1]):
        x, y = _arc(tss, end, reach)
        axis.plot(x, y, color=colours(scale(weight)), linewidth=1 + 2.5 * scale(weight))
    _draw_peaks(axis, site["chrom"], positions, set(links["peak"]), tss, reach)
    _draw_genes(axis, gene, positions, tss, reach)
    bar = figure.colorbar(plt.cm.ScalarMappable(scale, colours), ax=axis, pad=0.01)
    bar.set_label("weight")
    axis.set(
        xlim=(tss - reach, tss + reach), ylim=(-0.32, 1.08), yticks=[],
        xlabel=f"{site['chrom']}, kb",
    )  # fmt: skip
    axis.spines[["left", "right", "top"]].set_visible(False)
    axis.ticklabel_format(axis="x", style="plain", useOffset=False)
    number_shown = f"{len(links)} of {len(table)}" if len(links) < len(table) else len(links)
    axis.set_title(f"{gene}: {number_shown} links from its start to peaks", fontsize=10)
    return _save(figure, path, f"links of {gene}")


def draw_peak_lines(
    lines: dict[str, pd.Series], peaks: pd.DataFrame, path: Path, title: str
) -> dict[str, str]:
    """Draw values of all peaks in genomic order, one panel for each line, as PNG and SVG.

    ``lines``: title → value of each peak, in the order of ``peaks`` (``chrom``, ``start``). Many
    peaks are binned with their neighbours, with the largest value of each bin. Returns file name →
    title.
    """
    number = pd.Series(np.arange(len(peaks)), peaks.index)
    order = number.loc[_genomic_order(peaks, "start").index].to_numpy()
    chrom = peaks["chrom"].to_numpy().astype(str)[order]
    width = max(1, -(-len(order) // _MAX_POINTS))
    starts = np.arange(0, len(order), width)
    figure, axes = _new_figure(12, 1.2 + 1.1 * len(lines), rows=len(lines))
    for axis, (name, values) in zip(axes, lines.items(), strict=True):
        heights = np.maximum.reduceat(values.to_numpy(dtype=np.float64)[order], starts)
        colour = _GENE_COLOUR if name.startswith("signal of ") else "#2c5f8a"
        axis.plot(starts, heights, color=colour, linewidth=0.7)
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["right", "top"]].set_visible(False)
    borders = np.flatnonzero(chrom[1:] != chrom[:-1]) + 1
    edges = np.concatenate([[0], borders, [len(chrom)]])
    for axis in axes:
        axis.vlines(borders, 0, 1, transform=axis.get_xaxis_transform(), color="#cccccc", lw=0.5)
        axis.set_xlim(0, len(chrom))
        axis.set_ylim(bottom=0)
    axes[-1].set_xticks((edges[1:] + edges[:-1]) / 2, chrom[edges[:-1]], rotation=90, fontsize=7)
    axes[-1].set_xlabel(f"{len(order)} peaks in genomic order")
    axes[0].set_title(title, fontsize=10)
    return _save(figure, path, title)


def _draw_peaks(
    axis: Any, chrom: str, positions: FeaturePositions, linked: set[str], tss: float,
    reach: float,
) -> None:  # fmt: skip
    """Draw all peaks in the window as bars, linked ones darker."""
    peaks = positions.peaks[positions.peaks["chrom"] == chrom]
    centres = (peaks["start"] + peaks["end"]) / 2e3
    near = peaks[(centres - tss).abs() <= reach]
    for name, start, end in zip(near.index, near["start"], near["end"], strict=True):
        width = max((end - start) / 1e3, reach / 400)
        corner = ((start + end) / 2e3 - width / 2, -0.06)
        colour = "#333333" if name in linked else "#c8c8c8"
        axis.add_patch(Rectangle(corner, width, 0.06, color=colour, linewidth=0))
    axis.text(tss - reach, -0.03, "peaks", ha="right", va="center", fontsize=8, color="#555555")


def _draw_genes(
    axis: Any, gene: str, positions: FeaturePositions, tss: float, reach: float
) -> None:
    """Draw the TSS of all genes in the window as ticks, that of ``gene`` as an arrow."""
    site: Any = positions.genes.loc[gene]
    genes = positions.genes
    genes = genes[(genes["chrom"] == site["chrom"]) & (genes["tss"] >= 0)]
    others = genes[((genes["tss"] / 1e3 - tss).abs() <= reach) & (genes.index != gene)]
    axis.plot(others["tss"] / 1e3, [-0.14] * len(others), "|", color="#999999", markersize=9)
    sign = -1 if site["strand"] == "-" else 1
    axis.annotate(
        "", (tss + sign * reach / 14, -0.14), (tss, -0.14),
        arrowprops={"arrowstyle": "->" if site["strand"] in "+-" else "-", "color": _GENE_COLOUR},
    )  # fmt: skip
    axis.plot([tss], [-0.14], "|", color=_GENE_COLOUR, markersize=11, markeredgewidth=2)
    axis.text(tss, -0.24, gene, ha="center", va="top", color=_GENE_COLOUR, fontsize=9)
    axis.text(
        tss - reach, -0.14, "starts of genes", ha="right", va="center", fontsize=8,
        color="#555555",
    )  # fmt: skip


def _arc(start: float, end: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of half an ellipse; shorter links are lower, but never flat."""
    angle = np.linspace(0, np.pi, 60)
    middle, half = (start + end) / 2, (end - start) / 2
    height = 0.3 + 0.7 * abs(end - start) / reach
    return middle - half * np.cos(angle), height * np.sin(angle)


def _genomic_order(features: pd.DataFrame, column: str) -> pd.DataFrame:
    """Sort by chromosome (numbered ones first, by number) and by the position in ``column``."""
    name = features["chrom"].astype(str).str.removeprefix("chr")
    number = np.array([int(one) if one.isdigit() else 1000 for one in name])
    code = np.unique(name.to_numpy().astype(str), return_inverse=True)[1]
    return features.iloc[np.lexsort((features[column].to_numpy(), code, number))]


def _new_figure(width: float, height: float, rows: int | None = None) -> tuple[Any, Any]:
    """Return a figure with one panel, or with a list of ``rows`` panels."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(
        rows or 1, figsize=(width, height), layout="constrained", sharex=True, squeeze=False
    )
    return figure, axes[0, 0] if rows is None else list(axes[:, 0])


def _save(figure: Any, path: Path, title: str) -> dict[str, str]:
    files = {}
    for suffix in ("png", "svg"):
        file = path.with_name(f"{path.name}.{suffix}")
        figure.savefig(file, dpi=150)
        files[file.name] = title
    plt.close(figure)
    return files
