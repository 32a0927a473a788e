"""The figures of a search, which Optuna gives as Plotly JSON, drawn as those of the page."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from .drawing import N_STYLES, Axis, curve, legend, line, mark, plot, row_plot

Trace = dict[str, Any]


def study_figure(text: str, alt: str) -> str:
    """Return points, lines and horizontal bars of a figure as HTML; one plot for each x axis.

    Empty for a figure in three dimensions.
    """
    figure = json.loads(text)
    by_axis: dict[str, list[Trace]] = {}
    for trace in figure["data"]:
        by_axis.setdefault(trace.get("xaxis", "x"), []).append(trace)
    parts = [_part(figure["layout"], axis, traces, alt) for axis, traces in by_axis.items()]
    return f'<div class="strips">{"".join(parts)}</div>' if any(parts) else ""


def _part(layout: dict[str, Any], axis: str, traces: list[Trace], alt: str) -> str:
    x_title = _title(layout, "xaxis" + axis.removeprefix("x"))
    if any(trace.get("type") == "bar" for trace in traces):
        return _bars(traces, x_title, alt)
    if not all(trace.get("type") in ("scatter", "scattergl") for trace in traces):
        return ""
    numbered = list(enumerate(trace for trace in traces if len(_values(trace, "x"))))
    x, names = _x_axis([trace for _, trace in numbered], layout, axis, x_title)
    points = {n: (_numbers(_values(t, "x"), names), _values(t, "y")) for n, t in numbered}
    y = Axis.around([v for _, own in points.values() for v in own], _title(layout, "yaxis"))
    marks = []
    for number, trace in numbered:
        places = (
            [x.place(v) for v in points[number][0]],
            [100 - y.place(v) for v in points[number][1]],
        )
        style = number % N_STYLES
        if "lines" in trace.get("mode", "markers"):
            marks.append(curve(*places, f"curve s{style}"))
        else:
            values = zip(*places, _values(trace, "x"), points[number][1], strict=True)
            marks += [mark(a, b, f"{at}: {value:.4g}", style) for a, b, at, value in values]
    keys = [(n % N_STYLES, t["name"]) for n, t in numbered if t.get("name") and len(numbered) > 1]
    return f"<div>{legend(keys)}{plot(x, y, marks, alt, height=280)}</div>"


def _x_axis(
    traces: list[Trace], layout: dict[str, Any], axis: str, title: str
) -> tuple[Axis, list[str]]:
    """Return the axis, and the names on it if its values are texts."""
    values = [v for trace in traces for v in _values(trace, "x")]
    if any(isinstance(v, str | bool) for v in values):
        names = sorted({str(v) for v in values})
        named = tuple((float(i), name) for i, name in enumerate(names))
        return Axis(-0.5, len(names) - 0.5, title, named=named), names
    log = layout.get("xaxis" + axis.removeprefix("x"), {}).get("type") == "log"
    return Axis.around(values, title, log=log), []


def _bars(traces: list[Trace], title: str, alt: str) -> str:
    """Return horizontal bars, the longest first."""
    pairs = [pair for t in traces for pair in zip(_values(t, "y"), _values(t, "x"), strict=True)]
    axis = Axis(0.0, max(float(value) for _, value in pairs) or 1.0, title)
    rows = [
        (str(name), line(0, 50, axis.place(float(value)), 50, "bar"))
        for name, value in sorted(pairs, key=lambda pair: -float(pair[1]))
    ]
    return f"<div>{row_plot(axis, rows, alt)}</div>"


def _title(layout: dict[str, Any], axis: str) -> str:
    return str(layout.get(axis, {}).get("title", {}).get("text", ""))


def _values(trace: Trace, name: str) -> list[Any]:
    """Return the values of an axis, which Plotly may have packed."""
    values = trace.get(name)
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return list(values or [])


def _numbers(values: list[Any], names: list[str]) -> list[float]:
    return [float(names.index(str(v))) if names else float(v) for v in values]
