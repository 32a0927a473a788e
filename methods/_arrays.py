"""Saving and loading of methods whose fitted state is a set of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


class ArrayState:
    """Mixin for methods with a fitted state of arrays.

    ``fit`` sets ``_arrays``: name → array, number, or list of numbers or of text.
    """

    name: ClassVar[str]
    _arrays: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the fitted state into the folder ``path``."""
        save_arrays(path / f"{self.name}.npz", self._arrays)

    def load(self, path: Path) -> None:
        """Read the fitted state from the folder ``path``."""
        self._arrays = load_arrays(path / f"{self.name}.npz")


def save_arrays(file: Path, arrays: dict[str, Any]) -> None:
    """Write arrays by name into an ``.npz`` file."""
    import numpy as np

    np.savez(file, **arrays)


def load_arrays(file: Path) -> dict[str, Any]:
    """Read the arrays of an ``.npz`` file by name."""
    import numpy as np

    with np.load(file) as arrays:
        return dict(arrays)
