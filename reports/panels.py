"""UMAP coordinates as pictures without text; titles and legends are the page's.

A transparent picture fits light and dark pages, and a legend in HTML cannot be cut off.
"""

from __future__ import annotations

import base64
import colorsys
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from .umaps import Panel

_INCHES, _DPI = 2.6, 130
# Seaborn's colour-blind palette; its grey and pale yellow are too close to a background.
_FEW = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#e25c9b", "#56b4e9")
_MORE = (
    "#7a5cd6", "#8fae1b", "#b2304a", "#2ec4b6", "#8c5a2b", "#7d8aa5", "#f2786d", "#3d7a3a",
    "#b59410", "#9c27b0",
)  # fmt: skip


@dataclass
class Picture:
    """One panel as the page shows it."""

    title: str
    score: str
    alt: str
    image: str = ""
    """A data URL; empty if ``missing`` says why there is none."""
    missing: str = ""
    note: str = ""


@dataclass
class Group:
    """The panels of one dataset with their common legend."""

    dataset: str
    pictures: list[Picture] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)
    """True type → colour."""


def colours(n: int) -> list[str]:
    """Return ``n`` colours that are legible on white and on near-black.

    Up to 8 they are safe for colour-blind readers; beyond that no palette is. Up to 18 they are
    chosen by hand, beyond that hues run round the circle in three lightnesses.
    """
    if n <= len(_FEW + _MORE):
        return list((_FEW + _MORE)[:n])
    found = []
    for i in range(n):
        light = (0.42, 0.62, 0.52)[i % 3]
        red, green, blue = colorsys.hls_to_rgb(i / n, light, 0.75)
        found.append(f"#{int(red * 255):02x}{int(green * 255):02x}{int(blue * 255):02x}")
    return found


def groups(panels: list[Panel], coordinates: dict[str, pd.DataFrame]) -> list[Group]:
    """Return the pictures by dataset; a type has one colour in all panels of its dataset."""
    found: dict[str, Group] = {}
    for panel in panels:
        found.setdefault(panel.dataset, Group(panel.dataset))
    for dataset, group in found.items():
        own = [panel for panel in panels if panel.dataset == dataset]
        tables = [coordinates[p.key] for p in own if p.key in coordinates]
        types = sorted({str(name) for table in tables for name in table["type"]})
        palette = dict(zip(types, colours(len(types)), strict=True))
        group.legend = list(palette.items())
        group.pictures = [_picture(panel, coordinates.get(panel.key), palette) for panel in own]
    return list(found.values())


def _picture(panel: Panel, table: pd.DataFrame | None, palette: dict[str, str]) -> Picture:
    score = "no ARI" if panel.score != panel.score else f"ARI {panel.score:.3f}"
    alt = (
        f"Cells of {panel.dataset} by {panel.method}, seed {panel.seed}, coloured by type; {score}"
    )
    picture = Picture(panel.method, score, alt, missing=panel.missing)
    if table is None or panel.missing:
        return picture
    n_dims = int(table["n_dims"].iloc[0])
    kind = f"embedding, {n_dims}-d" if n_dims <= 2 else "UMAP"
    picture.note = f"{kind}, seed {panel.seed}, {len(table):,} cells"
    try:
        picture.image = _png(table, palette)
    except Exception as error:  # one broken picture must not cost the report
        picture.missing = f"{type(error).__name__}: {error}"
    return picture


def _png(table: pd.DataFrame, palette: dict[str, str]) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"savefig.transparent": True}):
        figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
        # In one fixed random order, or the type drawn last would hide the others.
        mixed = table.sample(frac=1, random_state=0)
        size = max(1.5, min(30.0, 6000 / len(mixed)))
        axes.scatter(
            mixed["x"], mixed["y"], s=size, c=mixed["type"].map(palette).tolist(), linewidths=0,
            alpha=0.85,
        )  # fmt: skip
        axes.set_axis_off()
        stream = BytesIO()
        figure.savefig(stream, format="png")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
