"""Faults of a disk as errors of one line."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from bench.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
REPAIR = "Put a copy of it back; without one, rename it and run again, which fits all jobs anew."
"""What to do about a damaged database of results."""


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise ``OSError`` of reading and writing below a folder as ``StoreError``."""
    try:
        yield
    except OSError as error:
        raise disk_error(str(folder), error) from None


def disk_error(place: str, error: OSError) -> StoreError:
    """Return the error of a disk in one line; ``place`` is named where the error names no file."""
    place = str(error.filename or place)
    if error.errno in _FULL:
        return full_disk(place)
    if error.errno in _NOT_WRITABLE:
        return not_writable(place)
    if error.errno == errno.ENOENT:
        return StoreError(
            f"{place}: was removed during the run; run the same command again.",
            code="store_removed",
        )
    return StoreError(f"{place}: {error.strerror or error}.", code="unreadable")


def full_disk(place: str) -> StoreError:
    """Return the error of a full disk."""
    return StoreError(
        f"{place}: the disk is full; free some space and run the same command again.",
        code="disk_full",
    )


def not_writable(place: str) -> StoreError:
    """Return the error of a folder or database that is read-only."""
    return StoreError(
        f"{place}: cannot be written; choose another folder with --results (bench report: --out).",
        code="not_writable",
    )
