"""Carry out a recipe in passes over blocks of cells; memory holds one block at a time.

1. Detected features of each cell and cells of each feature: the filters.
2. Only for variable features: sums of each feature; ``seurat_v3`` needs a further pass.
3. Transform each block, keep the selected features, write.
4. Only for scaling: the same over what was written, which has the selected features only.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """Where results go: in memory, or a folder on the disk (``bench.data.cache.array_folder.FolderWriter``)."""

    def append(self, name: str, part: np.ndarray) -> None:
        """Add rows to an array that grows along its first axis."""

    def read(self, name: str) -> np.ndarray:
        """Return an array that grows no more."""

    def drop(self, name: str) -> None:
        """Remove an array."""


@dataclass(frozen=True)
class MatrixSubset:
    """What the filters and the selection left."""

    cells: np.ndarray
    """Row numbers, int64, ascending."""
    features: np.ndarray
    """Column numbers, int64, ascending."""


def apply_recipe(matrix: Any, recipe: Recipe, out: Arrays, batch: np.ndarray | None = None) -> MatrixSubset:
    """Prepare a matrix of counts (cells × features; anything :func:`row_blocks` takes).

    Writes ``counts_data``, ``indices`` and ``indptr`` (CSR float32: the counts of the kept cells
    and features), ``size_factor`` (float32, of each cell: total over the kept features before
    any selection of variable ones, divided by the median of the totals above zero), and either
    ``dense`` (float32, if scaled) or ``data`` (float32, at the same places as ``counts_data``;
    left out if it is the same). Raises ``DataError`` if no cell or no feature is left,
    ``UsageError`` if the recipe needs a package or a batch that is not there.
    """
    if recipe.batch_aware and batch is None:
        raise UsageError(
            "the recipe selects features batch by batch, but there is no batch: declare 'batch' "
            "in uses() and give the batch of each cell."
        )
    source = FilteredCounts(matrix, recipe, batch if recipe.batch_aware else None)
    chosen = variable_features(source, recipe)
    _write(source, recipe, chosen, out)
    kept = MatrixSubset(source.cells, source.features if chosen is None else source.features[chosen])
    if recipe.max_abs or recipe.scale:
        _rescale(out, recipe, kept)
    return kept


def changes_values(recipe: Recipe) -> bool:
    """Return whether the recipe changes any value of the counts it keeps."""
    return (
        recipe.binarize or recipe.tfidf or recipe.log1p or recipe.max_abs or recipe.scale
        or recipe.target_sum is not None
    )  # fmt: skip


class FilteredCounts:
    """The matrix after the filters; each iteration is a pass over it."""

    def __init__(self, matrix: Any, recipe: Recipe, batch: np.ndarray | None) -> None:
        found = csr_parts(matrix)
        self._matrix = matrix if found is None else found
        self._recipe = recipe
        self.index_type = index_type(self._matrix)
        self._count()
        self.cells = np.flatnonzero(self._keep)
        self.features = np.flatnonzero(self._detected())
        if not len(self.cells) or not len(self.features):
            what = "cell" if not len(self.cells) else "feature"
            raise DataError(
                f"the filters leave no {what}: min_features={recipe.min_features}, "
                f"min_cells={recipe.min_cells}, max_cells={recipe.max_cells}; loosen them."
            )
        self.groups = np.zeros(len(self.cells), dtype=np.int64)
        if batch is not None:
            self.groups = np.unique(np.asarray(batch)[self.cells], return_inverse=True)[1]
        self._transform = BlockTransform(recipe, len(self.cells), self._seen[self.features])

    def _count(self) -> None:
        """Note which cells stay, and in how many of them each feature is detected."""
        n_cells, n_features = self._matrix.shape
        self._keep = np.zeros(n_cells, dtype=bool)
        self._seen = np.zeros(n_features, dtype=np.int64)
        for start, block in row_blocks(self._matrix):
            keep = np.diff(block.indptr) >= self._recipe.min_features
            self._keep[start : start + len(keep)] = keep
            indices = block.indices if keep.all() else block[keep].indices
            self._seen += np.bincount(indices, minlength=n_features)

    def _detected(self) -> np.ndarray:
        """Return a mask of the features in more than ``min_cells``, less than ``max_cells``."""
        low, high, n_cells = self._recipe.min_cells, self._recipe.max_cells, len(self.cells)
        keep = self._seen > 0
        if low:
            keep &= self._seen > (low * n_cells if low < 1 else low)
        if high < 1:
            keep &= self._seen < high * n_cells
        return keep

    def counts(self) -> Iterator[tuple[sp.csr_matrix, np.ndarray]]:
        """Yield (counts of kept cells and features, number of the batch of each cell)."""
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
        """Yield (counts, transformed values at the same places, groups)."""
        for block, groups in self.counts():
            yield block, self._transform(block), groups


class BlockTransform:
    """Binarise, weight and normalise the values of one block; each cell by itself."""

    def __init__(self, recipe: Recipe, n_cells: int, seen: np.ndarray) -> None:
        self.recipe = recipe
        self.inverse_frequency = n_cells / seen

    def __call__(self, counts: sp.csr_matrix) -> np.ndarray:
        """Return the new values of the stored ones, float32."""
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
    """Return a mask of the highly variable among the kept features; ``None`` for all."""
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
            here = chosen[indices]
            raw, values = raw[here], values[here]
            indices = (np.cumsum(chosen) - 1)[indices[here]]
            indptr = np.concatenate([[0], np.cumsum(here)])[indptr]
        out.append("counts_data", raw)
        out.append("indices", indices.astype(source.index_type))
        out.append("indptr", indptr[1:].astype(np.int64) + end)
        if changes_values(recipe):
            out.append("x" if recipe.max_abs or recipe.scale else "data", values)
        end += int(indptr[-1])
    median = np.median(totals[totals > 0]) if np.any(totals > 0) else 1.0
    out.append("size_factor", (totals / median).astype(np.float32))


def _rescale(out: Arrays, recipe: Recipe, kept: MatrixSubset) -> None:
    """Turn the transformed values ``x`` into ``dense``, or into ``data`` if only by max_abs."""
    shape = (len(kept.cells), len(kept.features))
    source = Csr(out.read("x"), out.read("indices"), out.read("indptr"), shape)
    factor = np.ones(shape[1], dtype=np.float32)
    if recipe.max_abs:
        largest = np.zeros(shape[1], dtype=np.float32)
        for values, indices in _pieces(source):
            np.maximum.at(largest, indices, np.abs(values))
        factor /= np.where(largest > 0, largest, np.float32(1.0))
    if recipe.scale:
        _scale(source, factor, recipe.max_value, out)
    else:
        for values, indices in _pieces(source):
            out.append("data", values * factor[indices])
    out.drop("x")


def _pieces(source: Csr) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (values, column numbers), stored zeros included."""
    for start in range(0, len(source.data), ENTRIES):
        yield source.data[start : start + ENTRIES], source.indices[start : start + ENTRIES]
        for array in (source.data, source.indices):
            release_pages(array)


def _scale(source: Csr, factor: np.ndarray, max_value: float | None, out: Arrays) -> None:
    """Write ``dense``: zero mean and unit variance; features without variance become zero."""
    moments = FeatureMoments(source.shape[1])
    for _, block in row_blocks(source):
        block.data *= factor[block.indices]
        moments.add(block)
    spread = moments.spread()
    divisor = np.where(spread > 0, spread, 1.0).astype(np.float32)
    for _, block in row_blocks(source, rows=max(1, ENTRIES // source.shape[1])):
        block.data *= factor[block.indices]
        dense = block.toarray()
        dense -= moments.mean.astype(np.float32)
        dense /= divisor
        if max_value is not None:
            np.clip(dense, -max_value, max_value, out=dense)
        out.append("dense", dense)
