"""Figures of links between peaks and genes: a map as a heat map, the links of one locus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from bench.regulation.links import Sites

GENES, PEAKS = 25, 40
"""Most rows and columns of a heat map."""
_ARCS = 30


def draw_map(
    table: pd.DataFrame, column: str, sites: Sites, path: Path, title: str
) -> dict[str, str]:
    """Draw the top genes by the top peaks linked to them, both in genomic order, as PNG and SVG.

    ``table`` has ``gene``, ``peak`` and the value ``column``. Returns file name → what it shows;
    nothing is drawn without a link.
    """
    strong = table[table[column] > 0]
    genes = strong.groupby("gene")[column].max().nlargest(GENES).index
    shown = strong[strong["gene"].isin(genes)]
    peaks = shown.groupby("peak")[column].max().nlargest(PEAKS).index
    shown = shown[shown["peak"].isin(peaks)]
    if shown.empty:
        return {}
    gene_at, peak_at = sites.genes.loc[genes], sites.peaks.loc[peaks]
    rows = gene_at.iloc[_along(gene_at["chrom"], gene_at["tss"])].index
    columns = peak_at.iloc[_along(peak_at["chrom"], peak_at["start"])].index
    wide = shown.pivot_table(index="gene", columns="peak", values=column, aggfunc="max")
    wide = wide.reindex(index=rows, columns=columns)
    plt = _pyplot()
    width, height = 3.2 + 0.2 * len(columns), 2.6 + 0.2 * len(rows)
    figure, axis = plt.subplots(figsize=(max(6.0, width), height), layout="constrained")
    sns.heatmap(
        wide.fillna(0.0), ax=axis, cmap="viridis", vmin=0.0, xticklabels=True, yticklabels=True,
        cbar_kws={"label": "weight" if column == "weight" else "mean weight in a cell"},
    )  # fmt: skip
    chrom = sites.genes.loc[rows, "chrom"].to_numpy()
    axis.set_yticklabels(
        [f"{gene} ({where or '?'})" for gene, where in zip(rows, chrom, strict=True)]
    )
    axis.tick_params(axis="both", labelsize=7, length=2)
    axis.set(xlabel="peak, in genomic order", ylabel="gene, in genomic order")
    edges = np.flatnonzero(sites.peaks.loc[columns, "chrom"].ne(
        sites.peaks.loc[columns, "chrom"].shift()).to_numpy())[1:]  # fmt: skip
    axis.vlines(edges, 0, len(rows), colors="white", linewidth=0.8)
    axis.set_title(f"{title}\n{len(rows)} genes and {len(columns)} peaks with the largest weights",
                   fontsize=10)  # fmt: skip
    return _saved(figure, path, title)


def draw_locus(table: pd.DataFrame, gene: str, sites: Sites, path: Path) -> dict[str, str]:
    """Draw the links of one gene as arcs from its start to its peaks, x in kb.

    ``table`` has the gene's ``peak`` and ``weight``. Returns file name → what it shows; nothing is
    drawn for a gene without links.
    """
    if table.empty:
        return {}
    links = table.nlargest(_ARCS, "weight")
    place: Any = sites.genes.loc[gene]
    number = sites.peaks.index.get_indexer(pd.Index(links["peak"]))
    start, ends = float(place["tss"]) / 1e3, sites.centre[number] / 1e3
    reach = max(20.0, 1.15 * float(np.abs(ends - start).max()))
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(10, 4.2), layout="constrained")
    scale = plt.Normalize(0, float(links["weight"].max()))
    colours = plt.get_cmap("viridis_r")
    for end, weight in sorted(zip(ends, links["weight"], strict=True), key=lambda one: one[1]):
        x, y = _arc(start, end, reach)
        axis.plot(x, y, color=colours(scale(weight)), linewidth=1 + 2.5 * scale(weight))
    _peaks_and_genes(axis, gene, place, sites, set(links["peak"]), start, reach)
    bar = figure.colorbar(plt.cm.ScalarMappable(scale, colours), ax=axis, pad=0.01)
    bar.set_label("weight")
    axis.set(xlim=(start - reach, start + reach), ylim=(-0.32, 1.08), yticks=[],
             xlabel=f"{place['chrom']}, kb")  # fmt: skip
    axis.spines[["left", "right", "top"]].set_visible(False)
    axis.ticklabel_format(axis="x", style="plain", useOffset=False)
    few = f"{len(links)} of {len(table)}" if len(links) < len(table) else str(len(links))
    axis.set_title(f"{gene}: {few} links from its start to peaks", fontsize=10)
    return _saved(figure, path, f"links of {gene}")


def _peaks_and_genes(
    axis: Any, gene: str, place: Any, sites: Sites, linked: set[str], start: float,
    reach: float,
) -> None:  # fmt: skip
    """Draw all peaks in the window as bars, linked ones darker, the genes' starts as arrows."""
    peaks = sites.peaks[sites.peaks["chrom"] == place["chrom"]]
    middle = (peaks["start"] + peaks["end"]) / 2e3
    near = peaks[(middle - start).abs() <= reach]
    for one in near.itertuples():
        wide = max((one.end - one.start) / 1e3, reach / 400)
        colour = "#333333" if one.Index in linked else "#c8c8c8"
        axis.add_patch(_bar((one.start + one.end) / 2e3 - wide / 2, wide, colour))
    genes = sites.genes[(sites.genes["chrom"] == place["chrom"]) & (sites.genes["tss"] >= 0)]
    others = genes[((genes["tss"] / 1e3 - start).abs() <= reach) & (genes.index != gene)]
    axis.plot(others["tss"] / 1e3, [-0.14] * len(others), "|", color="#999999", markersize=9)
    sign = -1 if place["strand"] == "-" else 1
    axis.annotate(
        "", (start + sign * reach / 14, -0.14), (start, -0.14),
        arrowprops={"arrowstyle": "->" if place["strand"] in "+-" else "-", "color": "#c0392b"},
    )  # fmt: skip
    axis.plot([start], [-0.14], "|", color="#c0392b", markersize=11, markeredgewidth=2)
    axis.text(start, -0.24, gene, ha="center", va="top", color="#c0392b", fontsize=9)
    edge = start - reach
    for height, text in ((-0.03, "peaks"), (-0.14, "starts of genes")):
        axis.text(edge, height, text, ha="right", va="center", fontsize=8, color="#555555")


def _bar(left: float, wide: float, colour: str) -> Any:
    return Rectangle((left, -0.06), wide, 0.06, color=colour, linewidth=0)


def _arc(start: float, end: float, reach: float) -> tuple[Any, Any]:
    """Return half an ellipse; nearer links are lower, but never flat."""
    angle = np.linspace(0, np.pi, 60)
    middle, half = (start + end) / 2, (end - start) / 2
    height = 0.3 + 0.7 * abs(end - start) / reach
    return middle - half * np.cos(angle), height * np.sin(angle)


def _along(chrom: pd.Series, place: pd.Series) -> Any:
    """Return the order along the genome; chromosomes by number where they have one."""
    bare = chrom.astype(str).str.removeprefix("chr")
    number = np.array([int(name) if name.isdigit() else 1000 for name in bare])
    names = np.unique(bare.to_numpy().astype(str), return_inverse=True)[1]
    return np.lexsort((place.to_numpy(), names, number))


def _pyplot() -> Any:
    matplotlib.use("Agg")
    return plt


def _saved(figure: Any, path: Path, what: str) -> dict[str, str]:
    written = {}
    for ending in ("png", "svg"):
        file = path.with_name(f"{path.name}.{ending}")
        figure.savefig(file, dpi=150)
        written[file.name] = what
    _pyplot().close(figure)
    return written
