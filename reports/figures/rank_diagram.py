"""The critical-difference diagram of mean ranks, where it can mean something."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import matplotlib as mpl
import scikit_posthocs
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..tables.labels import MAIN, higher_is_better, label
from ..tables.leaderboard import complete_block, tidy
from ..tables.statistics import (
    FRIEDMAN_DATASETS,
    LEVEL,
    average_ranks,
    critical_difference,
    what_ranks_show,
)

if TYPE_CHECKING:
    import pandas as pd

_INK = "#000000"


@dataclass
class Ranks:
    """What the ranks of one modality show: a sentence, and a diagram if it means anything."""

    modality: str
    sentence: str
    svg: str
    """A drawing in the page's text colour; empty where a diagram would mean nothing."""


def ranks(results: pd.DataFrame, metric: str = MAIN) -> list[Ranks]:
    """Return sentence and diagram by modality."""
    better = higher_is_better(metric, results)
    return [
        Ranks(modality, what_ranks_show(block), _svg(figure, modality) if figure else "")
        for modality, block in blocks(results, metric).items()
        for figure in [None if better is None else diagram(block, metric, higher=better)]
    ]


def blocks(results: pd.DataFrame, metric: str = MAIN) -> dict[str, pd.DataFrame]:
    """Return the complete block of methods × datasets by modality."""
    table = tidy(results)
    groups = [name for name in table["modality"].unique() if name] or [""]
    found = {}
    for modality in groups:
        rows = table[table["modality"] == modality] if modality else table
        found[modality] = complete_block(rows, metric)
    return found


def means_something(block: pd.DataFrame) -> bool:
    """Return whether any two mean ranks of the block could differ significantly."""
    k, n = block.shape
    return min(k, n) >= FRIEDMAN_DATASETS and critical_difference(k, n) <= k - 1


def nemenyi(block: pd.DataFrame) -> pd.DataFrame:
    """Return p of each two methods after Nemenyi (scikit-posthocs), methods × methods."""
    found = scikit_posthocs.posthoc_nemenyi_friedman(block.to_numpy().T)
    found.index = found.columns = block.index
    return found


def diagram(block: pd.DataFrame, metric: str = MAIN, *, higher: bool = True) -> Figure | None:
    """Return the diagram of Demšar (2006), best on the left; ``None`` if it would mean nothing.

    ``higher`` says whether more is better.
    """
    if not means_something(block):
        return None
    mean_ranks = average_ranks(block, higher_is_better=higher)
    figure = Figure(figsize=(8.5, 1.4 + 0.2 * len(block)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scikit_posthocs.critical_difference_diagram(
        mean_ranks, nemenyi(block), ax=axes, alpha=1 - LEVEL,
        label_fmt_left="{label} ({rank:.2f}) ", label_fmt_right=" ({rank:.2f}) {label}",
        color_palette=dict.fromkeys(block.index, _INK),
    )  # fmt: skip
    axes.set_title(
        f"mean rank by {label(metric)} on {block.shape[1]} datasets; critical difference "
        f"{critical_difference(*block.shape):.2f}", fontsize=10,
    )  # fmt: skip
    return figure


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as SVG for a page: text as text, ink in the colour of the page's text."""
    stream = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"ranks{name}"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
    return re.sub(r"(?<!fill: )(<text )", r'\1fill="currentColor" ', text)
