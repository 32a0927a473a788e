"""Apply a recipe in passes over blocks of cells; one block at a time is in memory.

1. Filters: count the detected features of each cell and the cells of each feature.
2. Variable features, if the recipe selects them: sums of each feature (``seurat_v3``: two passes).
3. Transform each block and write the selected features.
4. Scaling, if the recipe scales: a pass over the written values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bench.errors import DataError, UsageError

from .blocks import ENTRIES, Csr, csr_parts, index_type, release_pages, row_blocks
from .moments import FeatureMoments, FeatureSums
from .variable_features import seurat, seurat_v3

if TYPE_CHECKING:
    import scipy.sparse as sp

    from bench.contract import Recipe


class Arrays(Protocol):
    """Storage of the results, in memory or in a folder (``FolderWriter`` of the data cache)."""

    def append(self, name: str, part: np.ndarray) -> None:
        """Add rows to an array that grows along its first axis."""

    def read(self, name: str) -> np.ndarray:
        """Return a complete array."""

    def drop(self, name: str) -> None:
        """Remove an array."""


@dataclass(frozen=True)
class MatrixSubset:
    """The cells and features that passed the filters and the selection."""

    cells: np.ndarray
    """Row numbers, int64, ascending."""
    features: np.ndarray
    """Column numbers, int64, ascending."""


def apply_recipe(
    matrix: Any, recipe: Recipe, out: Arrays, batch: np.ndarray | None = None
) -> MatrixSubset:
    """Prepare a matrix of counts, cells × features, of any kind that :func:`row_blocks` reads.

    Writes to ``out``, for the cells and features of the returned subset: ``counts_data``,
    ``indices`` and ``indptr`` (the counts, CSR float32), ``size_factor`` (float32, one a cell:
    total over the features that pass the filters, divided by the median of the totals above zero),
    and the prepared values as ``dense`` (float32, if scaled), or as ``data`` (float32, parallel to
    ``counts_data``; omitted if equal to it). Raises ``DataError`` if no cell or no feature is
    left, ``UsageError`` if the recipe needs a package or a batch that is missing.
    """
    if recipe.batch_aware and batch is None:
        raise UsageError(
            "the recipe selects features batch by batch, but there is no batch: declare 'batch' "
            "in needs() or may_use() and give the batch of each cell.",
            code="missing_batch",
        )
    source = FilteredCounts(matrix, recipe, batch if recipe.batch_aware else None)
    chosen = variable_features(source, recipe)
    _write(source, recipe, chosen, out)
    features = source.features if chosen is None else source.features[chosen]
    if recipe.max_abs or recipe.scale:
        _rescale(out, recipe, (len(source.cells), len(features)))
    return MatrixSubset(source.cells, features)


def changes_values(recipe: Recipe) -> bool:
    """Return whether the prepared values differ from the counts."""
    return (
        recipe.binarize or recipe.tfidf or recipe.log1p or recipe.max_abs or recipe.scale
        or recipe.target_sum is not None
    )  # fmt: skip


class FilteredCounts:
    """The matrix after the filters; each iteration is a pass over it."""

    def __init__(self, matrix: Any, recipe: Recipe, batch: np.ndarray | None) -> None:
        csr = csr_parts(matrix)
        self._matrix = matrix if csr is None else csr
        self._recipe = recipe
        self.index_type = index_type(self._matrix)
        self._count()
        self.cells = np.flatnonzero(self._keep)
        self.features = np.flatnonzero(self._detected())
        if not len(self.cells) or not len(self.features):
            what = "cell" if not len(self.cells) else "feature"
            raise DataError(
                f"the filters leave no {what}: min_features={recipe.min_features}, "
                f"min_cells={recipe.min_cells}, max_cells={recipe.max_cells}; loosen them.",
                code="empty_result",
            )
        self.groups = np.zeros(len(self.cells), dtype=np.int64)
        if batch is not None:
            self.groups = np.unique(np.asarray(batch)[self.cells], return_inverse=True)[1]
        self._transform = BlockTransform(recipe, len(self.cells), self._seen[self.features])

    def _count(self) -> None:
        """Filter the cells, and count the remaining cells with each feature."""
        n_cells, n_features = self._matrix.shape
        self._keep = np.zeros(n_cells, dtype=bool)
        self._seen = np.zeros(n_features, dtype=np.int64)
        for start, block in row_blocks(self._matrix):
            keep = np.diff(block.indptr) >= self._recipe.min_features
            self._keep[start : start + len(keep)] = keep
            indices = block.indices if keep.all() else block[keep].indices
            self._seen += np.bincount(indices, minlength=n_features)

    def _detected(self) -> np.ndarray:
        """Return a mask of the features that pass ``min_cells`` and ``max_cells``."""
        low, high, n_cells = self._recipe.min_cells, self._recipe.max_cells, len(self.cells)
        keep = self._seen > 0
        if low:
            keep &= self._seen > (low * n_cells if low < 1 else low)
        if high < 1:
            keep &= self._seen < high * n_cells
        return keep

    def counts(self) -> Iterator[tuple[sp.csr_matrix, np.ndarray]]:
        """Yield the counts after the filters, with the batch number of each cell."""
        done = 0
        every = len(self.features) == self._matrix.shape[1]
        for start, block in row_blocks(self._matrix):
            keep = self._keep[start : start + block.shape[0]]
            if not keep.all():
                block = block[keep]
            if not every:
                block = block[:, self.features]
            if block.shape[0]:
                yield block, self.groups[done : done + block.shape[0]]
            done += int(np.count_nonzero(keep))

    def __iter__(self) -> Iterator[tuple[sp.csr_matrix, np.ndarray, np.ndarray]]:
        """Yield counts, transformed values parallel to ``counts.data``, and batch numbers."""
        for block, groups in self.counts():
            yield block, self._transform(block), groups


class BlockTransform:
    """Binarise, weight and normalise the values of a block; cells do not affect each other."""

    def __init__(self, recipe: Recipe, n_cells: int, seen: np.ndarray) -> None:
        self.recipe = recipe
        self.inverse_frequency = n_cells / seen

    def __call__(self, counts: sp.csr_matrix) -> np.ndarray:
        """Return the transformed stored values, float32."""
        lengths = np.diff(counts.indptr)
        values = counts.data.copy()
        if self.recipe.binarize:
            values[:] = 1.0
        if self.recipe.tfidf:
            depth = _row_sums(values, counts.indptr).astype(np.float32)
            frequency = values * np.repeat(1.0 / np.where(depth > 0, depth, 1.0), lengths)
            weighted = frequency * self.inverse_frequency[counts.indices]
            values = np.log1p(weighted.astype(np.float32) * 1e4)
        if self.recipe.target_sum is not None:
            # In single precision, as scanpy divides.
            depth = _row_sums(values, counts.indptr).astype(np.float32) / self.recipe.target_sum
            values /= np.repeat(np.where(depth > 0, depth, np.float32(1.0)), lengths)
        if self.recipe.log1p:
            np.log1p(values, out=values)
        return values


def _row_sums(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Return the sum of each row in double precision."""
    sums = np.zeros(len(indptr) - 1)
    filled = np.diff(indptr) > 0
    if len(values):
        sums[filled] = np.add.reduceat(values, indptr[:-1][filled], dtype=np.float64)
    return sums


def variable_features(source: FilteredCounts, recipe: Recipe) -> np.ndarray | None:
    """Return a mask of the highly variable features among the filtered ones; ``None`` for all."""
    n_features = len(source.features)
    if recipe.n_top_features is None or recipe.n_top_features >= n_features:
        return None
    sums = FeatureSums(int(source.groups.max()) + 1, n_features)
    if recipe.flavor == "seurat_v3":
        for block, groups in source.counts():
            sums.add(block, block.data, groups)
        return seurat_v3(sums, source.counts, recipe.n_top_features)
    for block, values, groups in source:
        sums.add(block, np.expm1(values), groups)
    return seurat(sums, recipe.n_top_features, by_group=recipe.batch_aware)


def _write(source: FilteredCounts, recipe: Recipe, chosen: np.ndarray | None, out: Arrays) -> None:
    """Write counts, transformed values and size factors of the chosen features."""
    totals = np.zeros(len(source.cells))
    done, end = 0, 0
    out.append("indptr", np.zeros(1, dtype=np.int64))
    for counts, values, _ in source:
        n_cells = counts.shape[0]
        totals[done : done + n_cells] = _row_sums(counts.data, counts.indptr)
        done += n_cells
        raw, indices, indptr = counts.data, counts.indices, counts.indptr
        if chosen is not None:
            selected = chosen[indices]
            raw, values = raw[selected], values[selected]
            indices = (np.cumsum(chosen) - 1)[indices[selected]]
            indptr = np.concatenate([[0], np.cumsum(selected)])[indptr]
        out.append("counts_data", raw)
        out.append("indices", indices.astype(source.index_type))
        out.append("indptr", indptr[1:].astype(np.int64) + end)
        if changes_values(recipe):
            out.append("x" if recipe.max_abs or recipe.scale else "data", values)
        end += int(indptr[-1])
    median = np.median(totals[totals > 0]) if np.any(totals > 0) else 1.0
    out.append("size_factor", (totals / median).astype(np.float32))


def _rescale(out: Arrays, recipe: Recipe, shape: tuple[int, int]) -> None:
    """Replace the transformed values ``x`` by ``dense`` if the recipe scales, else by ``data``."""
    source = Csr(out.read("x"), out.read("indices"), out.read("indptr"), shape)
    factors = np.ones(shape[1], dtype=np.float32)
    if recipe.max_abs:
        factors = max_abs_factors(_value_pieces(source), shape[1])
    if recipe.scale:
        _scale(source, factors, recipe.max_value, out)
    else:
        for values, columns in _value_pieces(source):
            out.append("data", values * factors[columns])
    out.drop("x")


def _value_pieces(source: Csr) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield values and their column numbers in blocks, with stored zeros."""
    for start in range(0, len(source.data), ENTRIES):
        yield source.data[start : start + ENTRIES], source.indices[start : start + ENTRIES]
        for array in (source.data, source.indices):
            release_pages(array)


def _scale(source: Csr, factors: np.ndarray, max_value: float | None, out: Arrays) -> None:
    """Write ``dense``: zero mean and unit variance; features without variance become zero."""
    mean, std = mean_and_deviation((block for _, block in row_blocks(source)), factors)
    for _, block in row_blocks(source, rows=max(1, ENTRIES // source.shape[1])):
        block.data *= factors[block.indices]
        out.append("dense", standardize(block.toarray(), mean, std, max_value))


def max_abs_factors(
    pieces: Iterable[tuple[np.ndarray, np.ndarray]], n_features: int
) -> np.ndarray:
    """Return 1 / largest absolute value of each feature, 1 if all values are zero.

    ``pieces`` are values and their column numbers.
    """
    largest = np.zeros(n_features, dtype=np.float32)
    for values, columns in pieces:
        np.maximum.at(largest, columns, np.abs(values))
    return np.float32(1.0) / np.where(largest > 0, largest, np.float32(1.0))


def mean_and_deviation(
    blocks: Iterable[sp.csr_matrix], factors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (one if zero) of each feature, float32.

    Values are first multiplied by the factor of their feature.
    """
    moments = FeatureMoments(len(factors))
    for block in blocks:
        block.data *= factors[block.indices]
        moments.add(block)
    deviations = moments.standard_deviations()
    std = np.where(deviations > 0, deviations, 1.0)
    return moments.mean.astype(np.float32), std.astype(np.float32)


def standardize(
    dense: np.ndarray, mean: np.ndarray, std: np.ndarray, max_value: float | None
) -> np.ndarray:
    """Centre and divide values (cells × features) in place, and clip them to ± ``max_value``."""
    dense -= mean
    dense /= std
    if max_value is not None:
        np.clip(dense, -max_value, max_value, out=dense)
    return dense
