"""Interactive figures as plain Plotly JSON; the page's script draws them in its own colours.

Text and grid colours are left to the page, so that one figure serves light and dark.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .fair import CONTROL, competing_by_dataset
from .names import MAIN, SCALES, higher_is_better, label, metric_columns
from .scaled import between_controls
from .tables import dataset_means, leaderboard, tidy

if TYPE_CHECKING:
    import pandas as pd
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


def drawings(results: pd.DataFrame, metric: str = MAIN) -> dict[str, list[Drawing]]:
    """Return the figures by section, ``heat``, ``quality`` and ``strip``; without data none."""
    from .quality import quality

    table = tidy(results)
    board = leaderboard(table, metric)
    # With several modalities the controls of the first stand before methods for another.
    board = board.sort_values("family", key=lambda family: family == CONTROL, kind="stable")
    order = [str(name) for name in board["method"].drop_duplicates()]
    keys = [key for key in metric_columns(table) if table[key].notna().any()]
    if metric not in keys:
        return {"heat": [], "quality": [], "strip": []}
    datasets = [d for d in table["dataset"].unique() if _values(table, d, metric).notna().any()]
    return {
        "heat": [_heat(table, [metric, *(k for k in keys if k != metric)], order)],
        "quality": quality(competing_by_dataset(table), datasets, metric),
        "strip": [_strip(table, name, metric, order, i) for i, name in enumerate(datasets)],
    }


def _values(table: pd.DataFrame, dataset: str, metric: str) -> pd.Series:
    return table.loc[table["dataset"] == dataset, metric]


def _heat(table: pd.DataFrame, keys: list[str], order: list[str]) -> Drawing:
    """Return methods × datasets of means, by metric, raw and between the controls."""
    scaled = between_controls(table)
    figures = {}
    for number, key in enumerate(keys):
        figures[f"{number},0"] = _heat_of(table, key, order)
        if scaled[key].notna().any():
            figures[f"{number},1"] = _heat_of(scaled, key, order, scaled=True)
    n_datasets = table["dataset"].nunique()
    return variants(
        "heat", "Mean score of each method on each dataset",
        f"Heat map of {label(keys[0])}: {len(order)} methods by {n_datasets} datasets. "
        "The table above holds the same numbers.",
        [("metric", [label(key) for key in keys]), ("scale", list(SCALES))], figures,
        "The colours span the methods that compete; controls beyond them have the end colours. "
        "Scaled: 0 is the control random, 1 the control truth, on each dataset by itself.",
    )  # fmt: skip


def _heat_of(table: pd.DataFrame, key: str, order: list[str], *, scaled: bool = False) -> Figure:
    import numpy as np
    import plotly.graph_objects as go

    controls = set(table.loc[table["family"] == CONTROL, "method"])
    means = dataset_means(table, key).reindex(index=order)
    values = means.to_numpy(dtype=float)
    competing = values[[name not in controls for name in order]]
    low, high = between(competing if np.isfinite(competing).any() else values)
    down = higher_is_better(key, table) is False
    digits = 2 if scaled else 1 if "n_clusters" in key else 3
    name = f"{label(key)}, scaled" if scaled else label(key)
    rows = [plain(one) for one in order]
    figure = go.Figure(
        go.Heatmap(
            z=values.tolist(), x=[plain(one) for one in means.columns], y=rows,
            colorscale=SCALE, reversescale=down, zmin=low, zmax=high, xgap=2, ygap=2,
            texttemplate=f"%{{z:.{digits}f}}", textfont={"color": "#111111"}, hoverongaps=False,
            hovertemplate="%{y} on %{x}: %{z:.4f}<extra></extra>",
            colorbar={"title": {"text": name, "side": "right"}, "thickness": 12},
        )
    )  # fmt: skip
    gaps = np.argwhere(np.isnan(values))
    figure.add_trace(
        go.Scatter(
            x=[plain(means.columns[j]) for _, j in gaps], y=[rows[i] for i, _ in gaps],
            mode="text", text=["no value"] * len(gaps), showlegend=False, hoverinfo="skip",
        )
    )  # fmt: skip
    lay_out(figure, 110 + ROW * len(order))
    figure.update_yaxes(autorange="reversed", showgrid=False, **categories(order))
    figure.update_xaxes(side="top", showgrid=False, **categories(list(means.columns)))
    return figure


def between(values: Any) -> tuple[float, float]:
    """Return smallest and largest value; a scale of one value would have no colours."""
    import numpy as np

    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _strip(
    table: pd.DataFrame, dataset: str, metric: str, order: list[str], number: int
) -> Drawing:
    """Return all seeds of each method on one dataset, and their mean as a bar."""
    import plotly.graph_objects as go

    rows = table[(table["dataset"] == dataset) & table[metric].notna()]
    present = [name for name in order if name in set(rows["method"])]
    figure = go.Figure()
    means = [float(rows.loc[rows["method"] == name, metric].mean()) for name in present]
    figure.add_trace(
        go.Scatter(
            x=means, y=[plain(name) for name in present], mode="markers", name="mean over seeds",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": "#D55E00"}},
            hovertemplate="%{y}: mean %{x:.4f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=rows[metric].tolist(), y=[plain(name) for name in rows["method"]], mode="markers",
            name="one seed", customdata=[f"{seed:.0f}" for seed in rows["seed"]],
            marker={"size": 9, "color": "#2a8fd0", "opacity": 0.75},
            hovertemplate="%{y}: %{x:.4f} (seed %{customdata})<extra></extra>",
        )
    )  # fmt: skip
    height = 120 + ROW * len(present)
    lay_out(figure, height)
    figure.update_yaxes(autorange="reversed", **categories(present))
    figure.update_xaxes(title=label(metric), automargin=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return Drawing(
        f"strip-{number}", dataset,
        f"Strip plot of {label(metric)} on {dataset}: one point a seed for {len(present)} "
        "methods, and their means.", _json(figure), height,
    )  # fmt: skip


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
