"""Any matrix of cells × features as blocks of rows, so that only one block is in memory."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import psutil
import scipy.sparse as sp

from bench.errors import DataError

ENTRIES = 1 << 22
"""Number of values in a block: stored values of a sparse, all values of a dense matrix."""
ROWS = 1 << 14
"""Largest number of cells in a block."""
INT32_VALUES = 2**31 - 1
"""Matrices with more stored values get 64-bit ``indices``, because SciPy uses one index type."""


class Csr(NamedTuple):
    """The parts of a CSR matrix, each an array or anything sliceable, such as an HDF5 dataset."""

    data: Any
    indices: Any
    indptr: np.ndarray
    shape: tuple[int, int]


def row_blocks(matrix: Any, *, rows: int = ROWS) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Yield the number of the first row and a block of at most ``rows`` rows of a matrix.

    ``matrix`` is a :class:`Csr`, a SciPy matrix or array, an ``anndata`` sparse dataset on disk
    or a dense array in memory or in a file. Blocks are CSR, float32, with sorted indices and
    without duplicates or stored zeros; they are copies. Raises ``DataError`` for a CSC matrix on
    disk that does not fit into memory.
    """
    csr = csr_parts(matrix)
    if csr is None:
        n_rows, n_columns = matrix.shape
        step = max(1, min(rows, ENTRIES // max(n_columns, 1)))
        for start in range(0, n_rows, step):
            dense = np.asarray(matrix[start : start + step])
            yield start, sp.csr_matrix(dense, dtype=np.float32)
        return
    for start, stop in _block_limits(csr.indptr, rows):
        yield start, _block(csr, start, stop)
        for array in (csr.data, csr.indices):
            release_pages(array)


def permuted_rows(matrix: Csr, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield stored values and column numbers block by block, with the rows in another order.

    Row ``i`` of the result is row ``order[i]`` of the matrix.
    """
    lengths = np.diff(matrix.indptr)[order]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    for start, stop in _block_limits(ends, ROWS):
        shifts = matrix.indptr[order[start:stop]] - ends[start:stop]
        places = np.arange(ends[start], ends[stop]) + np.repeat(shifts, lengths[start:stop])
        yield matrix.data[places], matrix.indices[places]
        for array in (matrix.data, matrix.indices):
            release_pages(array)


def stored_values(matrix: Any) -> Iterator[np.ndarray]:
    """Yield flat arrays of the stored values of a sparse or all values of a dense matrix.

    They have the type of the matrix and no particular order.
    """
    if sp.issparse(matrix) or isinstance(matrix, Csr) or hasattr(matrix, "group"):
        data = matrix.group["data"] if hasattr(matrix, "group") else matrix.data
        for start in range(0, data.shape[0], ENTRIES):
            yield np.asarray(data[start : start + ENTRIES])
            release_pages(data)
        return
    step = max(1, ENTRIES // max(matrix.shape[1], 1))
    for start in range(0, matrix.shape[0], step):
        yield np.asarray(matrix[start : start + step]).ravel()


def csr_parts(matrix: Any) -> Csr | None:
    """Return the parts of a sparse matrix, in memory or on disk, by rows; ``None`` if dense."""
    if isinstance(matrix, Csr):
        return matrix
    if not sp.issparse(matrix):
        if not is_on_disk(matrix) or not hasattr(matrix, "group"):
            return None
        if matrix.format == "csr":
            group = matrix.group
            return Csr(group["data"], group["indices"], group["indptr"][:], matrix.shape)
        matrix = _into_memory(matrix)
    matrix = matrix.tocsr()
    return Csr(matrix.data, matrix.indices, matrix.indptr, matrix.shape)


def index_type(matrix: Any) -> type[np.signedinteger[Any]]:
    """Return the index type with which SciPy opens this matrix as a memory map, without a copy."""
    csr = csr_parts(matrix)
    n_values = int(csr.indptr[-1]) if csr is not None else math.prod(matrix.shape)
    return np.int32 if n_values <= INT32_VALUES else np.int64


def is_on_disk(matrix: Any) -> bool:
    """Return whether the values are in a file, to be read block by block."""
    return not (isinstance(matrix, (Csr, np.ndarray)) or sp.issparse(matrix))


def _into_memory(matrix: Any) -> sp.csc_matrix:
    """Read a matrix stored by columns, which cannot be read row by row."""
    values = matrix.group["data"].shape[0]
    # Once by columns and once by rows.
    needed, available = 2 * values * 12, psutil.virtual_memory().available
    if needed > available:
        raise DataError(
            f"X is stored by columns (CSC) with {values} values: converting it needs about "
            f"{needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are available; "
            "save the file with X by rows (CSR).",
            code="not_enough_memory",
        )
    return matrix.to_memory()


def _block_limits(indptr: np.ndarray, rows: int) -> Iterator[tuple[int, int]]:
    """Yield first row and end of blocks of about ``ENTRIES`` values, at least one row each."""
    n_rows, start = len(indptr) - 1, 0
    while start < n_rows:
        fit = int(np.searchsorted(indptr, int(indptr[start]) + ENTRIES, side="right")) - 1
        stop = min(max(fit, start + 1), start + rows, n_rows)
        yield start, stop
        start = stop


def _block(matrix: Csr, start: int, stop: int) -> sp.csr_matrix:
    low, high = int(matrix.indptr[start]), int(matrix.indptr[stop])
    small = np.int32 if high - low <= INT32_VALUES else np.int64
    block = sp.csr_matrix(
        (
            np.array(matrix.data[low:high], dtype=np.float32),
            np.array(matrix.indices[low:high], dtype=small),
            (np.asarray(matrix.indptr[start : stop + 1], dtype=np.int64) - low).astype(small),
        ),
        shape=(stop - start, matrix.shape[1]),
    )
    block.sum_duplicates()
    # Stored zeros would count as detected, and binarising would turn them into ones.
    block.eliminate_zeros()
    return block


def release_pages(array: Any) -> None:
    """Release the memory of the pages read of a memory-mapped file."""
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
