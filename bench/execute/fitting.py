"""fitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import Fit
from bench.errors import Diverged

if TYPE_CHECKING:
    pass


def check_result(result: Any, n_cells: int, name: str) -> None:
    """Raise for a result that breaks the contract; not finite means diverged."""
    if not isinstance(result, Fit):
        raise TypeError(f"{name}.fit returned a {type(result).__name__}; expected Fit(embedding)")
    embedding = np.asarray(result.embedding)
    if embedding.ndim != 2 or embedding.shape[0] != n_cells or embedding.shape[1] < 1:
        raise ValueError(
            f"{name} returned an embedding of shape {embedding.shape}; expected ({n_cells}, d ≥ 1)"
        )
    if not np.issubdtype(embedding.dtype, np.number):
        raise ValueError(f"{name} returned an embedding of type {embedding.dtype}, not numbers")
    bad = int((~np.isfinite(embedding)).any(axis=1).sum())
    if bad:
        raise Diverged(f"the embedding of {bad} of {n_cells} cells is not finite")
    for key, labels in result.labels.items():
        if np.shape(labels) != (n_cells,):
            raise ValueError(
                f"{name} returned labels '{key}' of shape {np.shape(labels)}; "
                f"expected ({n_cells},)"
            )
