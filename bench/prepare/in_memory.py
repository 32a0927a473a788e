"""Describe and prepare counts in memory, of one matrix or of paired data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import (
    ATAC,
    MULTIOME,
    PARTS,
    RNA,
    DatasetInfo,
    PairedRecipe,
    Recipe,
    cells_of,
    is_paired,
    pair_data,
)
from bench.contract.multiome import decode_bases, read_feature_columns
from bench.contract.recipe import combine_infos
from bench.errors import DataError, UsageError

from .blocks import row_blocks
from .pipeline import apply_recipe

if TYPE_CHECKING:
    from mudata import MuData


def describe_data(
    data: AnnData | MuData, *, name: str, modality: str, has_batch: bool
) -> DatasetInfo:
    """Return the facts about data in memory that recipes may depend on."""
    if not is_paired(data):
        return describe_counts(cells_of(data).X, name=name, modality=modality, has_batch=has_batch)
    infos = {
        part: describe_counts(data[part].X, name=name, modality=part, has_batch=has_batch)
        for part in PARTS
    }
    return combine_infos(infos, name, MULTIOME)


def describe_counts(
    counts: Any,
    *,
    name: str,
    modality: str,
    has_batch: bool,
    each_block: Callable[[sp.csr_matrix], None] = lambda block: None,
) -> DatasetInfo:
    """Return the facts about a matrix of counts (cells × features) that recipes may depend on.

    ``each_block`` is called with every block of cells, so that one pass over the matrix can also
    write it.
    """
    n_cells, n_features = counts.shape
    total, stored, binary, integer = 0.0, 0, True, True
    for _, block in row_blocks(counts):
        each_block(block)
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


def prepare_data(
    data: AnnData | MuData,
    recipe: Recipe | PairedRecipe,
    batch: np.ndarray | None = None,
    where: str = "data",
) -> Any:
    """Return the data that a method gets; for paired data only cells that both parts keep.

    Raises ``DataError`` and ``UsageError`` as :func:`prepare_counts`, and ``UsageError`` if a
    recipe of one matrix is given for paired data.
    """
    if not isinstance(recipe, PairedRecipe):
        if is_paired(data):
            raise UsageError(
                "recipe() must return a PairedRecipe for paired data.", code="wrong_recipe"
            )
        return prepare_counts(cells_of(data), recipe, batch)
    parts = {part: prepare_counts(data[part], getattr(recipe, part), batch) for part in PARTS}
    cells = parts[RNA].obs_names[parts[RNA].obs_names.isin(parts[ATAC].obs_names)]
    if not len(cells):
        raise DataError(
            f"{where}: the filters leave no cell in both parts; loosen them.", code="empty_result"
        )
    for part, prepared in parts.items():
        rows = data[part].var_names.get_indexer(prepared.var_names)
        for name, values in read_feature_columns(data[part].var, part, where).items():
            prepared.var[name] = decode_bases(values[rows])
        if prepared.n_obs != len(cells):
            parts[part] = prepared[cells].copy()
    return pair_data(parts[RNA], parts[ATAC])


def prepare_counts(counts: AnnData, recipe: Recipe, batch: np.ndarray | None = None) -> AnnData:
    """Return a new AnnData with the prepared matrix; ``counts`` is not changed.

    ``counts.X`` holds counts, cells × features, in memory or backed. The result has ``X`` (CSR
    float32, or dense if scaled), ``layers["counts"]`` (CSR float32, same features),
    ``obs["size_factor"]`` (total over the features that pass the filters, divided by the median of
    the totals above zero) and no other annotation. ``batch`` (one value a cell) is needed only by
    recipes with ``batch_aware``.

    Raises ``DataError`` if no cell or no feature is left, ``UsageError`` if the recipe needs a
    package that is not installed, or ``batch`` is missing.
    """
    arrays = MemoryArrays()
    subset = apply_recipe(counts.X, recipe, arrays, batch)
    cells, features = counts.obs_names[subset.cells], counts.var_names[subset.features]
    # Two matrices must not share arrays: a method may change one of them.
    return assemble_prepared(arrays, cells, features, copy=True)


class PreparedArrays(Protocol):
    """Arrays that :func:`bench.prepare.pipeline.apply_recipe` has written."""

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str) -> np.ndarray:
        """Return an array."""


def assemble_prepared(
    arrays: PreparedArrays, cells: pd.Index, features: pd.Index, *, copy: bool
) -> AnnData:
    """Return prepared arrays as an AnnData; without ``copy`` it may share their memory."""
    shape = (len(cells), len(features))
    pattern = (arrays.read("indices"), arrays.read("indptr"))
    counts = sp.csr_matrix((arrays.read("counts_data"), *pattern), shape=shape, copy=False)
    if "dense" in arrays:
        matrix: Any = arrays.read("dense")
    else:
        # Values that the recipe does not change are stored once.
        values = arrays.read("data" if "data" in arrays else "counts_data")
        matrix = sp.csr_matrix((values, *pattern), shape=shape, copy=copy)
    data = AnnData(
        X=matrix,
        obs=pd.DataFrame({"size_factor": np.array(arrays.read("size_factor"))}, index=cells),
        var=pd.DataFrame(index=features),
    )
    data.layers["counts"] = counts
    return data


class MemoryArrays:
    """Arrays in memory that grow along their first axis."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def append(self, name: str, part: np.ndarray) -> None:
        """Add rows to an array."""
        self._parts.setdefault(name, []).append(part)

    def read(self, name: str) -> np.ndarray:
        """Return an array."""
        parts = self._parts[name]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0]

    def drop(self, name: str) -> None:
        """Remove an array."""
        del self._parts[name]
