"""Fitted state as arrays, and the check that new cells have the features of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class ArrayState:
    """Methods whose fitted state is a set of arrays.

    ``fit`` sets ``_arrays``: arrays, numbers, or lists of numbers or text, by name.
    """

    name: ClassVar[str]
    _arrays: dict[str, Any]

    def store_arrays(self, arrays: dict[str, Any], data: AnnData) -> None:
        """Store the arrays of a fit, and the features of its cells."""
        self._arrays = arrays | {"features": list(data.var_names)}

    def arrays_for(self, data: AnnData) -> dict[str, Any]:
        """Return the arrays; raises ``DataError`` for cells with other features."""
        check_features(self._arrays["features"], data, self.name)
        return self._arrays

    def save(self, path: Path) -> None:
        import numpy as np

        np.savez(path / f"{self.name}.npz", **self._arrays)

    def load(self, path: Path) -> None:
        import numpy as np

        with np.load(path / f"{self.name}.npz") as arrays:
            self._arrays = dict(arrays)


def check_features(fitted: Sequence[str], data: AnnData, method_name: str) -> None:
    """Raise ``DataError`` unless ``data`` has the features ``fitted``, in this order."""
    if list(data.var_names) != list(fitted):
        raise DataError(
            f"{method_name}: the new cells have other features ({data.n_vars}) than the "
            f"training cells ({len(fitted)}); select and order them alike.",
            code="other_features",
        )
