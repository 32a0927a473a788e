"""What a library raises becomes one line; memory is asked for before a file is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench.errors import DataError


def guard(path: Path, read: Callable[[Path], Any], what: str) -> Any:
    """Return ``read(path)``; raises ``DataError`` with the first line of whatever it raises."""
    try:
        return read(path)
    except DataError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, KeyError):
            text = f"{text} is missing"
        raise DataError(f"{path}: not a readable {what}: {text}") from None


def require_arrays(path: Path, group: Any, *, copied: tuple[str, ...] = ()) -> None:
    """Ask for the memory of all arrays below an HDF5 or zarr group.

    Those below the members ``copied`` count twice: a dense X stays while it becomes sparse.
    """
    require(path, _bytes(group) + sum(_bytes({"": group[key]}) for key in copied))


def _bytes(group: Any) -> float:
    total = 0.0
    for key in group:
        one = group[key]
        if hasattr(one, "shape"):
            total += float(one.size) * max(one.dtype.itemsize, 1)
        else:
            total += _bytes(one)
    return total


def require(path: Path, needed: float) -> None:
    """Raise ``DataError`` if ``needed`` bytes are more than the machine has available."""
    available = psutil.virtual_memory().available
    if needed > available:
        raise DataError(
            f"{path}: needs about {_size(needed)} of memory, {_size(available)} available; use "
            "fewer cells or features, or a machine with more memory."
        )


def _size(number: float) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
