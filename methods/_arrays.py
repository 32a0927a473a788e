"""Fitted arrays of a method on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays, numbers or lists of text by name into one ``.npz`` file."""
    import numpy as np

    np.savez(path, **arrays)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file that :func:`save_arrays` wrote."""
    import numpy as np

    with np.load(path) as file:
        return dict(file)
