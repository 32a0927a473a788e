"""The verb ``bench datasets``."""

from __future__ import annotations

from typing import Annotated

from bench.data.card import dataset_card
from bench.data.manage import dataset_location
from bench.data.user_datasets import user_datasets
from bench.messages import format_size
from bench.registry import datasets
from bench.settings import Settings

from .completion import complete_datasets
from .options import AsJson, argument, verb
from .tables import Row, print_content


@verb("plugins")
def datasets_command(
    name: Annotated[
        str | None, argument("NAME", "show one in full", autocompletion=complete_datasets)
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """List the datasets, or show one: what it is, its labels, its citation."""
    plugins = settings.plugins
    content = dataset_card(name, plugins) if name else dataset_table(settings)
    print_content(content, as_json=as_json)


def dataset_table(settings: Settings) -> list[Row]:
    """Return one row a dataset, with the state of its data."""
    registered, own = datasets(settings.plugins).entries, user_datasets(settings.cache_dir)
    rows: list[Row] = []
    for name in sorted({*registered, *own}):
        entry = registered.get(name)
        if entry is not None and (entry.cls is None or entry.unavailable):
            rows.append({"dataset": name, "summary": f"unavailable: {entry.unavailable}"})
            continue
        card = entry.cls.card if entry is not None and entry.cls else own[name].card
        at = dataset_location(name, settings)
        size = (
            f" ({format_size(at['bytes'])})" if at["state"] == "to fetch" and at["bytes"] else ""
        )
        rows.append(
            {
                "dataset": name,
                "data": card.modality,
                "cells": card.n_cells or "",
                "features": card.n_features or "",
                "types": card.n_types or "",
                "state": at["state"] + size,
                "summary": card.summary,
            }
        )
    return rows
