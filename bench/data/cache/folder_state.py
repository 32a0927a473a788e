"""The facts of an array folder, and checks that its files are unchanged.

``info.json`` holds the facts, and size and BLAKE2 digest of every file. ``stats.json`` records
size, times and inode of each file at its last check. A file with the same values is taken as
intact; any other is read and compared with its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.digests import digest
from bench.errors import DataError

_INFO, _STATS, _USED = "info.json", "stats.json", "used"


def write_info(folder: Path, facts: dict[str, Any]) -> None:
    """Write the facts and the digests of the files that are in the folder."""
    names = sorted(path.name for path in folder.iterdir())
    files = {name: [(folder / name).stat().st_size, _file_digest(folder / name)] for name in names}
    info = facts | {"files": files}
    (folder / _INFO).write_text(json.dumps(info | {"check": digest(info)}, indent=1))
    _write_stats(folder, _current_stats(folder, names))


def read_info(folder: Path) -> dict[str, Any]:
    """Return the facts of a folder, with ``files``.

    Raises ``OSError``, ``ValueError`` or ``KeyError`` if they are missing or changed.
    """
    info: dict[str, Any] = json.loads((folder / _INFO).read_text())
    if info.pop("check") != digest(info):
        raise ValueError("info.json was changed")
    return info


def is_intact(folder: Path, *, read_all: bool = False) -> bool:
    """Return whether the folder holds exactly what was written.

    The bytes of a file are read if ``read_all``, or if its size, times or inode differ from those
    of its last check.
    """
    try:
        files = read_info(folder)["files"]
        recorded, current = _read_stats(folder), _current_stats(folder, files)
        unchecked = [name for name in files if read_all or current[name] != recorded.get(name)]
        for name in unchecked:
            size, checksum = files[name]
            if current[name][0] != size or _file_digest(folder / name) != checksum:
                return False
    except (OSError, ValueError, KeyError):
        return False
    if unchecked:
        with contextlib.suppress(OSError):  # a read-only cache is read each time
            _write_stats(folder, current)
    return True


def _current_stats(folder: Path, names: Iterable[str]) -> dict[str, list[int]]:
    """Return size, mtime, ctime and inode of each file; ctime cannot be set back."""
    stats = {name: (folder / name).stat() for name in names}
    return {
        name: [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        for name, stat in stats.items()
    }


def _read_stats(folder: Path) -> dict[str, list[int]]:
    try:
        stats = json.loads((folder / _STATS).read_text())
    except (OSError, ValueError):
        return {}
    return stats if isinstance(stats, dict) else {}


def _write_stats(folder: Path, stats: dict[str, list[int]]) -> None:
    write_text_atomically(folder / _STATS, json.dumps(stats))


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def mark_used(folder: Path) -> None:
    """Set the time of the last use to now."""
    with contextlib.suppress(OSError):
        (folder / _USED).touch()


def last_use_time(folder: Path) -> float:
    """Return when the folder was last used, in seconds since 1970."""
    path = folder / _USED
    return (path if path.exists() else folder).stat().st_mtime


def remove_folder(folder: Path) -> None:
    """Rename a folder and remove it, so that no incomplete folder is visible under its name."""
    trash = folder.with_name(f".{secrets.token_hex(8)}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


@contextlib.contextmanager
def disk_errors_as_data_errors(folder: Path) -> Iterator[None]:
    """Raise ``DataError`` for an ``OSError`` in the block, such as a full disk."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write to the cache folder {folder}: {error.strerror or error}; make room "
            "there (bench data clean) or set BENCH_CACHE_DIR to another folder.",
            code="not_writable",
        ) from None
