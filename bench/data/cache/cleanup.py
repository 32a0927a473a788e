"""List the folders of the cache, protect those that running processes use, remove others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .folder_state import disk_errors_as_data_errors, last_use_time, read_info, remove_folder

KINDS = ("datasets", "prepared")
"""Folders of the cache with array folders."""
MEMORY = "memory"
"""Folder of the cache with files of in-memory data, which are written again if needed."""
LEFTOVER_SECONDS = 86400.0


@dataclass(frozen=True)
class CacheEntry:
    """One folder of the cache."""

    name: str
    """Name of the dataset, or of the folder if it is unusable."""
    kind: str
    """``dataset``, ``prepared``, or ``unusable``: damaged or unfinished."""
    folder: Path
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""
    busy: bool
    """Whether a running process uses it."""


class FoldersInUse:
    """The names of the folders that running processes use, in one locked file a process.

    The system releases the lock when a process ends, also if it is killed.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._folder = root, root / "users"
        self._own: IO[str] | None = None
        self._declared: set[str] = set()

    def declare(self, name: str) -> None:
        """Protect a folder from removal while this object lives."""
        if name in self._declared:
            return
        with disk_errors_as_data_errors(self._root), self.locked():
            if self._own is None:
                path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"
                self._own = path.open("w")
                fcntl.flock(self._own, fcntl.LOCK_EX)
            self._own.write(name + "\n")
            self._own.flush()
        self._declared.add(name)

    def names(self) -> set[str]:
        """Return the names that running processes have declared."""
        return {name for path in self._folder.iterdir() for name in _declared_names(path) or ()}

    def remove_ended(self) -> None:
        """Remove the files of processes that ended; only inside :meth:`locked`."""
        for path in self._folder.iterdir():
            if _declared_names(path) is None:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold a lock: no other process can declare a folder meanwhile."""
        with (self._root / "locks" / "users.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _declared_names(path: Path) -> list[str] | None:
    """Return the names in the file of a process; ``None`` if the process has ended."""
    try:
        with path.open("r+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return stream.read().split()
            return None
    except PermissionError:  # of another user: it may be running
        return path.read_text().split()
    except FileNotFoundError:
        return None


def list_entries(root: Path, in_use: FoldersInUse) -> list[CacheEntry]:
    """Return all array folders of the cache, the most recently used first."""
    busy = in_use.names()
    entries = []
    for kind in KINDS:
        for folder in (root / kind).iterdir():
            with contextlib.suppress(FileNotFoundError):
                entries.append(_describe_folder(folder, kind, busy))
    return sorted(entries, key=lambda entry: -entry.used)


def _describe_folder(folder: Path, kind: str, busy: set[str]) -> CacheEntry:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        info = read_info(folder)
        name = info["info"]["name"] if kind == "datasets" else info["name"]
        state = kind.removesuffix("s")
    except (OSError, ValueError, KeyError):
        name, state = folder.name, "unusable"
    return CacheEntry(name, state, folder, size, last_use_time(folder), folder.name in busy)


def remove_entries(root: Path, in_use: FoldersInUse, max_bytes: int) -> list[CacheEntry]:
    """Remove unusable folders, then the least recently used ones until ``max_bytes`` are left."""
    removed = []
    with in_use.locked():
        in_use.remove_ended()
        entries = list_entries(root, in_use)
        total = sum(entry.bytes for entry in entries)
        for entry in sorted(entries, key=lambda entry: (entry.kind != "unusable", entry.used)):
            if not entry.busy and (entry.kind == "unusable" or total > max_bytes):
                remove_folder(entry.folder)
                total -= entry.bytes
                removed.append(entry)
    return removed


def remove_leftovers(root: Path, in_use: FoldersInUse) -> None:
    """Remove the lists of ended processes, and unfinished folders that are older than a day."""
    oldest = time.time() - LEFTOVER_SECONDS
    with in_use.locked():
        in_use.remove_ended()
        for folder in [folder for kind in KINDS for folder in (root / kind).glob(".*")]:
            with contextlib.suppress(FileNotFoundError):
                if folder.stat().st_mtime < oldest and folder.name not in in_use.names():
                    remove_folder(folder)


def remove_memory_files(root: Path, seconds: float) -> None:
    """Remove files of in-memory data that were not used for this many seconds."""
    for folder in (root / MEMORY).glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime >= seconds:
                remove_folder(folder)
