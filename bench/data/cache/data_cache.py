"""The cache of datasets and prepared matrices, in folders named by their content.

``<cache>/datasets/<digest>/`` holds counts and names, and the labels in separate files, which only
scoring opens. ``<cache>/prepared/<key>/`` holds the result of one recipe. Damaged folders are
replaced. Array libraries are imported only where arrays are read or written.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from bench.contract import PARTS, Markers, PairedRecipe, Recipe
from bench.digests import digest
from bench.errors import DataError
from bench.versions import CACHE, PREPARATION

from ..marker_lists import dataset_markers
from .cached_dataset import CachedDataset
from .cleanup import (
    LEFTOVER_SECONDS,
    CacheEntry,
    FoldersInUse,
    list_entries,
    remove_entries,
    remove_leftovers,
    remove_memory_files,
)
from .folder_state import (
    disk_errors_as_data_errors,
    is_intact,
    mark_used,
    read_info,
    write_text_atomically,
)

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset

    from .array_folder import FolderWriter

logger = logging.getLogger(__name__)

MAX_BYTES = 20 * 2**30
"""Size down to which :meth:`DataCache.clean` removes by default."""


class DataCache:
    """Access to one cache folder.

    ``reader`` loads and stores a dataset that is not in the cache, and returns its folder. By
    default this process does it (:meth:`store_dataset`).
    """

    def __init__(
        self, root: Path, reader: Callable[[DataCache, Dataset], Path] | None = None
    ) -> None:
        self.root, self._reader = root, reader or DataCache.store_dataset
        try:
            for name in ("datasets", "prepared", "pointers", "locks", "users"):
                (root / name).mkdir(parents=True, exist_ok=True)
            self._in_use = FoldersInUse(root)
            remove_leftovers(root, self._in_use)
        except OSError as error:
            raise DataError(
                f"cache folder {root} cannot be used: {error.strerror}; set BENCH_CACHE_DIR.",
                code="not_writable",
            ) from None

    def load_dataset(self, dataset: Dataset, source: str, label: str) -> CachedDataset:
        """Return a dataset from the cache; it is loaded, checked and stored first if missing.

        ``source`` is the digest of the loader's code. Raises ``DataError``.
        """
        from bench.data.checks import memory_warnings

        folder = self._dataset_folder(dataset, source, label)
        cached = CachedDataset(folder, label, read_info(folder), where=dataset.where)
        for line in memory_warnings(cached.info):
            logger.info(f"{label}: {line}")
        return replace(cached, markers=_stored_markers(cached.facts) or dataset_markers(dataset))

    def _dataset_folder(self, dataset: Dataset, source: str, label: str) -> Path:
        """Return the folder of a dataset, stored now if it is missing or damaged."""
        identity = _identity(dataset, source)
        pointer = self._pointer(identity)
        with self._locked(pointer.stem):
            if pointer.is_file():
                folder = self.root / "datasets" / _pointer_target(pointer)
                self._in_use.declare(folder.name)
                if is_intact(folder):
                    mark_used(folder)
                    return folder
                if folder.exists():
                    logger.info(f"{label}: the cached copy is damaged; making it again")
            logger.info(f"{label}: loading and checking")
            folder = self._reader(self, dataset)
            self._in_use.declare(folder.name)
            text = json.dumps({"folder": folder.name, "identity": identity}, indent=1)
            with disk_errors_as_data_errors(pointer.parent):
                write_text_atomically(pointer, text)
        return folder

    def find_dataset(self, dataset: Dataset, source: str, label: str) -> CachedDataset | None:
        """Return a dataset if it is in the cache, else ``None``; nothing is loaded or checked."""
        try:
            target = _pointer_target(self._pointer(_identity(dataset, source)))
            folder = self.root / "datasets" / target
            facts = read_info(folder)
        except (OSError, ValueError, KeyError):
            return None
        markers = _stored_markers(facts) or dataset_markers(dataset)
        return CachedDataset(folder, label, facts, markers, where=dataset.where)

    def _pointer(self, identity: dict[str, Any]) -> Path:
        return self.root / "pointers" / f"{digest(identity)}.json"

    def store_dataset(self, dataset: Dataset) -> Path:
        """Load, check and write a dataset block by block; returns its folder."""
        from .dataset_files import write_loaded_dataset

        with self._new_folder("datasets") as writer:
            facts = write_loaded_dataset(writer, dataset)
            identifying = (
                "info", "counts_digest", "labels_digest", "batch_digest", "train_digest",
                "proteins_digest", "replacement_markers",
            )  # fmt: skip
            parts = [facts[name] for name in identifying]
            name = digest([CACHE, dataset.name, dataset.card.rare_type, *dataset.notes, *parts])
            folder = self.root / "datasets" / name
            self._in_use.declare(name)
            with self._locked(name):
                if not is_intact(folder):
                    writer.finish(folder, facts)
        return folder

    def prepared_key(self, dataset: CachedDataset, recipe: Recipe | PairedRecipe) -> str:
        """Return the name of the folder of a dataset prepared by a recipe."""
        return _prepared_key(dataset.facts, recipe)

    def is_prepared(self, key: str) -> bool:
        """Return whether a prepared folder is intact, and protect it while this object lives."""
        self._in_use.declare(key)
        folder = self.root / "prepared" / key
        if not is_intact(folder):
            return False
        return all(self.is_prepared(part) for part in read_info(folder)["parts"].values())

    def prepare(self, folder: Path, recipe: Recipe | PairedRecipe, key: str) -> None:
        """Prepare the dataset in ``folder`` by ``recipe`` unless the result is in the cache.

        Each part of paired data is prepared on its own.
        """
        from .prepared_files import write_prepared, write_prepared_pair

        if not isinstance(recipe, PairedRecipe):
            self.store_prepared(key, partial(write_prepared, folder, recipe, ""))
            return
        keys = _part_keys(read_info(folder), recipe)
        for part in PARTS:
            write = partial(write_prepared, folder, getattr(recipe, part), part)
            self.store_prepared(keys[part], write)
        self.store_prepared(key, partial(write_prepared_pair, folder, recipe, keys))

    def store_prepared(self, key: str, write: Callable[[FolderWriter], dict[str, Any]]) -> None:
        """Write a prepared folder if it is missing; one process at a time."""
        target = self.root / "prepared" / key
        self._in_use.declare(key)
        with self._locked(key):
            if is_intact(target):
                return
            with self._new_folder("prepared") as writer:
                writer.finish(target, write(writer))

    def _new_folder(self, kind: str) -> contextlib.AbstractContextManager[FolderWriter]:
        from .array_folder import new_array_folder

        return new_array_folder(self.root / kind, self._in_use.declare)

    def open_prepared(self, key: str) -> tuple[AnnData | MuData, np.ndarray]:
        """Return prepared data (memory-mapped, read-only) and the indices of their cells."""
        from .prepared_files import open_prepared_folder

        return open_prepared_folder(self.root / "prepared" / key)

    def list_entries(self) -> list[CacheEntry]:
        """Return the array folders, the most recently used first, without downloads."""
        return list_entries(self.root, self._in_use)

    def clean(self, max_bytes: int = MAX_BYTES, *, everything: bool = False) -> list[CacheEntry]:
        """Remove the least recently used folders until ``max_bytes`` are left; returns them.

        Damaged and unfinished folders are always removed first; ``everything`` removes all.
        Folders that a running process uses stay. Files of in-memory data are removed a day after
        their last use.
        """
        removed = remove_entries(self.root, self._in_use, 0 if everything else max_bytes)
        for pointer in (self.root / "pointers").glob("*.json"):
            if not (self.root / "datasets" / _pointer_target(pointer)).is_dir():
                pointer.unlink(missing_ok=True)
        remove_memory_files(self.root, 0 if everything else LEFTOVER_SECONDS)
        return removed

    def verify(self) -> list[tuple[CacheEntry, bool]]:
        """Read all bytes in the cache; returns for each folder whether it is intact."""
        return [
            (entry, is_intact(entry.folder, read_all=True))
            for entry in self.list_entries()
            if not entry.folder.name.startswith(".")
        ]

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with FileLock(self.root / "locks" / f"{name}.lock"):
            yield


def _prepared_key(facts: dict[str, Any], recipe: Recipe | PairedRecipe, part: str = "") -> str:
    """Return the key of a dataset, or of a part of it, prepared by a recipe."""
    if isinstance(recipe, PairedRecipe):
        return digest([CACHE, "pair", _part_keys(facts, recipe), facts["counts_digest"]])
    counts = facts["part_digests"][part]
    batch = facts["batch_digest"] if recipe.batch_aware else ""
    return digest([CACHE, PREPARATION, counts, recipe.as_dict(), batch])


def _part_keys(facts: dict[str, Any], recipe: PairedRecipe) -> dict[str, str]:
    return {part: _prepared_key(facts, getattr(recipe, part), part) for part in PARTS}


def _identity(dataset: Dataset, source: str) -> dict[str, Any]:
    """Return the name, parameters, code and files that identify a dataset in the cache."""
    return {
        "cache": CACHE,
        "name": dataset.name,
        "params": dataset.params.resolved(),
        "source": source,
        "fingerprint": dataset.fingerprint(),
    }


def _stored_markers(facts: dict[str, Any]) -> Markers | None:
    """Return the marker lists that ``load`` derived, if any."""
    stored = facts["replacement_markers"]
    if stored is None:
        return None
    lists = {name: tuple(genes) for name, genes in stored["lists"].items()}
    return Markers(lists, stored["source"])


def _pointer_target(pointer: Path) -> str:
    """Return the name of the folder that a pointer names, ``none`` if the pointer is damaged."""
    try:
        return str(json.loads(pointer.read_text())["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return "none"
