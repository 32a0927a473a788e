"""Datasets that a user added by ``bench data add``: ``<cache>/data/NAME.h5ad`` and its facts.

The facts lie beside the file as JSON, so that lists need not open it; a file without them is not
finished and does not count.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.dataset import Card


@dataclass(frozen=True)
class Added:
    """One added dataset."""

    name: str
    path: Path
    card: Card
    origin: str
    """Path of the file that was added."""
    sha256: str
    """Of the file in the cache."""

    @property
    def facts(self) -> Path:
        """The JSON file beside the data."""
        return facts_file(self.path)


def folder(cache: Path) -> Path:
    """Return the folder of added datasets."""
    return cache / "data"


def facts_file(path: Path) -> Path:
    """Return the JSON file that goes with an added ``.h5ad`` file."""
    return path.with_suffix(".json")


def added(cache: Path) -> dict[str, Added]:
    """Return the added datasets by name."""
    found = {}
    for facts in sorted(folder(cache).glob("*.json")):
        path = facts.with_suffix(".h5ad")
        try:
            values = json.loads(facts.read_text())
            known = {field.name for field in fields(Card)} - {"files"}
            given = {key: value for key, value in values["card"].items() if key in known}
            card = Card(**{**given, "tags": tuple(given["tags"])})
            one = Added(path.stem, path, card, values["origin"], values["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if path.is_file():
            found[one.name] = one
    return found


def facts_of(one: Added) -> str:
    """Return the content of the JSON file."""
    card: dict[str, Any] = asdict(one.card)
    del card["files"]
    return json.dumps({"card": card, "origin": one.origin, "sha256": one.sha256}, indent=1)
