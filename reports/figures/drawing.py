"""Figures of the page as HTML and SVG, without a library and as wide as the screen.

Positions are percentages of the drawing area, so that text keeps its size at any width. Colours
are variables of the style sheet, so that one figure serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

N_STYLES = 6
"""Pairs of a colour and a mark in the style sheet."""


@dataclass
class Drawing:
    """One figure of the page, in several versions if a reader can choose."""

    key: str
    title: str
    alt: str
    figures: Mapping[str, str]
    """Option numbers, ``0,2`` for example → HTML; ``""`` without a selector."""
    selectors: Sequence[tuple[str, Sequence[str]]] = ()
    """Heading and options of each selector."""
    note: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis from ``low`` to ``high``."""

    low: float
    high: float
    title: str = ""
    log: bool = False
    named: tuple[tuple[float, str], ...] = ()
    """Values with their names instead of numbers."""

    @classmethod
    def around(
        cls, values: Iterable[float], title: str = "", *, log: bool = False, room: float = 0.06
    ) -> Axis:
        """Return the axis of the finite values, with a share of its length as room at each end."""
        found = [v for v in values if math.isfinite(v) and (v > 0 or not log)] or [0.1, 1.0]
        low, high = (math.log10(v) if log else v for v in (min(found), max(found)))
        span = high - low or abs(high) * 0.1 or 1.0
        low, high = low - room * span, high + room * span
        return cls(10**low, 10**high, title, log=True) if log else cls(low, high, title)

    def place(self, value: float) -> float:
        """Return the place of a value in percent of the axis."""
        scale = math.log10 if self.log else float
        low, high = scale(self.low), scale(self.high)
        return round(100 * (scale(value) - low) / ((high - low) or 1.0), 2)

    def labels(self) -> list[tuple[float, str]]:
        """Return places in percent and texts of the ticks."""
        ticks = self.named or [(value, _number(value)) for value in self.ticks()]
        return [(self.place(value), escape(text)) for value, text in ticks]

    def ticks(self, most: int = 6) -> list[float]:
        """Return at most ``most`` round values on the axis."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            for steps in ((1, 2, 5), (1, 3), (1,)):
                values = [k * 10.0**e for e in range(first, last + 1) for k in steps]
                inside = [v for v in values if self.low <= v <= self.high]
                if len(inside) <= most:
                    return inside
            return inside[:: math.ceil(len(inside) / most)]
        least = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(least))
        step = next(k * power for k in (1, 2, 5, 10) if k * power >= least * 0.999)
        count = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [round(k * step, 12) for k in count]


def tip(text: str) -> str:
    """Return the attribute with the text that a pointer shows."""
    return f' data-tip="{escape(text)}"'


def mark(x: float, y: float, text: str, style: int = 0, more: str = "") -> str:
    """Return a mark at a place in percent; ``style`` is the number of its colour and shape."""
    return f'<use href="#mark{style}" class="mark s{style} {more}" x="{x}%" y="{y}%"{tip(text)}/>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line between two places in percent; ``kind`` is its class."""
    return f'<line class="{kind}" x1="{x1}%" y1="{y1}%" x2="{x2}%" y2="{y2}%"/>'


def curve(x: Sequence[float], y: Sequence[float], kind: str) -> str:
    """Return a line through places in percent."""
    points = "L".join(f"{10 * a:.0f} {10 * b:.0f}" for a, b in zip(x, y, strict=True))
    return (
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%">'
        f'<path class="{kind}" d="M{points}" vector-effect="non-scaling-stroke"/></svg>'
    )


def plot(x: Axis, y: Axis, marks: Sequence[str], alt: str, *, height: int = 380) -> str:
    """Return a figure with two axes; ``marks`` are placed in percent from the upper left."""
    x_ticks = x.labels()
    y_ticks = [(100 - at, text) for at, text in y.labels()]
    grid = [line(at, 0, at, 100, "grid") for at, _ in x_ticks]
    grid += [line(0, at, 100, at, "grid") for at, _ in y_ticks]
    labels = [f'<span class="x" style="left:{at}%">{text}</span>' for at, text in x_ticks]
    labels += [f'<span class="y" style="top:{at}%">{text}</span>' for at, text in y_ticks]
    return (
        f'<div class="plot" role="img" aria-label="{escape(alt)}">'
        f'<p class="axis">{escape(y.title)}</p><div class="area" style="height:{height}px">'
        f"<svg>{''.join([*grid, *marks])}</svg>{''.join(labels)}</div>"
        f'<p class="axis below">{escape(x.title)}</p></div>'
    )


def row_plot(axis: Axis, rows: Sequence[tuple[str, str]], alt: str) -> str:
    """Return one line a name, with the marks of each at the height of 50 %."""
    ticks = axis.labels()
    grid = "".join(line(at, 0, at, 100, "grid") for at, _ in ticks)
    lines = "".join(
        f'<div class="name">{escape(name)}</div><div class="track"><svg>{grid}{marks}</svg></div>'
        for name, marks in rows
    )
    labels = "".join(f'<span class="x" style="left:{at}%">{text}</span>' for at, text in ticks)
    return (
        f'<div class="rows" role="img" aria-label="{escape(alt)}">{lines}'
        f'<div></div><div class="scale">{labels}</div>'
        f'<div></div><p class="axis below">{escape(axis.title)}</p></div>'
    )


def legend(names: Sequence[tuple[int, str]]) -> str:
    """Return the names of marks by the number of their style."""
    items = "".join(
        f'<li><svg class="key"><use href="#mark{style}" class="mark s{style}" x="50%" y="50%"/>'
        f"</svg>{escape(name)}</li>"
        for style, name in names
    )
    return f'<ul class="legend">{items}</ul>'


def script_text(text: str) -> str:
    """Return JSON that cannot end the script element around it."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
