"""drawing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


ROW = 28
"""Pixels of a method's row."""


# The light half of ColorBrewer's YlGnBu: safe for colour-blind readers, and black numbers are
# legible on all of it, whatever the page's background.
SCALE = (
    (0.0, "#ffffd9"),
    (0.25, "#edf8b1"),
    (0.5, "#c7e9b4"),
    (0.75, "#7fcdbb"),
    (1.0, "#41b6c4"),
)


@dataclass
class Drawing:
    """One figure of the page, in several variants if there is something to choose."""

    key: str
    title: str
    alt: str
    json: str
    """The figure that is shown first."""
    height: int
    selectors: list[tuple[str, list[str]]] = field(default_factory=list)
    """What can be chosen, heading → options; empty: nothing."""
    variants: dict[str, str] = field(default_factory=dict)
    """Numbers of the chosen options, ``0,2`` say → figure; combinations may lack."""
    note: str = ""

    @property
    def content(self) -> str:
        """All variants as JSON that may stand in a script element."""
        figures = self.variants or {"": self.json}
        return "{" + ",".join(f"{json.dumps(k)}:{text}" for k, text in figures.items()) + "}"


def variants(
    key: str,
    title: str,
    alt: str,
    selectors: list[tuple[str, list[str]]],
    figures: dict[str, Figure],
    note: str = "",
) -> Drawing:
    """Return a drawing whose first figure is the first of ``figures``; none is not allowed."""
    texts = {choice: _json(figure) for choice, figure in figures.items()}
    height = int(next(iter(figures.values())).layout.height)
    return Drawing(key, title, alt, next(iter(texts.values())), height, selectors, texts, note)


def between(values: Any) -> tuple[float, float]:
    """Return smallest and largest value; a scale of one value would have no colours."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def lay_out(figure: Figure, height: int) -> None:
    """Set what all figures share; colours of text and grid are the page's."""
    figure.update_layout(
        template="none", height=height, margin={"l": 10, "r": 10, "t": 40, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", hovermode="closest",
    )  # fmt: skip


def categories(names: list[str]) -> dict[str, Any]:
    """Return the settings of an axis of names in this order; only what is shown is shortened."""
    known = [plain(name) for name in names]
    return {
        "type": "category", "categoryorder": "array", "categoryarray": known, "tickvals": known,
        "ticktext": [short(name) for name in names], "automargin": True, "zeroline": False,
        "tickcolor": "rgba(0,0,0,0)",
    }  # fmt: skip


def short(text: Any, most: int = 28) -> str:
    """Return a label short enough for an axis."""
    text = str(text)
    return plain(text if len(text) <= most else text[: most - 1] + "…")


def plain(text: Any) -> str:
    """Return a text that Plotly, which reads some HTML tags, shows as it is."""
    text = str(text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(figure: Figure) -> str:
    """Return the figure as JSON that may stand in a script element."""
    content = json.loads(figure.to_json())
    return json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e")
