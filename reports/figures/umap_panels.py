"""UMAP coordinates as data of the page, whose script draws them: by type, cluster or batch.

Positions are rounded to 1/65,535 of the panel, which no screen shows.
"""

from __future__ import annotations

import base64
import colorsys
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..tables.labels import clustering_label, number_text
from .umaps import shown_cells

if TYPE_CHECKING:
    from .umaps import Panel

_STEPS = 65535
_MOST = 256
"""Classes of a colouring that one byte a cell can name."""
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
    points: str = ""
    """JSON of positions and classes of the cells; empty if ``missing`` says why there is none."""
    missing: str = ""
    note: str = ""


@dataclass
class Group:
    """The panels of one dataset with their common legends."""

    dataset: str
    pictures: list[Picture] = field(default_factory=list)
    legends: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Colouring → class and colour; of clusters, whose numbers are arbitrary, there is none."""


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
        cells = {p.key: _cells(p, coordinates[p.key]) for p in own if p.key in coordinates}
        for name in ("type", "batch"):
            classes = sorted({one for t in cells.values() if name in t for one in t[name]})
            if classes:
                colour = colours(len(classes))
                group.legends[name] = list(zip(classes, colour, strict=True))
        group.pictures = [_picture(panel, cells.get(panel.key), group) for panel in own]
    return list(found.values())


def colourings(found: list[Group]) -> list[str]:
    """Return by what the cells of any panel can be coloured, the type first."""
    names = [
        name
        for group in found
        for picture in group.pictures
        if picture.points
        for name in json.loads(picture.points)["by"]
    ]
    return list(dict.fromkeys(names))


def _cells(panel: Panel, table: pd.DataFrame) -> pd.DataFrame:
    """Return the drawn cells with all that clusters.parquet knows of them, as text."""
    table = table.assign(type=table["type"].astype(str))
    path = Path(panel.source) / "clusters.parquet"
    if not path.is_file():
        return table
    known = pd.read_parquet(path)
    known = known.iloc[shown_cells(len(known))].astype(str).reset_index(drop=True)
    same = len(known) == len(table) and "type" in known
    if not same or (known["type"] != table["type"].reset_index(drop=True)).any():
        return table  # coordinates of other cells: then only what was kept with them is true
    rest = known.drop(columns="type")
    return pd.concat([table.reset_index(drop=True), rest], axis=1)


def _picture(panel: Panel, cells: pd.DataFrame | None, group: Group) -> Picture:
    score = "no ARI" if panel.score != panel.score else f"ARI {number_text(panel.score, 3)}"
    alt = f"Cells of {panel.dataset} by {panel.method}, seed {panel.seed}; {score}"
    picture = Picture(panel.method, score, alt, missing=panel.missing)
    if cells is None or panel.missing:
        return picture
    n_dims = int(cells["n_dims"].iloc[0])
    kind = f"embedding, {n_dims}-d" if n_dims <= 2 else "UMAP"
    picture.note = f"{kind}, seed {panel.seed}, {len(cells):,} cells"
    by = {}
    for name in cells.columns.difference(["x", "y", "n_dims"], sort=False):
        legend = group.legends.get(name)
        classes = [one for one, _ in legend] if legend else _by_size(cells[name])
        if len(classes) <= _MOST:
            colour = [one for _, one in legend] if legend else colours(len(classes))
            number = {one: i for i, one in enumerate(classes)}
            codes = cells[name].map(number).to_numpy(dtype="uint8")
            heading = name if legend else f"{clustering_label(name)} cluster"
            by[heading] = {"names": classes, "colours": colour, "codes": _base64(codes)}
    points = {"x": _whole(cells["x"]), "y": _whole(-cells["y"]), "by": by}
    picture.points = json.dumps(points).replace("<", "\\u003c").replace(">", "\\u003e")
    return picture


def _by_size(values: pd.Series) -> list[str]:
    return [str(name) for name in values.value_counts(sort=True).index]


def _whole(values: pd.Series) -> str:
    """Return positions as whole numbers from 0 to 65,535."""
    points = values.to_numpy(dtype=float)
    span = np.ptp(points) or 1.0
    return _base64(((points - points.min()) / span * _STEPS).round().astype("<u2"))


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
