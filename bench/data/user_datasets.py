"""Datasets that a user added with ``bench data add``.

Each is ``<cache>/data/NAME.h5ad`` (``.h5mu`` for paired data) with its facts beside it as JSON, so
that lists open no data. A file without facts is unfinished and is ignored.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.contract import MULTIOME, Card, Markers
from bench.errors import UsageError

from .cache.folder_state import disk_errors_as_data_errors, write_text_atomically

_SUFFIXES = (".h5ad", ".h5mu")


@dataclass(frozen=True)
class UserDataset:
    """A dataset that the user added."""

    name: str
    path: Path
    card: Card
    origin: str
    """Path of the original file."""
    sha256: str
    """Digest of the file in the cache."""


def user_datasets(cache: Path) -> dict[str, UserDataset]:
    """Return the datasets that the user added, by name."""
    datasets = {}
    for facts in sorted((cache / "data").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(facts.read_text())
            card = _card_from_json(values["card"])
            path = facts.with_suffix(data_suffix(card))
            if path.is_file():
                datasets[path.stem] = UserDataset(
                    path.stem, path, card, values["origin"], values["sha256"]
                )
    return datasets


def _card_from_json(values: dict[str, Any]) -> Card:
    names = {field.name for field in fields(Card)} - {"files"}
    values = {key: value for key, value in values.items() if key in names}
    values["tags"] = tuple(values["tags"])
    if values.get("markers"):
        values["markers"] = Markers(**values["markers"])
    return Card(**values)


def remove_dataset(name: str, cache: Path) -> UserDataset:
    """Remove a dataset of the user and return it; raises ``UsageError`` for an unknown name."""
    datasets = user_datasets(cache)
    if name not in datasets:
        names = ", ".join(sorted(datasets)) or "none"
        raise UsageError(
            f"'{name}' is no dataset of yours (added: {names}); remove downloads with "
            "'bench data clean --downloads'.",
            code="unknown_name",
        )
    path = datasets[name].path
    with dataset_lock(path):
        _facts_file(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return datasets[name]


def data_suffix(card: Card) -> str:
    """Return the suffix of the data file: ``.h5mu`` for paired data, else ``.h5ad``."""
    return _SUFFIXES[card.modality == MULTIOME]


def replace_dataset(dataset: UserDataset, new_file: Path) -> None:
    """Store a finished file and its facts, in place of a dataset of the same name."""
    path = dataset.path
    card = asdict(dataset.card)
    del card["files"]
    facts = {"card": card, "origin": dataset.origin, "sha256": dataset.sha256}
    _facts_file(path).unlink(missing_ok=True)  # the data are ignored until facts exist
    new_file.replace(path)
    write_text_atomically(_facts_file(path), json.dumps(facts, indent=1))
    for suffix in _SUFFIXES:  # data of the other kind under the same name
        if suffix != path.suffix:
            path.with_suffix(suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def dataset_lock(path: Path) -> Iterator[None]:
    """Hold the lock of one dataset; raises ``DataError`` if the disk fails."""
    with disk_errors_as_data_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.stem}.lock")):
            yield


def _facts_file(path: Path) -> Path:
    return path.with_suffix(".json")
