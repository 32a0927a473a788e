"""Carry out a recipe: counts in, the matrix a method asked for out.

Filters and scalings are those of scanpy (``pp.normalize_total``, ``pp.log1p``,
``pp.highly_variable_genes``, ``pp.scale``), but over blocks of cells, so that matrices on the
disk need not fit into memory; tests compare the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import DatasetInfo

from .blocks import row_blocks
from .pipeline import apply_recipe

if TYPE_CHECKING:
    from bench.contract import Recipe

__all__ = ["apply_recipe", "describe", "prepare"]


def describe(
    counts: Any,
    *,
    name: str,
    modality: str,
    has_batch: bool,
    each: Callable[[sp.csr_matrix], None] = lambda block: None,
) -> DatasetInfo:
    """Return the facts about a matrix of counts (cells × features) that recipes may use.

    ``each`` gets every block of cells, so that one pass serves both.
    """
    n_cells, n_features = counts.shape
    total, stored, binary, integer = 0.0, 0, True, True
    for _, block in row_blocks(counts):
        each(block)
        total += float(block.data.sum(dtype=np.float64))
        stored += block.nnz
        binary = binary and bool(np.all(block.data == 1))
        integer = integer and bool(np.all(block.data == np.rint(block.data)))
    return DatasetInfo(
        name=name,
        modality=modality,
        n_cells=n_cells,
        n_features=n_features,
        binary=binary,
        integer=integer,
        has_batch=has_batch,
        mean_counts=total / n_cells,
        density=stored / (n_cells * n_features),
    )


def prepare(counts: AnnData, recipe: Recipe, batch: np.ndarray | None = None) -> AnnData:
    """Return a new AnnData with the prepared matrix; ``counts`` is not changed.

    ``counts.X`` holds counts, cells × features, in memory or backed. The result has ``X`` (CSR
    float32, or dense if scaled), ``layers["counts"]`` (CSR float32, same features),
    ``obs["size_factor"]`` (total over the kept features before any variable-feature selection,
    divided by the median of the totals above zero) and nothing else of ``counts``. ``batch``
    (one value a cell) is needed by recipes with ``batch_aware`` only.

    Raises ``DataError`` if no cell or no feature is left, ``UsageError`` if the recipe needs a
    package that is not installed, or a batch that is not given.
    """
    out = MemoryArrays()
    kept = apply_recipe(counts.X, recipe, out, batch)
    shape = (len(kept.cells), len(kept.features))
    pattern = (out.read("indices"), out.read("indptr"))
    raw = sp.csr_matrix((out.read("counts_data"), *pattern), shape=shape)
    if "dense" in out:
        matrix: Any = out.read("dense")
    else:
        values = out.read("data" if "data" in out else "counts_data")
        # Two matrices must not share arrays: a method may change one of them.
        matrix = sp.csr_matrix((values, *pattern), shape=shape, copy=True)
    data = AnnData(
        X=matrix,
        obs=pd.DataFrame(
            {"size_factor": out.read("size_factor")}, index=counts.obs_names[kept.cells]
        ),
        var=pd.DataFrame(index=counts.var_names[kept.features]),
    )
    data.layers["counts"] = raw
    return data


class MemoryArrays:
    """Results in memory."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def append(self, name: str, part: np.ndarray) -> None:
        """Add rows to an array that grows along its first axis."""
        self._parts.setdefault(name, []).append(part)

    def read(self, name: str) -> np.ndarray:
        """Return an array."""
        found = self._parts[name]
        if len(found) > 1:
            found[:] = [np.concatenate(found)]
        return found[0]

    def drop(self, name: str) -> None:
        """Forget an array."""
        del self._parts[name]
