"""The card of one dataset: its facts, the origin of its labels, and where its data are.

Reading a card imports nothing heavy. Labels and depth come from the facts in the cache. Only an
``.h5ad`` file that is not in the cache is opened, and a note reports it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.messages import collect_notes, format_size, log_note
from bench.registry import datasets
from bench.selectors import parse_selector
from bench.settings import Settings, load_settings

from .cache.data_cache import DataCache
from .marker_lists import dataset_markers
from .resolve import ResolvedDataset, download_size, resolve_dataset
from .user_datasets import user_datasets

if TYPE_CHECKING:
    from bench.contract import Dataset, FileLocation, Markers

    from .cache.cached_dataset import CachedDataset

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
"""Facts in the order of display, with their displayed names."""


def dataset_card(text: str, plugins: tuple[str, ...] = ()) -> Row:
    """Return all facts about the dataset of a name or a path.

    Lists are tables: ``types`` (if the counts are in the cache or in a local ``.h5ad`` file),
    ``files``, ``parameters``, ``presets``. Raises ``UsageError`` for an unknown name.
    """
    settings = load_settings({"plugins": plugins} if plugins else {})
    with collect_notes() as notes:
        resolved = resolve_dataset(text, settings)
        dataset, cached = resolved.dataset, _find_cached(resolved, settings)
        facts = _cached_facts(cached) if cached else _file_facts(dataset)
    loader = _find_loader(dataset, text, settings)
    types, texts = facts.get("types", {}), facts.get("texts", {})
    if types:
        facts["cells_of_a_type"] = f"{min(types.values()):,} to {max(types.values()):,}"
    if hasattr(type(loader), "card"):  # a file has no text of its own
        facts["description"] = plain_docstring(type(loader).__doc__)
    facts["state"] = _state(dataset, cached, settings)
    facts["notes"] = [*notes, *(cached.facts["warnings"] if cached else [])]
    markers = dataset_markers(dataset)
    card = {
        "dataset": resolved.label,
        **{name: facts[key] for key, name in _NAMES.items() if key in facts},
        "types": _type_rows(types),
        "marker_lists_from": markers.source if markers else "",
        "marker_lists": _marker_rows(markers),
        "the_file_says": [{"key": key, "text": text} for key, text in texts.items()],
        "files": [_file_row(location) for location in loader.file_locations()],
        "parameters": loader.Params.describe(),
        "presets": preset_rows(loader.Params.presets),
    }
    return {key: value for key, value in card.items() if value not in ("", None, [])}


def plain_docstring(docstring: str | None) -> str:
    """Return a docstring without quotes, each paragraph on one line; lists stay unchanged."""
    parts = inspect.cleandoc(docstring or "").replace("``", "").split("\n\n")
    return "\n\n".join(
        part if re.search(r"^(\s|[*-] )", part, re.MULTILINE) else " ".join(part.split())
        for part in parts
    )


def preset_rows(presets: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return one row a preset, with its name and parameter values."""
    return [
        {"preset": name, "sets": ", ".join(f"{key}={value}" for key, value in values.items())}
        for name, values in presets.items()
    ]


def _find_loader(dataset: Dataset, text: str, settings: Settings) -> Dataset:
    """Return the registered loader of a name, also if a file is read in its place."""
    entry = datasets(settings.plugins).entries.get(dataset.name)
    if entry is None or entry.cls is None or isinstance(dataset, entry.cls):
        return dataset
    loader = entry.cls.from_values(parse_selector(text).values)
    loader.configure(settings)
    return loader


def _find_cached(resolved: ResolvedDataset, settings: Settings) -> CachedDataset | None:
    """Return the copy in the cache, without making a cache folder."""
    if not settings.cache_dir.is_dir():
        return None
    return DataCache(settings.cache_dir).find_dataset(
        resolved.dataset, resolved.source, resolved.label
    )


def _cached_facts(cached: CachedDataset) -> Row:
    """Return the facts of a copy in the cache, with ``types`` and depth."""
    info = cached.facts["info"]
    return {
        **_card_facts(cached.facts["card"]),
        "n_cells": info["n_cells"],
        "n_features": info["n_features"],
        "n_types": cached.n_types,
        "types": cached.facts["types"],
        "median_counts": cached.facts.get("median_counts"),
        "mean_counts": round(info["mean_counts"], 1),
        "zeros": round(1 - info["density"], 4),
    }


def _file_facts(dataset: Dataset) -> Row:
    """Return the facts of the card, and of the ``.h5ad`` file if the data are one."""
    # Before a file is read, only a file under a name has a card.
    card = getattr(dataset, "card", None) or getattr(dataset, "named_card", None)
    facts = _card_facts(asdict(card)) if card else {}
    path = Path(dataset.where)
    if path.suffix != ".h5ad" or not path.is_file():
        return facts
    from .h5ad_summary import summarize_h5ad

    log_note(f"not in the cache yet: labels and depth were read from {path}")
    file: Any = getattr(dataset, "file", dataset)
    summary = summarize_h5ad(path, file.params.label_key)
    return {**summary, **facts, **{key: summary[key] for key in _FILE_FACTS & summary.keys()}}


_FILE_FACTS = {"n_cells", "n_features", "n_types", "types", "label_key"}
"""Facts that the file decides, not the card."""


def _card_facts(card: Row) -> Row:
    facts = {key: card[key] for key in _NAMES if card.get(key) not in ("", None)}
    if not card["files"]:
        del facts["verified"]  # concerns files that are fetched
    return facts | {"tags": ", ".join(card["tags"])}


def _type_rows(types: Mapping[str, int]) -> list[Row]:
    total = sum(types.values())
    ranked = sorted(types.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"type": name, "cells": size, "share": round(size / total, 4)} for name, size in ranked
    ]


def _marker_rows(markers: Markers | None) -> list[Row]:
    lists = markers.lists if markers else {}
    return [{"signature": name, "genes": ", ".join(genes)} for name, genes in lists.items()]


def _file_row(location: FileLocation) -> Row:
    file = location.file
    return {
        "file": file.name,
        "size": format_size(file.size or file.approximate_size) or "not stated",
        "from": file.source + ("" if file.url else " (by hand)"),
        "checksum": file.checksum or "none published",
        "here": str(location.path or "no"),
    }


def _state(dataset: Dataset, cached: CachedDataset | None, settings: Settings) -> str:
    """Return where the data are, or the command that fetches them."""
    if cached is not None:
        return f"cached in {cached.folder}"
    locations, path = dataset.file_locations(), Path(dataset.where)
    if any(location.path is None for location in locations):
        return f"to fetch{download_size(locations)}: bench data fetch {dataset.name}"
    if locations:
        kinds = {"local": "found", "mirror": "found in the mirror", "download": "downloaded"}
        paths = ", ".join(str(location.path) for location in locations)
        return f"{kinds[locations[0].kind]}: {paths}"
    added = user_datasets(settings.cache_dir).get(dataset.name)
    if added is not None and added.path == path:
        return f"added from {added.origin}: {path}"
    return f"found: {path}" if path.exists() else "ready: needs no file"
