"""What ``bench data`` does: fetch, verify, show and remove the files of datasets."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from bench.contract import Dataset, FileLocation
from bench.errors import DataError
from bench.registry import datasets as dataset_registry
from bench.selectors import Selection, select_names
from bench.settings import Settings

from .cache.data_cache import DataCache
from .file_names import find_named_file
from .remote.local_files import file_digest, find_fault, manual_folder, recorded_checksum
from .resolve import dataset_names, dataset_source, dataset_tags, resolve_name
from .user_datasets import check_name, user_datasets

if TYPE_CHECKING:
    from .cache.cleanup import CacheEntry

logger = logging.getLogger(__name__)
Row = dict[str, Any]


def fetch_files(text: str, settings: Settings) -> tuple[list[Row], list[str]]:
    """Fetch the original files of the selected datasets.

    Returns one row a file (``dataset``, ``file``, ``state``, ``bytes``, ``path``, ``address``)
    and one line for each thing that is missing. With ``settings.offline`` nothing is fetched. The
    path of a missing file is where to put it.
    """
    rows: list[Row] = []
    problems: list[str] = []
    for dataset in _registered(text, settings):
        if not dataset.file_locations():
            logger.info(f"{dataset.name}: needs no file")
        try:
            if not settings.offline:
                dataset.fetch()
        except DataError as error:
            problems.append(str(error))
        for held in dataset.file_locations():
            row = _file_row(dataset.name, held)
            if held.path is None:
                row["path"] = manual_folder(dataset.name, settings.cache_dir) / held.file.name
                if settings.offline:
                    problems.append(_put_there(row))
            rows.append(row)
    return rows, problems


def verify_files(text: str | None, settings: Settings) -> list[Row]:
    """Compare files with their checksums: of the selected datasets, else of all that are here.

    Returns one row a file with ``state`` ``ok``, ``damaged``, ``missing``, ``no checksum`` or
    ``outdated`` (a copy that is never used), and a ``note``. Files added by ``bench data add``
    and copies in the cache count too.
    """
    rows = []
    names = {one.name for one in _select(text or "all", settings)}
    for dataset in _registered(text or "all", settings, lambda line: None):
        for held in dataset.file_locations():
            row = _file_row(dataset.name, held) | {"note": ""}
            if held.path is not None:
                row["note"] = find_fault(held.file, held.path)
                unknown = not held.file.checksum and not recorded_checksum(held.path)
                row["state"] = "damaged" if row["note"] else "no checksum" if unknown else "ok"
            if text or held.path is not None:
                rows.append(row)
    for own in user_datasets(settings.cache_dir).values():
        if own.name in names:
            same = file_digest(own.path) == own.sha256
            note = "" if same else "changed since it was added; add it again with --replace"
            state = "ok" if same else "damaged"
            rows.append(_row(own.name, own.path, state) | {"note": note})
    for usage, good in DataCache(settings.cache_dir).verify():
        if usage.name in names or not text:
            rows.append(_copy_row(usage, _copy_state(usage, good)))
    return rows


def locate_files(name: str | None, settings: Settings) -> list[Row]:
    """Return where the data of all datasets are, or each file of one dataset.

    One row a dataset has ``state`` (see :func:`bench.data.resolve.dataset_source`), ``bytes`` and ``path``;
    rows of one dataset are its files, what stands in for them, and the copies in the cache.
    """
    if name is None:
        rows = [
            {"dataset": one} | dataset_location(one, settings) for one in dataset_names(settings)
        ]
        return sorted(rows, key=lambda row: str(row["dataset"]))
    (one,) = _select(name, settings)
    target = resolve_name(one, settings, lambda line: None).dataset
    rows = []
    for dataset in _registered(name, settings, lambda line: None):
        rows += [_file_row(dataset.name, held) for held in dataset.file_locations()]
    local, own = find_named_file(one.name), user_datasets(settings.cache_dir).get(one.name)
    if local is not None:
        rows.append(_row(one.name, local, "stand-in"))
    if own is not None:
        rows.append(_row(one.name, own.path, "added") | {"address": own.origin})
    for usage in DataCache(settings.cache_dir).usage():
        if usage.name == target.name:
            rows.append(_copy_row(usage, "cached"))
    return rows


def dataset_location(name: str, settings: Settings) -> Row:
    """Return ``state``, ``bytes`` and ``path`` of a dataset; cheap, no file is opened."""
    own = user_datasets(settings.cache_dir).get(name)
    registry = dataset_registry(settings.plugins)
    held: list[FileLocation] = []
    state, path = "added", own.path if own else None
    if name in registry.entries:
        entry = registry.entry(name)
        if entry.cls is None or entry.unavailable:
            return {"state": "unavailable", "bytes": None, "path": ""}
        dataset = entry.cls()
        dataset.configure(settings)
        held = dataset.file_locations()
        state = dataset_source(name, held, own is not None)
        path = find_named_file(name) if state == "stand-in" else path if state == "added" else None
    if path is not None:
        return {"state": state, "bytes": path.stat().st_size, "path": str(path)}
    sizes = [_size(one) for one in held]
    total = sum(size or 0 for size in sizes) if sizes and None not in sizes else None
    there = [str(one.path.parent) for one in held if one.path is not None]
    return {"state": state, "bytes": total, "path": there[0] if there else ""}


def check_new_name(name: str, settings: Settings, *, replace: bool) -> None:
    """Refuse a name for :func:`bench.data.user_datasets.add_dataset` that is in use; raises ``UsageError``."""
    own, local = user_datasets(settings.cache_dir).get(name), find_named_file(name)
    taken = f"added from {own.origin}" if own else f"the file {local}" if local else ""
    if name in dataset_registry(settings.plugins).entries:
        taken = "a dataset of this program or a plugin, see 'bench datasets'"
    check_name(name, taken, replace=replace)


def clean_cache(
    settings: Settings,
    *,
    max_bytes: int,
    everything: bool = False,
    downloads: bool = False,
) -> list[Row]:
    """Bound the cache and return what went: the least recently used copies first.

    ``everything`` removes all copies, ``downloads`` what was fetched and unpacked too. Datasets
    added by ``bench data add`` and what a running process needs stay.
    """
    gone = DataCache(settings.cache_dir).clean(max_bytes, everything=everything)
    rows = [_copy_row(one, "removed") for one in gone]
    for kind in ("downloads", "extracted") if downloads else ():
        for folder in sorted((settings.cache_dir / kind).glob("*")):
            if _busy(folder):
                continue
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder, ignore_errors=True)
            row = _row(folder.name, folder, "removed")
            rows.append(row | {"file": kind, "bytes": size})
    return rows


def _busy(folder: Path) -> bool:
    """Return whether a process fetches into the folder or unpacks there."""
    for path in folder.glob(".*.lock"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            return True
    return False


def _select(text: str, settings: Settings) -> list[Selection]:
    return select_names(text, dataset_names(settings), dataset_tags(settings), noun="dataset")


def _registered(text: str, settings: Settings) -> list[Dataset]:
    """Return the selected datasets that have a loader; raises ``UsageError``."""
    registry = dataset_registry(settings.plugins)
    found = []
    for one in _select(text, settings):
        entry = registry.entries.get(one.name)
        if entry is not None and (one.explicit or not entry.unavailable):
            dataset = registry.get(one.name).from_values(one.values)
            dataset.configure(settings)
            found.append(dataset)
    return found


def _size(held: FileLocation) -> int | None:
    return held.path.stat().st_size if held.path else held.file.size or held.file.approximate_size


def _row(name: str, path: Path, state: str) -> Row:
    size = path.stat().st_size if path.is_file() else None
    return {"dataset": name, "file": path.name, "state": state, "bytes": size, "path": path}


def _copy_row(usage: CacheEntry, state: str) -> Row:
    note = "never used; 'bench data clean' removes it" if usage.kind == "unusable" else ""
    row = _row(usage.name, usage.folder, state)
    return row | {"file": f"copy ({usage.kind})", "bytes": usage.bytes, "note": note}


def _copy_state(usage: CacheEntry, good: bool) -> str:
    return "outdated" if usage.kind == "unusable" else "ok" if good else "damaged"


def _file_row(name: str, held: FileLocation) -> Row:
    return {
        "dataset": name,
        "file": held.file.name,
        "state": held.kind,
        "bytes": _size(held),
        "path": held.path or "",
        "address": held.file.source,
    }


def _put_there(row: Row) -> str:
    size = f" ({row['bytes']:,} bytes)" if row["bytes"] else ""
    return (
        f"{row['dataset']}: {row['file']}{size} is not here; download it from {row['address']} "
        f"and put it into {Path(row['path']).parent}."
    )
