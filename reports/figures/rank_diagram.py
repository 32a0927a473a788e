"""The diagram of mean ranks over datasets, where differences can be claimed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO

import matplotlib as mpl
import pandas as pd
import scikit_posthocs
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..tables.claims import failed_seeds, over_datasets
from ..tables.eligible import competing
from ..tables.inference import LEAST_DATASETS
from ..tables.labels import MAIN, higher_is_better, label
from ..tables.leaderboard import complete_block, tidy
from ..tables.statistics import ranks_by_dataset

_INK = "#000000"


@dataclass
class Ranks:
    """What the ranks of one modality rest on, and their diagram if differences can be claimed."""

    modality: str
    sentence: str
    svg: str
    """A drawing in the page's text colour; empty where a diagram would mean nothing."""


def ranks(results: pd.DataFrame, metric: str = MAIN) -> list[Ranks]:
    """Return sentence and diagram by modality."""
    table = tidy(results)
    found = []
    for modality, block in blocks(results, metric).items():
        rows = table[table["modality"] == modality] if modality else table
        figure = diagram(rows, block, metric)
        found.append(Ranks(modality, sentence(block), _svg(figure, modality) if figure else ""))
    return found


def sentence(block: pd.DataFrame) -> str:
    """Return what a complete block of methods × datasets can show."""
    k, n = block.shape
    if k < 2 or n < 1:
        return "Fewer than two methods have a score on every dataset: there is nothing to rank."
    text = f"Ranks compare {k} methods on {n} dataset{'s' * (n > 1)} that all of them finished."
    if n < LEAST_DATASETS:
        return f"{text} A claim over datasets needs {LEAST_DATASETS}: none is made."
    return text


def blocks(results: pd.DataFrame, metric: str = MAIN) -> dict[str, pd.DataFrame]:
    """Return the complete block of methods × datasets by modality."""
    table = tidy(results)
    groups = [name for name in table["modality"].unique() if name] or [""]
    found = {}
    for modality in groups:
        rows = table[table["modality"] == modality] if modality else table
        found[modality] = complete_block(rows, metric)
    return found


def diagram(rows: pd.DataFrame, block: pd.DataFrame, metric: str = MAIN) -> Figure | None:
    """Return mean ranks with a bar over methods that do not reliably differ, best on the left.

    ``rows`` are the results of one modality and ``block`` its methods × datasets. The drawing is
    that of Demšar (2006, figure 1), the bars are those of :func:`.claims.over_datasets`. ``None``
    where no claim is possible.
    """
    better = higher_is_better(metric, rows)
    if better is None or block.empty:
        return None
    standing = over_datasets(rows, block, metric)
    compared = standing.comparisons
    if compared is None or len(compared.methods) < 3:
        return None
    names = list(compared.methods)
    failures = failed_seeds(competing(rows))
    mean_ranks = ranks_by_dataset(block, failures, higher_is_better=better).mean(axis=1)[names]
    apart = pd.DataFrame(1.0 - compared.significant, index=names, columns=names)
    figure = Figure(figsize=(8.5, 1.4 + 0.2 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scikit_posthocs.critical_difference_diagram(
        mean_ranks, apart, ax=axes, label_fmt_left="{label} ({rank:.2f}) ",
        label_fmt_right=" ({rank:.2f}) {label}", color_palette=dict.fromkeys(names, _INK),
    )  # fmt: skip
    axes.set_title(f"mean rank by {label(metric)} on {block.shape[1]} datasets", fontsize=10)
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
