"""What was compared, on what: a card of each dataset and each method."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.contract.precomputed import PRECOMPUTED, Precomputed
from bench.errors import BenchError
from bench.provenance import package_versions
from bench.registry import datasets, methods
from bench.selectors import parse_selector

from ..tables.citations import LIBRARIES
from ..tables.eligible import NOT_RUN
from ..tables.knowledge import uses_text
from ..tables.labels import metric_columns, registered_metrics

if TYPE_CHECKING:
    import pandas as pd

    from bench.contract import Card, Method

_LINK = re.compile(
    r"doi[: ]\s*(10\.\d{4,}/[^\s;,()]+(?:\(\d+\)[^\s;,()]+)?)|(https?://[^\s;,()]+)"
)


@dataclass
class FactCard:
    """The facts about a method or a dataset."""

    title: str
    summary: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    citation: list[tuple[str, str]] = field(default_factory=list)
    """Pieces of the citation, each with its address if it has one."""
    link: str = ""
    """Page of its own in a site."""


def dataset_cards(table: pd.DataFrame, plugins: tuple[str, ...] = ()) -> list[FactCard]:
    """Return a card of each dataset with a finished job."""
    done = table[table["status"] == "done"]
    cards = []
    for name, rows in done.groupby("dataset", sort=False):
        first = rows.iloc[0]
        card = _registered_card(str(first["dataset_name"]), plugins)
        facts = [
            ("size", _size(first, card)),
            ("organism", card.organism if card else ""),
            ("batches", f"column {card.batch_key}" if card and card.batch_key else "none"),
            ("labels", card.labels_from if card else ""),
            ("licence", card.licence if card else ""),
            ("data", card.url if card else ""),
        ]
        cards.append(
            FactCard(
                str(name),
                card.summary if card else "A file of your own.",
                [(head, text) for head, text in facts if text],
                linked(card.reference if card else ""),
            )
        )
    return cards


def _registered_card(name: str, plugins: tuple[str, ...]) -> Card | None:
    """Return the card of a dataset by its selector; ``None`` for a file."""
    entry = datasets(plugins).entries.get(name.partition("[")[0])
    if entry is None or entry.cls is None:
        return None
    try:
        return getattr(entry.cls.from_values(parse_selector(name).values), "card", None)
    except BenchError:  # parameters that this release no longer knows
        return None


def _size(row: pd.Series, card: Card | None) -> str:
    names = {"n_cells": "cells", "n_features": "features", "n_types": "types"}
    sizes = {key: row.get(key) for key in names}
    parts = [f"{int(v):,} {names[key]}" for key, v in sizes.items() if v is not None and v == v]
    return ", ".join([*parts, str(row["modality"])])


def method_cards(table: pd.DataFrame, plugins: tuple[str, ...] = ()) -> list[FactCard]:
    """Return a card of each method that was run, in the order of the table."""
    ran = table[~table["status"].isin(NOT_RUN)]
    cards = []
    for name, rows in ran.groupby("method", sort=False):
        entry = methods(plugins).entries.get(str(rows["method_name"].iloc[0]))
        cls = entry.cls if entry else None
        facts = [
            ("family", str(rows["family"].iloc[0])),
            ("told", uses_text(rows)),
            ("parameters", changed_parameters(rows, cls)),
            ("profile", ", ".join(sorted(set(rows["profile"]) - {"", "default"}))),
            ("device", ", ".join(sorted({str(d) for d in rows.get("device", []) if d}))),
            ("trained numbers", _count(rows)),
        ]
        cards.append(
            FactCard(
                str(name), cls.summary if cls else _unregistered(rows),
                [(head, text) for head, text in facts if text],
                linked(cls.reference if cls else ""),
            )
        )  # fmt: skip
    return cards


_UNKNOWN = "A method of a file that was not named; bench report --plugin FILE tells more of it."


def _unregistered(rows: pd.DataFrame) -> str:
    """Return what a method is that the registry does not hold."""
    precomputed = (rows["family"] == PRECOMPUTED).any()
    return Precomputed.summary if precomputed else _UNKNOWN


def changed_parameters(rows: pd.DataFrame, cls: type[Method] | None) -> str:
    """Return the parameters that differ from the defaults, of all fits of a method."""
    if cls is None or "params" not in rows:
        return ""
    defaults = {name: str(value) for name, value in cls.Params().model_dump().items()}
    values: dict[str, set[str]] = {}
    for text in rows["params"].dropna().unique():
        for name, value in json.loads(text or "{}").items():
            values.setdefault(name, set()).add(str(value))
    changed = [
        f"{name} = {' or '.join(sorted(found))} (default {defaults[name]})"
        for name, found in values.items()
        if name in defaults and found != {defaults[name]}
    ]
    return "; ".join(changed) or "all defaults"


def _count(rows: pd.DataFrame) -> str:
    known = rows["n_parameters"].dropna()
    if known.empty or not known.max():
        return ""
    ends = sorted({int(known.min()), int(known.max())})
    return " to ".join(f"{n:,}" for n in ends)


def linked(reference: str) -> list[tuple[str, str]]:
    """Return a citation as pieces of text with their addresses."""
    pieces, end = [], 0
    for found in _LINK.finditer(reference):
        url = f"https://doi.org/{found[1].rstrip('.')}" if found[1] else found[2]
        pieces += [(reference[end : found.start()], ""), (found.group(), url)]
        end = found.end()
    return [piece for piece in [*pieces, (reference[end:], "")] if piece[0]]


def collect_references(
    names: Iterable[str], keys: Iterable[str], plugins: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the references of methods and datasets by name, of metrics, and of the libraries.

    ``keys`` are those of scores, such as ``kmeans/ari``. What has no reference is left out.
    """
    found: dict[str, str] = {}
    for name in names:
        method = methods(plugins).entries.get(name.partition("[")[0])
        card = None if method else _registered_card(name, plugins)
        if method and method.cls:
            found[name] = method.cls.reference
        elif card:
            found[name] = card.reference
    registered = registered_metrics()
    for key in keys:
        metric = registered.get(key.rpartition("/")[2])
        found |= {metric.name: metric.reference} if metric else {}
    return found | {name: text for name, text in LIBRARIES.items() if name in package_versions()}


def references_of(table: pd.DataFrame, plugins: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the references behind a table of results."""
    ran = table[~table["status"].isin(NOT_RUN)]
    names = dict.fromkeys([*map(str, ran["method_name"]), *map(str, ran["dataset_name"])])
    return collect_references(names, metric_columns(table), plugins)
