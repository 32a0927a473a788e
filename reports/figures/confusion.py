"""Heat maps of true types by clusters, for the seed with the median score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from ..tables.labels import clustering_label
from .drawing import ROW, SCALE, Drawing, category_axis, escape_tags, make_drawing, set_layout
from .figure_data import cluster_counts, method_panels, type_shares

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from .umaps import UmapPanel


def confusion_drawings(table: pd.DataFrame, panels: list[UmapPanel]) -> list[Drawing]:
    """Return one drawing to choose dataset, method and clustering; empty without files.

    ``panels`` hold the job of each method and dataset (:func:`.umaps.choose_panels`).
    """
    counts = {
        (panel.dataset, panel.method, clustering): count
        for panel in method_panels(table, panels)
        for clustering, count in cluster_counts(panel).items()
    }
    if not counts:
        return []
    datasets, methods, clusterings = (list(dict.fromkeys(v)) for v in zip(*counts, strict=True))
    figures = {
        (datasets.index(dataset), methods.index(method), clusterings.index(clustering)): _figure(
            count, clustering
        )
        for (dataset, method, clustering), count in counts.items()
    }
    return [make_drawing(
        "confusion", "Clusters and types",
        "Heat map of the share of each true type in each cluster, for the chosen dataset, method "
        "and clustering.",
        {",".join(map(str, place)): figures[place] for place in sorted(figures)},
        [
            ("dataset", datasets), ("method", methods),
            ("clusters of", [clustering_label(name) for name in clusterings]),
        ],
        note="Each row shows how the cells of one type are spread over the clusters, and adds up "
        "to 100 %. Clusters are ordered to put as many cells as possible on the diagonal. Shown "
        "is the seed with the median score.",
    )]  # fmt: skip


def _figure(counts: pd.DataFrame, clustering: str) -> Figure:
    sizes = counts.sum(axis=1)
    rows = [f"{name} ({size:,})" for name, size in zip(counts.index, sizes, strict=True)]
    columns = [str(name) for name in counts.columns]
    figure = go.Figure(
        go.Heatmap(
            z=type_shares(counts).round(1).to_numpy().tolist(), x=columns,
            y=[escape_tags(name) for name in rows], customdata=counts.to_numpy().tolist(),
            colorscale=SCALE, zmin=0, zmax=100, xgap=1, ygap=1,
            texttemplate="%{z:.0f}" if len(columns) <= 16 else None,
            textfont={"color": "#111111"},
            hovertemplate="%{y}<br>cluster %{x}: %{customdata} cells, %{z:.1f} %<extra></extra>",
            colorbar={
                "title": {"text": "cells of the type (%)", "side": "right"}, "thickness": 12,
            },
        )
    )  # fmt: skip
    set_layout(figure, 130 + ROW * len(rows))
    figure.update_yaxes(autorange="reversed", showgrid=False, **category_axis(rows))
    title = f"cluster ({clustering_label(clustering)})"
    figure.update_xaxes(showgrid=False, title=title, **category_axis(columns))
    return figure
