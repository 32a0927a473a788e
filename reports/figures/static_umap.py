"""A static UMAP of one embedding, one panel a colouring."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from .umaps import N_NEIGHBORS, SEED, sample_cells

_LEGEND_ROWS = 18


def write_umap(
    plane: np.ndarray, panels: dict[str, np.ndarray], path: Path, *, title: str, n_dimensions: int
) -> list[str]:
    """Write the figure as PNG and SVG; returns the names of the files.

    ``plane`` (cells × 2) is what :func:`.umaps.plane_coordinates` gives for an embedding of
    ``n_dimensions``; ``panels`` maps a heading to the class of each cell. Above 3,000 cells a
    seeded sample is drawn.
    """
    matplotlib.use("Agg")
    cells = sample_cells(len(plane))
    kind = f"UMAP, {N_NEIGHBORS} neighbours" if n_dimensions > 2 else "the embedding itself"
    n_cells = f"{len(cells):,}" + (f" of {len(plane):,}" * (len(cells) < len(plane)))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(7.2 * len(panels), 5.2), squeeze=False, layout="constrained"
    )
    for axis, (heading, classes) in zip(axes[0], panels.items(), strict=True):
        names = _sorted_classes(classes)
        colours = dict(zip(names, sns.color_palette("husl", len(names)), strict=True))
        shuffled = np.random.default_rng(SEED).permutation(len(cells))
        point_classes = classes[cells][shuffled]
        axis.scatter(
            *plane[cells][shuffled].T, c=[colours[name] for name in point_classes],
            s=max(3.0, min(16.0, 12000 / len(cells))), linewidths=0, alpha=0.85,
        )  # fmt: skip
        for name in names:
            size = int((classes == name).sum())
            axis.scatter([], [], color=colours[name], s=24, label=f"{name} ({size:,})")
        axis.set(title=heading, xticks=[], yticks=[])
        sns.despine(ax=axis, left=True, bottom=True)
        axis.legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8,
            ncols=-(-len(names) // _LEGEND_ROWS),
        )  # fmt: skip
    figure.suptitle(f"{title}: {n_cells} cells; {kind}", fontsize=11)
    written = []
    for ending in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{ending}"), dpi=150)
        written.append(f"{path.name}.{ending}")
    plt.close(figure)
    return written


def _sorted_classes(classes: np.ndarray) -> list[str]:
    """Return the classes: numbers by value, names from the most to the fewest cells."""
    names, sizes = np.unique(classes, return_counts=True)
    if all(str(name).isdigit() for name in names):
        return sorted((str(name) for name in names), key=int)
    return [str(names[i]) for i in np.argsort(-sizes, kind="stable")]
