"""Memory needed against memory available, asked before a matrix is read."""

from __future__ import annotations

from pathlib import Path

from bench.errors import DataError


def require(path: Path, needed: float) -> None:
    """Raise ``DataError`` if ``needed`` bytes are more than the machine has available."""
    import psutil

    available = psutil.virtual_memory().available
    if needed > available:
        raise DataError(
            f"{path}: needs about {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB "
            "available; use fewer cells or features, or a machine with more memory."
        )
