"""Sums of the marker genes of each list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.contract import Fit

if TYPE_CHECKING:
    from anndata import AnnData


def fit_marker_sum(
    data: AnnData, lists: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, np.ndarray], Fit]:
    """Return the arrays for :func:`scaled_sums`, and the fit."""
    arrays = {
        f"list{number}": data.var_names.get_indexer(list(genes))
        for number, genes in enumerate(lists.values())
    }
    spread = _sums(data, arrays).std(axis=0)
    spread[spread == 0] = 1.0
    arrays["spread"] = spread
    scores = scaled_sums(data, arrays)
    return arrays, Fit(
        scores, tables={"marker_sums": pd.DataFrame(scores, data.obs_names, list(lists))}
    )


def scaled_sums(data: AnnData, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the sum of each list over its standard deviation, (cells, lists), float32."""
    return (_sums(data, arrays) / arrays["spread"]).astype(np.float32)


def _sums(data: AnnData, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the sum of the genes of each list, (cells, lists)."""
    lists = [genes for name, genes in arrays.items() if name.startswith("list")]
    parts = [np.asarray(data.X[:, genes].sum(axis=1)).ravel() for genes in lists]
    return np.column_stack(parts).astype(np.float64)
