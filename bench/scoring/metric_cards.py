"""Cards of the metrics, for the command line and the documentation; loads no array library.

The texts are the fields of :class:`Metric` and the docstring of its function.
"""

from __future__ import annotations

import inspect
import re
from functools import partial
from typing import TYPE_CHECKING

from .aggregates import AGGREGATES
from .metrics import built_in_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from bench.contract import Metric

_BETTER = {True: "higher", False: "lower", None: "neither"}
_SCORED = {
    "clustering": ("clusters", "Clusterings against the true types"),
    "partition": ("clusters", "Clusterings on the embedding"),
    "embedding": ("types", "The true types on the embedding"),
    "batch": ("batches", "The batches on the embedding"),
    "integration": ("batches", "The batches on the embedding, against the data before"),
    "counts": ("counts", "The counts on the embedding, for data without labels"),
    "rare": ("rare type", "One rare type on the embedding"),
    "paired": ("paired data", "RNA and chromatin of unseen cells"),
    "predicted": ("held-out cells", "Types and proteins that guided methods predict"),
    "aggregate": ("scores", "Means of scores, as in scIB"),
}
"""What metrics of a kind score, as a word and as a heading, in the order of the tables."""
_KEYS = {
    "clustering": "kmeans/{0}, leiden/{0}, CLUSTERING/{0} of the method's own clusterings",
    "partition": "kmeans/{0}, leiden/{0}, CLUSTERING/{0} of the method's own clusterings",
    "paired": "paired/{0}",
    "predicted": "predicted/{0}",
    "aggregate": "scib/{0}",
}
_PAGE = """# Metrics

`bench metrics` lists them, `bench metrics NAME` shows one, also of a plugin.

A metric that is not defined for a fit is missing with a reason, never zero. Clusterings are made
of all cells, metrics see the reported cells only. k-means gets the number of true types; Leiden
has resolution 1 on the graph of the 15 nearest neighbours. Neighbours are exact and Euclidean, and
ties are broken at random by the seed. No dimension of an embedding is scaled. A *fact* is a number
that is recorded beside a score.

*scib-metrics* says how a metric differs from the function of that package
(version 0.5.10); a metric without that line is not in it. Where it says *equal*,
`tests/scoring/test_scib_metrics.py` compares the two.
"""


def metric_card(metric: Metric) -> dict[str, str]:
    """Return the facts about a metric by heading; empty ones are left out."""
    low, high = (f"{bound:g}".replace("inf", "any number") for bound in metric.bounds)
    definition, convention, undefined = _docstring_parts(metric.function)
    card = {
        "metric": metric.name,
        "summary": metric.summary,
        "definition": definition,
        "range": f"{low} to {high}",
        "better": _BETTER[metric.higher_is_better],
        "convention": convention,
        "not defined": undefined,
        "scib-metrics": metric.scib_metrics,
        "scores": _SCORED[metric.kind][0],
        "keys": _KEYS.get(metric.kind, "embedding/{0}").format(metric.name),
        "version": str(metric.version),
        "reference": metric.reference,
    }
    return {heading: text for heading, text in card.items() if text}


def sort_metrics(metrics: Iterable[Metric]) -> list[Metric]:
    """Return metrics sorted by what they score, then by name."""
    kinds = list(_SCORED)
    return sorted(metrics, key=lambda metric: (kinds.index(metric.kind), metric.name))


def metrics_page() -> str:
    """Return the page of the built-in metrics, grouped by what they score."""
    parts = [_PAGE]
    every = sort_metrics([*built_in_metrics().values(), *AGGREGATES])
    for kind, (_, heading) in _SCORED.items():
        cards = [metric_card(metric) for metric in every if metric.kind == kind]
        parts.append(f"## {heading}\n")
        parts += [_section(names, card) for names, card in _group_equal(cards)]
    return "\n".join(parts)


def _group_equal(cards: Iterable[dict[str, str]]) -> list[tuple[list[str], dict[str, str]]]:
    """Return the names of the metrics that share a definition, and one card for them."""
    groups: dict[str, tuple[list[str], dict[str, str]]] = {}
    for card in cards:
        summary = f"`{card['metric']}`: {card['summary']}"
        if card["definition"] not in groups:
            groups[card["definition"]] = [card["metric"]], dict(card, summary=summary)
            continue
        names, first = groups[card["definition"]]
        names.append(card["metric"])
        first["summary"] += f"\\\n{summary}"
        for heading in ("better", "reference"):
            if card[heading] not in first[heading]:
                first[heading] += f"; {card[heading]}"
    return list(groups.values())


def _section(names: list[str], card: dict[str, str]) -> str:
    """Return one section of the page; several metrics of one function share it."""
    shown = (
        "definition", "range", "better", "convention", "not defined", "scib-metrics", "reference",
    )  # fmt: skip
    lines = [f"* **{heading}**: {card[heading]}" for heading in shown if heading in card]
    return f"### {', '.join(names)}\n\n{card['summary']}\n\n" + "\n".join(lines) + "\n"


def _docstring_parts(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Return the description of the value, the *Notes* and the *Raises* of a docstring."""
    while isinstance(function, partial):
        function = function.func
    sections = re.split(r"^(\w+)\n-+\n", inspect.getdoc(function) or "", flags=re.MULTILINE)
    named = dict(zip(sections[1::2], sections[2::2], strict=True))
    value = _flow(sections[0]).removeprefix("Return ")
    raised = named.get("Raises", "").partition("UndefinedMetric\n")[2]
    return value[:1].upper() + value[1:], _flow(named.get("Notes", "")), _flow(raised)


def _flow(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.replace("``", "`").split())
