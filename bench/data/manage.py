"""The verbs of ``bench data``: fetch, verify, show and remove the files of datasets."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from bench.errors import DataError, UsageError
from bench.messages import collect_notes
from bench.registry import datasets as dataset_registry
from bench.selectors import Selection, select_names

from .cache.data_cache import DataCache
from .file_names import find_named_file
from .remote.local_files import file_digest, find_fault, manual_folder, recorded_checksum
from .resolve import dataset_names, dataset_source, dataset_tags, resolve_name
from .user_datasets import user_datasets

if TYPE_CHECKING:
    from bench.contract import Dataset, FileLocation
    from bench.settings import Settings

    from .cache.cleanup import CacheEntry

logger = logging.getLogger(__name__)
Row = dict[str, Any]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def fetch_files(text: str, settings: Settings) -> tuple[list[Row], list[str]]:
    """Fetch the original files of the selected datasets.

    Returns one row a file (``dataset``, ``file``, ``state``, ``bytes``, ``path``, ``address``) and
    one line for each missing file. With ``settings.offline`` nothing is fetched. The path of a
    missing file is where to put a manual download.
    """
    rows: list[Row] = []
    problems: list[str] = []
    for dataset in _select_registered(text, settings):
        if not dataset.file_locations():
            logger.info(f"{dataset.name}: needs no file")
        try:
            if not settings.offline:
                dataset.fetch()
        except DataError as error:
            problems.append(str(error))
        for location in dataset.file_locations():
            row = _location_row(dataset.name, location)
            if location.path is None:
                folder = manual_folder(dataset.name, settings.cache_dir)
                row["path"] = folder / location.file.name
                if settings.offline:
                    problems.append(_manual_download(row))
            rows.append(row)
    return rows, problems


def verify_files(text: str | None, settings: Settings) -> list[Row]:
    """Compare files with their checksums: of the selected datasets, else all available files.

    Returns one row a file with ``state`` ``ok``, ``damaged``, ``missing`` or ``no checksum``, and
    a ``note``. Files added by ``bench data add`` and copies in the cache are included.
    """
    rows = []
    names = {selection.name for selection in _select(text or "all", settings)}
    for dataset in _select_registered(text or "all", settings):
        for location in dataset.file_locations():
            row = _location_row(dataset.name, location) | {"note": ""}
            if location.path is not None:
                row["note"] = find_fault(location.file, location.path)
                checksum = location.file.checksum or recorded_checksum(location.path)
                row["state"] = "damaged" if row["note"] else "ok" if checksum else "no checksum"
            if text or location.path is not None:
                rows.append(row)
    for added in user_datasets(settings.cache_dir).values():
        if added.name in names:
            intact = file_digest(added.path) == added.sha256
            note = "" if intact else "changed since it was added; add it again with --replace"
            state = "ok" if intact else "damaged"
            rows.append(_row(added.name, added.path, state) | {"note": note})
    for entry, intact in DataCache(settings.cache_dir).verify():
        if entry.name in names or not text:
            rows.append(_entry_row(entry, "ok" if intact else "damaged"))
    return rows


def locate_files(name: str | None, settings: Settings) -> list[Row]:
    """Return where the data of all datasets are, or each file of one dataset.

    The row of a dataset has ``state`` (see :func:`bench.data.resolve.dataset_source`), ``bytes``
    and ``path``. The rows of one dataset are its original files, a file that replaces them, and
    copies in the cache.
    """
    if name is None:
        names = sorted(dataset_names(settings))
        return [{"dataset": name} | dataset_location(name, settings) for name in names]
    (selection,) = _select(name, settings)
    with collect_notes():  # the rows show them
        target = resolve_name(selection, settings).dataset
    rows = [
        _location_row(dataset.name, location)
        for dataset in _select_registered(name, settings)
        for location in dataset.file_locations()
    ]
    file = find_named_file(selection.name)
    if file is not None:
        rows.append(_row(selection.name, file, "stand-in"))
    added = user_datasets(settings.cache_dir).get(selection.name)
    if added is not None:
        rows.append(_row(added.name, added.path, "added") | {"address": added.origin})
    entries = DataCache(settings.cache_dir).list_entries()
    return rows + [_entry_row(entry, "cached") for entry in entries if entry.name == target.name]


def dataset_location(name: str, settings: Settings) -> Row:
    """Return ``state``, ``bytes`` and ``path`` of a dataset without opening a file."""
    added = user_datasets(settings.cache_dir).get(name)
    registry = dataset_registry(settings.plugins)
    locations: list[FileLocation] = []
    state, path = "added", added.path if added else None
    if name in registry.entries:
        entry = registry.entry(name)
        if entry.cls is None or entry.unavailable:
            return {"state": "unavailable", "bytes": None, "path": ""}
        dataset = entry.cls()
        dataset.configure(settings)
        locations = dataset.file_locations()
        state = dataset_source(name, locations, is_added=added is not None)
        path = find_named_file(name) if state == "stand-in" else path if state == "added" else None
    if path is not None:
        return {"state": state, "bytes": path.stat().st_size, "path": str(path)}
    sizes = [_size(location) for location in locations]
    total = sum(size or 0 for size in sizes) if sizes and None not in sizes else None
    folders = [str(location.path.parent) for location in locations if location.path is not None]
    return {"state": state, "bytes": total, "path": folders[0] if folders else ""}


def check_new_name(name: str, settings: Settings, *, replace: bool) -> None:
    """Raise ``UsageError`` for a name that is in use, or unusable in a selector."""
    added, file = user_datasets(settings.cache_dir).get(name), find_named_file(name)
    owner = f"added from {added.origin}" if added else f"the file {file}" if file else ""
    if name in dataset_registry(settings.plugins).entries:
        owner = "a dataset of this program or a plugin, see 'bench datasets'"
    if not _NAME.fullmatch(name) or name == "all":
        raise UsageError(
            f"'{name}' cannot be the name of a dataset; expected letters, digits, '_' and '-'.",
            code="invalid_name",
        )
    if owner and not replace:
        raise UsageError(
            f"the name '{name}' is in use ({owner}); choose another or --replace.",
            code="name_in_use",
        )


def clean_cache(
    settings: Settings, *, max_bytes: int, everything: bool = False, downloads: bool = False
) -> list[Row]:
    """Remove the least recently used copies until ``max_bytes`` are left; returns a row for each.

    ``everything`` removes all copies, ``downloads`` also fetched and unpacked files. Datasets
    added by ``bench data add`` and data in use by a running process stay.
    """
    removed = DataCache(settings.cache_dir).clean(max_bytes, everything=everything)
    rows = [_entry_row(entry, "removed") for entry in removed]
    for kind in ("downloads", "extracted") if downloads else ():
        for folder in sorted((settings.cache_dir / kind).glob("*")):
            if _is_in_use(folder):
                continue
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder, ignore_errors=True)
            row = _row(folder.name, folder, "removed")
            rows.append(row | {"file": kind, "bytes": size})
    return rows


def _is_in_use(folder: Path) -> bool:
    """Return whether a process downloads or unpacks files in the folder."""
    for path in folder.glob(".*.lock"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            return True
    return False


def _select(text: str, settings: Settings) -> list[Selection]:
    return select_names(text, dataset_names(settings), dataset_tags(settings), noun="dataset")


def _select_registered(text: str, settings: Settings) -> list[Dataset]:
    """Return the selected datasets that have a loader; raises ``UsageError``."""
    registry = dataset_registry(settings.plugins)
    datasets = []
    for selection in _select(text, settings):
        entry = registry.entries.get(selection.name)
        if entry is not None and (selection.explicit or not entry.unavailable):
            dataset = registry.get(selection.name).from_values(selection.values)
            dataset.configure(settings)
            datasets.append(dataset)
    return datasets


def _size(location: FileLocation) -> int | None:
    if location.path is not None:
        return location.path.stat().st_size
    return location.file.size or location.file.approximate_size


def _row(name: str, path: Path, state: str) -> Row:
    size = path.stat().st_size if path.is_file() else None
    return {"dataset": name, "file": path.name, "state": state, "bytes": size, "path": path}


def _entry_row(entry: CacheEntry, state: str) -> Row:
    note = "never used; 'bench data clean' removes it" if entry.kind == "unusable" else ""
    row = _row(entry.name, entry.folder, state)
    return row | {"file": f"copy ({entry.kind})", "bytes": entry.bytes, "note": note}


def _location_row(name: str, location: FileLocation) -> Row:
    return {
        "dataset": name,
        "file": location.file.name,
        "state": location.kind,
        "bytes": _size(location),
        "path": location.path or "",
        "address": location.file.source,
    }


def _manual_download(row: Row) -> str:
    size = f" ({row['bytes']:,} bytes)" if row["bytes"] else ""
    return (
        f"{row['dataset']}: {row['file']}{size} is missing; download it from {row['address']} "
        f"and put it into {Path(row['path']).parent}."
    )
