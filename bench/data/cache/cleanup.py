"""What is in the cache, what running processes need of it, and what may go."""

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

from bench.data.cache.array_folder import (
    LAYOUT,
    disk_errors_as_data_errors,
    last_use_time,
    read_info,
    remove_folder,
)

KINDS = ("datasets", "prepared")
"""The folders of the cache that hold folders of arrays."""
LEFTOVER_SECONDS = 86400.0


@dataclass(frozen=True)
class CacheEntry:
    """One folder of the cache."""

    name: str
    """Name of the dataset, and of what was made of it."""
    kind: str
    """``dataset``, ``prepared``, or ``unusable``: damaged, unfinished or of another version."""
    folder: Path
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""
    busy: bool
    """True if a running process needs it."""


class FoldersInUse:
    """The names of folders that running processes need: one locked file a process.

    The system releases the lock however a process ends, so a name never outlives its process.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._folder = root, root / "users"
        self._own: IO[str] | None = None
        self._declared: set[str] = set()

    def declare(self, name: str) -> None:
        """Keep a folder from being removed while this object lives."""
        if name in self._declared:
            return
        with disk_errors_as_data_errors(self._root), self.settled():
            if self._own is None:
                path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"
                self._own = path.open("w")
                fcntl.flock(self._own, fcntl.LOCK_EX)
            self._own.write(name + "\n")
            self._own.flush()
        self._declared.add(name)

    def names(self) -> set[str]:
        """Return what running processes have declared."""
        return {name for path in self._folder.iterdir() for name in _declared(path) or ()}

    def forget(self) -> None:
        """Remove the files of processes that ended; only while all is settled."""
        for path in self._folder.iterdir():
            if _declared(path) is None:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Let nobody declare anything meanwhile."""
        with (self._root / "locks" / "users.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _declared(path: Path) -> list[str] | None:
    """Return the names in a process's file; ``None`` if the process has ended."""
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
    """Return all folders of arrays in the cache, the last used first."""
    busy = in_use.names()
    found = []
    for kind in KINDS:
        for folder in (root / kind).iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(_look(folder, kind, folder.name in busy))
    return sorted(found, key=lambda one: -one.used)


def _look(folder: Path, kind: str, busy: bool) -> CacheEntry:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    used = last_use_time(folder)
    try:
        info = read_info(folder)
        if info["layout"] == LAYOUT and kind == "datasets":
            return CacheEntry(info["info"]["name"], "dataset", folder, size, used, busy)
        if info["layout"] == LAYOUT:
            return CacheEntry(info["name"], "prepared", folder, size, used, busy)
    except (OSError, ValueError, KeyError):
        pass
    return CacheEntry(folder.name, "unusable", folder, size, used, busy)


def remove_entries(root: Path, in_use: FoldersInUse, max_bytes: int) -> list[CacheEntry]:
    """Remove what is unusable, then the least recently used, until ``max_bytes`` are left."""
    removed = []
    with in_use.settled():
        in_use.forget()
        there = list_entries(root, in_use)
        total = sum(one.bytes for one in there)
        for one in sorted(there, key=lambda one: (one.kind != "unusable", one.used)):
            if not one.busy and (one.kind == "unusable" or total > max_bytes):
                remove_folder(one.folder)
                total -= one.bytes
                removed.append(one)
    return removed


def remove_leftovers(root: Path, in_use: FoldersInUse) -> None:
    """Remove what killed processes left: their lists, and unfinished folders after a day."""
    oldest = time.time() - LEFTOVER_SECONDS
    with in_use.settled():
        in_use.forget()
        for folder in [folder for kind in KINDS for folder in (root / kind).glob(".*")]:
            with contextlib.suppress(FileNotFoundError):
                if folder.stat().st_mtime < oldest and folder.name not in in_use.names():
                    remove_folder(folder)
