"""Which types went into which clusters, for the seed with the median score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from scipy.optimize import linear_sum_assignment

from ..tables.eligible import CONTROL
from ..tables.labels import clustering_label
from .drawing import ROW, SCALE, Drawing, categories, lay_out, plain, variants

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from .umaps import Panel


def confusion(table: pd.DataFrame, panels: list[Panel]) -> list[Drawing]:
    """Return one drawing with a variant a dataset, method and clustering; none without files.

    ``panels`` name the job of each method and dataset (see ``umaps.choose``).
    """
    controls = set(table.loc[table["family"] == CONTROL, "method"])
    wanted = [panel for panel in panels if not panel.missing and panel.method not in controls]
    datasets = list(dict.fromkeys(panel.dataset for panel in wanted))
    methods = list(dict.fromkeys(panel.method for panel in wanted))
    clusterings: list[str] = []
    figures: dict[str, Figure] = {}
    for panel in wanted:
        cells = pd.read_parquet(Path(panel.source) / "clusters.parquet")
        if "type" not in cells:
            continue
        for name in cells.columns.difference(["type", "batch"], sort=False):
            if name not in clusterings:
                clusterings.append(str(name))
            key = (panel.dataset, panel.method, str(name))
            place = (datasets.index(key[0]), methods.index(key[1]), clusterings.index(key[2]))
            figures[",".join(map(str, place))] = _figure(counts(cells["type"], cells[name]), key)
    if not figures:
        return []
    return [variants(
        "confusion", "Clusters and types",
        "Heat map of the share of each true type in each cluster, for the chosen dataset, method "
        "and clustering.",
        [
            ("dataset", datasets), ("method", methods),
            ("clusters of", [clustering_label(name) for name in clusterings]),
        ],
        dict(sorted(figures.items(), key=lambda item: [int(n) for n in item[0].split(",")])),
        "Rows add up to 100 %: where the cells of a type went. The seed with the median score. "
        "Clusters are ordered so that the diagonal holds as many cells as it can.",
    )]  # fmt: skip


def counts(types: pd.Series, clusters: pd.Series) -> pd.DataFrame:
    """Return types × clusters of numbers of cells, the best one-to-one match on the diagonal.

    Types run from the most to the fewest cells; clusters without a type of their own come last.
    """
    found = pd.crosstab(types.astype(str).to_numpy(), clusters.astype(str).to_numpy())
    found = found.loc[found.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    rows, columns = linear_sum_assignment(found.to_numpy(), maximize=True)
    matched = [columns[i] for i in rows.argsort(kind="stable")]
    rest = sorted(set(range(found.shape[1])) - set(matched))
    return found.iloc[:, [*matched, *rest]]


def _figure(found: pd.DataFrame, key: tuple[str, str, str]) -> Figure:
    sizes = found.sum(axis=1)
    share = found.div(sizes, axis=0) * 100
    rows = [f"{name} ({size:,})" for name, size in zip(found.index, sizes, strict=True)]
    columns = [str(name) for name in found.columns]
    figure = go.Figure(
        go.Heatmap(
            z=share.round(1).to_numpy().tolist(), x=columns, y=[plain(name) for name in rows],
            customdata=found.to_numpy().tolist(), colorscale=SCALE, zmin=0, zmax=100, xgap=1,
            ygap=1, texttemplate="%{z:.0f}" if len(columns) <= 16 else None,
            textfont={"color": "#111111"},
            hovertemplate="%{y}<br>cluster %{x}: %{customdata} cells, %{z:.1f} %<extra></extra>",
            colorbar={"title": {"text": "cells of the type (%)", "side": "right"}}
            | {"thickness": 12},
        )
    )  # fmt: skip
    lay_out(figure, 130 + ROW * len(rows))
    figure.update_yaxes(autorange="reversed", showgrid=False, **categories(rows))
    figure.update_xaxes(
        showgrid=False, title=f"cluster ({clustering_label(key[2])})", **categories(columns)
    )
    return figure
