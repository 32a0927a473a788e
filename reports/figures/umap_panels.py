"""UMAP coordinates and classes of cells as JSON, drawn by the script of the page.

Positions are rounded to 1/65,535 of the panel, which no screen resolves.
"""

from __future__ import annotations

import base64
import colorsys
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..tables.labels import clustering_label, number_text
from .drawing import script_text
from .umaps import sample_cells

if TYPE_CHECKING:
    from .umaps import UmapPanel

_STEPS = 65535
_MAX_CLASSES = 256
"""One byte a cell holds its class."""
# Seaborn's colour-blind palette; its grey and pale yellow are too close to a background.
_SAFE_COLOURS = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#d55e00",
    "#cc78bc",
    "#ca9161",
    "#e25c9b",
    "#56b4e9",
)
_MORE_COLOURS = (
    "#7a5cd6", "#8fae1b", "#b2304a", "#2ec4b6", "#8c5a2b", "#7d8aa5", "#f2786d", "#3d7a3a",
    "#b59410", "#9c27b0",
)  # fmt: skip


@dataclass
class UmapPicture:
    """One UMAP panel of the page."""

    title: str
    score: str
    alt: str
    points: str = ""
    """JSON of positions and classes of the cells; empty if ``missing`` holds a reason."""
    missing: str = ""
    note: str = ""


@dataclass
class UmapGroup:
    """The panels of one dataset and their common legends."""

    dataset: str
    pictures: list[UmapPicture] = field(default_factory=list)
    legends: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Colouring → class and colour; cluster numbers are arbitrary and have no legend."""


def palette(n: int) -> list[str]:
    """Return ``n`` colours that are legible on white and on near-black.

    Up to 8 they are safe for colour-blind readers; beyond that no palette is. Up to 18 they are
    chosen by hand, beyond that hues run round the circle in three lightnesses.
    """
    by_hand = (*_SAFE_COLOURS, *_MORE_COLOURS)
    if n <= len(by_hand):
        return list(by_hand[:n])
    colours = []
    for i in range(n):
        lightness = (0.42, 0.62, 0.52)[i % 3]
        red, green, blue = colorsys.hls_to_rgb(i / n, lightness, 0.75)
        colours.append(f"#{int(red * 255):02x}{int(green * 255):02x}{int(blue * 255):02x}")
    return colours


def umap_groups(panels: list[UmapPanel], coordinates: dict[str, pd.DataFrame]) -> list[UmapGroup]:
    """Return the panels by dataset; a type has one colour in all panels of its dataset."""
    groups = []
    for dataset in dict.fromkeys(panel.dataset for panel in panels):
        group = UmapGroup(dataset)
        own = [panel for panel in panels if panel.dataset == dataset]
        cells = {p.key: _drawn_cells(p, coordinates[p.key]) for p in own if p.key in coordinates}
        for name in ("type", "batch"):
            classes = sorted({c for table in cells.values() if name in table for c in table[name]})
            if classes:
                group.legends[name] = list(zip(classes, palette(len(classes)), strict=True))
        group.pictures = [_picture(panel, cells.get(panel.key), group) for panel in own]
        groups.append(group)
    return groups


def umap_colourings(groups: list[UmapGroup]) -> list[str]:
    """Return the names of all colourings, the type first."""
    names = [
        name
        for group in groups
        for picture in group.pictures
        if picture.points
        for name in json.loads(picture.points)["by"]
    ]
    return list(dict.fromkeys(names))


def _drawn_cells(panel: UmapPanel, coordinates: pd.DataFrame) -> pd.DataFrame:
    """Return the coordinates with the classes of ``clusters.parquet`` as text."""
    coordinates = coordinates.assign(type=coordinates["type"].astype(str))
    path = Path(panel.source) / "clusters.parquet"
    if not path.is_file():
        return coordinates
    classes = pd.read_parquet(path)
    classes = classes.iloc[sample_cells(len(classes))].astype(str).reset_index(drop=True)
    coordinates = coordinates.reset_index(drop=True)
    types = coordinates.pop("type")
    expected = classes.get("type", pd.Series("", index=classes.index))
    if len(classes) != len(types) or (expected != types).any():
        return coordinates.assign(type=types)  # the file is of other cells
    return pd.concat([coordinates, classes], axis=1)


def _picture(panel: UmapPanel, cells: pd.DataFrame | None, group: UmapGroup) -> UmapPicture:
    score = "no ARI" if math.isnan(panel.score) else f"ARI {number_text(panel.score, 3)}"
    score = score if panel.labelled else ""
    alt = f"Cells of {panel.dataset} by {panel.method}, seed {panel.seed}; {score}".rstrip("; ")
    picture = UmapPicture(panel.method, score, alt, missing=panel.missing)
    if cells is None or panel.missing:
        return picture
    n_dims = int(cells["n_dims"].iloc[0])
    kind = f"embedding, {n_dims}-d" if n_dims <= 2 else "UMAP"
    picture.note = f"{kind}, seed {panel.seed}, {len(cells):,} cells"
    colourings = {}
    for name in cells.columns.difference(["x", "y", "n_dims"], sort=False):
        legend = group.legends.get(name)
        classes = [text for text, _ in legend] if legend else _by_size(cells[name])
        if len(classes) <= _MAX_CLASSES:
            colours = [colour for _, colour in legend] if legend else palette(len(classes))
            number = {text: i for i, text in enumerate(classes)}
            codes = _base64(cells[name].map(number).to_numpy(dtype="uint8"))
            heading = name if legend else f"{clustering_label(name)} cluster"
            colourings[heading] = {"names": classes, "colours": colours, "codes": codes}
    points = {"x": _positions(cells["x"]), "y": _positions(-cells["y"]), "by": colourings}
    picture.points = script_text(json.dumps(points))
    return picture


def _by_size(values: pd.Series) -> list[str]:
    """Return the classes from the most to the fewest cells."""
    return [str(name) for name in values.value_counts(sort=True).index]


def _positions(values: pd.Series) -> str:
    """Return positions as integers from 0 to 65,535, in base64."""
    points = values.to_numpy(dtype=float)
    span = np.ptp(points) or 1.0
    return _base64(((points - points.min()) / span * _STEPS).round().astype("<u2"))


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
