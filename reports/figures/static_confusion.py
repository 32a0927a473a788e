"""A static heat map of true types by clusters, one panel a clustering."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import matplotlib.pyplot as plt
import seaborn as sns

from ..tables.labels import clustering_label
from .figure_data import type_shares

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

_ANNOTATED = 12
"""Most clusters of a panel whose cells hold their numbers."""


def write_confusion(counts: Mapping[str, pd.DataFrame], path: Path, *, title: str) -> list[str]:
    """Write the share of each type's cells in each cluster as PNG and SVG; returns the names.

    ``counts`` maps a clustering to its types × clusters.
    """
    matplotlib.use("Agg")
    widths = [max(4.0, 1.5 + 0.42 * table.shape[1]) for table in counts.values()]
    n_types = len(next(iter(counts.values())))
    figure, axes = plt.subplots(
        1, len(counts), figsize=(sum(widths), 2.0 + 0.32 * n_types), squeeze=False,
        width_ratios=widths, layout="constrained",
    )  # fmt: skip
    for axis, (name, table) in zip(axes[0], counts.items(), strict=True):
        sns.heatmap(
            type_shares(table), ax=axis, vmin=0, vmax=100, cmap="Blues", linewidths=0.5,
            annot=table.shape[1] <= _ANNOTATED, fmt=".0f", annot_kws={"fontsize": 7},
            cbar_kws={"label": "cells of the type (%)"},
        )  # fmt: skip
        axis.set(title=clustering_label(name), xlabel="cluster", ylabel="")
    figure.suptitle(title, fontsize=11)
    written = []
    for ending in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{ending}"), dpi=150)
        written.append(f"{path.name}.{ending}")
    plt.close(figure)
    return written
