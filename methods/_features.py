"""The check that new cells have the features that a method was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData


def check_features(fitted: Sequence[str], data: AnnData, method_name: str) -> None:
    """Raise ``DataError`` unless ``data`` has the features ``fitted``, in this order."""
    if list(data.var_names) != list(fitted):
        raise DataError(
            f"{method_name}: the new cells have other features ({data.n_vars}) than the "
            f"training cells ({len(fitted)}); select and order them alike.",
            code="other_features",
        )
