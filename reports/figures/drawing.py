"""An interactive figure as Plotly JSON, and the layout that all figures share."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plotly.graph_objects import Figure

ROW = 28
"""Height of a method's row in pixels."""

# The light half of ColorBrewer's YlGnBu: safe for colour-blind readers, and black numbers are
# legible on all of it, whatever the page's background.
SCALE = (
    (0.0, "#ffffd9"),
    (0.25, "#edf8b1"),
    (0.5, "#c7e9b4"),
    (0.75, "#7fcdbb"),
    (1.0, "#41b6c4"),
)
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
"""A legend in one line above the figure."""


@dataclass
class Drawing:
    """One interactive figure of the page, in several versions if a reader can choose."""

    key: str
    title: str
    alt: str
    figures: dict[str, str]
    """Option numbers, ``0,2`` for example → JSON of the figure; ``""`` without a selector."""
    height: int
    selectors: Sequence[tuple[str, Sequence[str]]] = ()
    """Heading and options of each selector."""
    note: str = field(default="", kw_only=True)

    @property
    def content(self) -> str:
        """All figures as JSON for a script element."""
        parts = [f"{json.dumps(key)}:{text}" for key, text in self.figures.items()]
        return "{" + ",".join(parts) + "}"


def make_drawing(
    key: str,
    title: str,
    alt: str,
    figures: Mapping[str, Figure],
    selectors: Sequence[tuple[str, Sequence[str]]] = (),
    *,
    note: str = "",
) -> Drawing:
    """Return the drawing of at least one figure; the first is shown first."""
    texts = {option: script_text(figure.to_json()) for option, figure in figures.items()}
    height = int(next(iter(figures.values())).layout.height)
    return Drawing(key, title, alt, texts, height, selectors, note=note)


def script_text(text: str) -> str:
    """Return JSON that cannot end the script element around it."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def set_layout(figure: Figure, height: int) -> None:
    """Set the layout of all figures; the page sets the colours of text and grid."""
    figure.update_layout(
        template="none", height=height, margin={"l": 10, "r": 10, "t": 40, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", hovermode="closest",
    )  # fmt: skip


def category_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return the settings of an axis with these names in this order; long labels are cut."""
    values = [escape_tags(name) for name in names]
    return {
        "type": "category", "categoryorder": "array", "categoryarray": values, "tickvals": values,
        "ticktext": [axis_label(name) for name in names], "automargin": True, "zeroline": False,
        "tickcolor": "rgba(0,0,0,0)",
    }  # fmt: skip


def axis_label(name: str, length: int = 28) -> str:
    """Return a label of at most ``length`` characters."""
    return escape_tags(name if len(name) <= length else name[: length - 1] + "…")


def escape_tags(text: str) -> str:
    """Return a text without the HTML tags that Plotly would interpret."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
