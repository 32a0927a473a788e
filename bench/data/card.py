"""The card of one dataset: what it is, how far to trust its labels, and where its data are.

Reading a card imports nothing heavy. Labels and depth come from the facts in the cache; only for
an ``.h5ad`` file that is not in the cache the file is opened, and the card says so.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.resolve import ResolvedDataset, download_size, resolve_dataset
from bench.data.user_datasets import user_datasets
from bench.messages import format_size
from bench.registry import datasets
from bench.selectors import parse_selector
from bench.settings import Settings, load_settings

from .cache.data_cache import CachedDataset, DataCache
from .known_markers import dataset_markers
from .peek import summarize_h5ad

if TYPE_CHECKING:
    from bench.contract import Dataset, FileLocation, Markers

Row = dict[str, Any]
_NAMES = {
    "summary": "summary", "description": "description", "modality": "data",
    "organism": "organism", "n_cells": "cells", "n_features": "features", "n_types": "n_types",
    "cells_of_a_type": "cells_of_a_type", "label_key": "label_column",
    "labels_from": "labels_from", "batch_key": "batch_column", "median_counts": "median_counts",
    "mean_counts": "mean_counts", "zeros": "share_of_zeros", "reference": "citation",
    "licence": "licence", "url": "url", "documented": "documented",
    "verified": "checked_on_a_real_file", "tags": "tags", "state": "state", "notes": "notes",
}  # fmt: skip
"""Facts in the order in which they are shown, and what they are called there."""


def dataset_card(text: str, plugins: tuple[str, ...] = ()) -> Row:
    """Return all facts about one dataset, named as in ``--datasets``: a name or a path.

    Lists are tables: ``types`` (if the counts are in the cache or a local ``.h5ad`` file),
    ``files``, ``parameters``, ``presets``. Raises ``UsageError`` for an unknown name.
    """
    settings = load_settings({"plugins": plugins} if plugins else {})
    notes: list[str] = []
    chosen = resolve_dataset(text, settings, notes.append)
    loader, stored = _loader(chosen, text, settings), _known(chosen, settings)
    facts = _facts_of(chosen.dataset, stored, notes)
    types, said = facts.get("types", {}), facts.get("said", {})
    if types:
        facts["cells_of_a_type"] = f"{min(types.values()):,} to {max(types.values()):,}"
    facts["description"] = _description(loader)
    facts["state"] = _state(chosen.dataset, stored, settings)
    facts["notes"] = notes
    markers = dataset_markers(chosen.dataset)
    card = {
        "dataset": chosen.label,
        **{name: facts[key] for key, name in _NAMES.items() if key in facts},
        "types": _type_rows(types),
        "marker_lists_from": markers.source if markers else "",
        "marker_lists": _marker_rows(markers),
        "the_file_says": [{"key": key, "text": text} for key, text in said.items()],
        "files": [_file_row(held) for held in loader.file_locations()],
        "parameters": loader.Params.describe(),
        "presets": preset_rows(loader.Params.presets),
    }
    return {key: value for key, value in card.items() if value not in ("", None, [])}


def plain_docstring(docstring: str | None) -> str:
    """Return a docstring for people: each paragraph on one line, lists as they are, no quotes."""
    parts = inspect.cleandoc(docstring or "").replace("``", "").split("\n\n")
    return "\n\n".join(
        part if re.search(r"^(\s|[*-] )", part, re.MULTILINE) else " ".join(part.split())
        for part in parts
    )


def preset_rows(presets: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return one row for each named set of parameter values."""
    return [
        {"preset": name, "sets": ", ".join(f"{key}={value}" for key, value in values.items())}
        for name, values in presets.items()
    ]


def _loader(chosen: ResolvedDataset, text: str, settings: Settings) -> Dataset:
    """Return what describes a dataset: the registered loader, also where a file stands in."""
    entry = datasets(settings.plugins).entries.get(chosen.dataset.name)
    if entry is None or entry.cls is None or isinstance(chosen.dataset, entry.cls):
        return chosen.dataset
    loader = entry.cls.from_values(parse_selector(text).values)
    loader.configure(settings)
    return loader


def _known(chosen: ResolvedDataset, settings: Settings) -> CachedDataset | None:
    """Return the copy in the cache; a cache folder is not made for a card."""
    if not settings.cache_dir.is_dir():
        return None
    return DataCache(settings.cache_dir).known(chosen.dataset, chosen.source, chosen.label)


def _facts_of(dataset: Dataset, stored: CachedDataset | None, notes: list[str]) -> Row:
    """Return facts under the names of a card, with ``types`` and depth where they are known."""
    if stored is not None:
        info = stored.facts["info"]
        notes += stored.facts["warnings"]
        return {
            **_card_facts(stored.facts["card"]),
            "n_cells": info["n_cells"],
            "n_features": info["n_features"],
            "n_types": stored.n_types,
            "types": stored.facts["types"],
            "median_counts": stored.facts.get("median_counts"),
            "mean_counts": round(info["mean_counts"], 1),
            "zeros": round(1 - info["density"], 4),
        }
    # The card of a file is known once it has been read; of a stand-in, what was known before.
    card = getattr(dataset, "card", None) or getattr(dataset, "known", None)
    facts = _card_facts(asdict(card)) if card else {}
    path = Path(dataset.where)
    if path.suffix != ".h5ad" or not path.is_file():
        return facts
    notes.append(f"not in the cache yet: labels and depth were read from {path}")
    file: Any = getattr(dataset, "file", dataset)
    said = summarize_h5ad(path, file.params.label_key, notes.append)
    return {**said, **facts, **{key: said[key] for key in _OF_THE_FILE & said.keys()}}


_OF_THE_FILE = {"n_cells", "n_features", "n_types", "types", "label_key"}
"""What a file at hand knows better than a card written beforehand."""


def _card_facts(card: Row) -> Row:
    kept = {key: card[key] for key in _NAMES if card.get(key) not in ("", None)}
    if not card["files"]:
        del kept["verified"]  # says whether real files have passed the loader
    return kept | {"tags": ", ".join(card["tags"])}


def _type_rows(types: Mapping[str, int]) -> list[Row]:
    total = sum(types.values())
    ranked = sorted(types.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"type": name, "cells": size, "share": round(size / total, 4)} for name, size in ranked
    ]


def _marker_rows(markers: Markers | None) -> list[Row]:
    lists = markers.lists if markers else {}
    return [{"signature": name, "genes": ", ".join(genes)} for name, genes in lists.items()]


def _file_row(held: FileLocation) -> Row:
    file = held.file
    return {
        "file": file.name,
        "size": format_size(file.size or file.approximate_size) or "not stated",
        "from": file.source + ("" if file.url else " (by hand)"),
        "checksum": file.checksum or "none published",
        "here": str(held.path or "no"),
    }


def _state(dataset: Dataset, stored: CachedDataset | None, settings: Settings) -> str:
    """Return where the data are, or how to get them."""
    held, path = dataset.file_locations(), Path(dataset.where)
    own = user_datasets(settings.cache_dir).get(dataset.name)
    if stored is not None:
        return f"cached in {stored.folder}"
    if any(one.path is None for one in held):
        return f"to fetch{download_size(held)}: bench data fetch {dataset.name}"
    if held:
        kinds = {"local": "found", "mirror": "found in the mirror", "download": "downloaded"}
        return f"{kinds[held[0].kind]}: {', '.join(str(one.path) for one in held)}"
    if own is not None and own.path == path:
        return f"added from {own.origin}: {path}"
    return f"found: {path}" if path.exists() else "ready: needs no file"


def _description(dataset: Dataset) -> str:
    """Return the text of a loader's class; a file has no text of its own."""
    return plain_docstring(type(dataset).__doc__) if hasattr(type(dataset), "card") else ""
