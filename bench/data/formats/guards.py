"""Guards of every reader: library errors as one line, and memory checked before a file is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.errors import DataError
from bench.messages import format_size


@contextmanager
def read_errors(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of a library that reads ``path`` into a ``DataError`` of one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, KeyError):
            text = f"{text} is missing"
        raise DataError(
            f"{path}: not a readable {what}: {text}; an incomplete or damaged file?",
            code="unreadable",
        ) from None


def require_array_memory(path: Path, group: Any) -> None:
    """Require memory for all arrays of an HDF5 or zarr group.

    A dense X counts twice, since it stays in memory while it becomes sparse.
    """
    dense = "X" in group and hasattr(group["X"], "shape")
    require_memory(path, array_bytes(group) + (array_bytes({"X": group["X"]}) if dense else 0))


def array_bytes(group: Any) -> float:
    """Return the bytes of all arrays below an HDF5 or zarr group."""
    total = 0.0
    for key in group:
        member = group[key]
        if hasattr(member, "shape"):
            total += float(member.size) * max(member.dtype.itemsize, 1)
        else:
            total += array_bytes(member)
    return total


def require_memory(path: Path, needed: float) -> None:
    """Raise ``DataError`` if ``needed`` bytes exceed the available memory."""
    available = psutil.virtual_memory().available
    if needed > available:
        raise DataError(
            f"{path}: needs {format_size(needed)} of memory, {format_size(available)} available; "
            "use fewer cells or features, or a machine with more memory.",
            code="not_enough_memory",
        )
