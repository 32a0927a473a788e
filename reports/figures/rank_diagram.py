"""The diagram of mean ranks over datasets."""

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
from ..tables.eligible import competing, told_groups, told_words
from ..tables.inference import LEAST_DATASETS
from ..tables.labels import MAIN_METRIC, higher_is_better, label
from ..tables.leaderboard import complete_block, tidy
from ..tables.statistics import ranks_by_dataset

_TEXT_COLOUR = "#000000"


@dataclass
class RankSection:
    """Ranks of methods that use the same inputs: a sentence, and a diagram if there is a claim."""

    about: str
    """Modality, and what the methods were told; empty if there is one group only."""
    sentence: str
    svg: str
    """The diagram in the page's text colour; empty without a claim."""


def rank_sections(results: pd.DataFrame, metric: str = MAIN_METRIC) -> list[RankSection]:
    """Return sentence and diagram of each modality and group of methods told the same."""
    sections = []
    groups = rank_groups(results, metric)
    several = len({group.modality for group in groups}) > 1
    for group in groups:
        figure = rank_diagram(group, metric)
        svg = _svg(figure, group.modality + group.told) if figure else ""
        about = [group.modality * several, f"told {told_words(group.told)}" * bool(group.told)]
        sections.append(
            RankSection(", ".join(filter(None, about)), block_sentence(group.block), svg)
        )
    return sections


def block_sentence(block: pd.DataFrame) -> str:
    """Return how many methods and datasets are ranked, and whether a claim is possible."""
    k, n = block.shape
    if k < 2 or n < 1:
        return "Fewer than two methods have a score on every dataset: there is nothing to rank."
    text = f"Ranks compare {k} methods on {n} dataset{'s' * (n > 1)} that all of them finished."
    if n < LEAST_DATASETS:
        return f"{text} Claims over datasets need {LEAST_DATASETS} datasets: none is made."
    return text


@dataclass
class RankGroup:
    """Methods of one modality that were told the same."""

    modality: str
    told: str
    rows: pd.DataFrame
    """The results of the modality."""
    block: pd.DataFrame
    """Means, methods × datasets without a gap."""


def rank_groups(results: pd.DataFrame, metric: str = MAIN_METRIC) -> list[RankGroup]:
    """Return the groups of methods that are ranked with each other."""
    table = tidy(results)
    groups = []
    for modality in [name for name in table["modality"].unique() if name] or [""]:
        rows = table[table["modality"] == modality] if modality else table
        groups += [
            RankGroup(str(modality), told, rows, complete_block(rows, metric, told))
            for told in told_groups(rows)
        ]
    return groups


def rank_diagram(group: RankGroup, metric: str = MAIN_METRIC) -> Figure | None:
    """Return mean ranks, best on the left, with a bar over methods that do not reliably differ.

    The diagram follows Demšar (2006, figure 1); its bars are the claims of
    :func:`.claims.over_datasets`. ``None`` if no claim is possible.
    """
    rows, block = group.rows, group.block
    better = higher_is_better(metric, rows)
    if better is None or block.empty:
        return None
    standing = over_datasets(rows, block, metric, told=group.told)
    comparisons = standing.comparisons
    if comparisons is None or len(comparisons.methods) < 3:
        return None
    names = list(comparisons.methods)
    failures = failed_seeds(competing(rows, group.told))
    mean_ranks = ranks_by_dataset(block, failures, higher_is_better=better).mean(axis=1)[names]
    p_values = pd.DataFrame(1.0 - comparisons.significant, index=names, columns=names)
    figure = Figure(figsize=(8.5, 1.4 + 0.2 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scikit_posthocs.critical_difference_diagram(
        mean_ranks, p_values, ax=axes, label_fmt_left="{label} ({rank:.2f}) ",
        label_fmt_right=" ({rank:.2f}) {label}", color_palette=dict.fromkeys(names, _TEXT_COLOUR),
    )  # fmt: skip
    axes.set_title(f"mean rank by {label(metric)} on {block.shape[1]} datasets", fontsize=10)
    return figure


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as SVG with real text, in the colour of the page's text."""
    stream = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"ranks{name}"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(_TEXT_COLOUR, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
    return re.sub(r"(?<!fill: )(<text )", r'\1fill="currentColor" ', text)
