"""Cells as dense blocks of tensors."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from bench.prepare.blocks import release_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

_DENSE_BYTES = 256 * 2**20
"""Larger matrices stay sparse, or in their file, on a CPU."""
_ROWS = 4096
"""Cells per block of a sum."""


@dataclass(frozen=True)
class Block:
    """Inputs, targets and depth of some cells."""

    inputs: Tensor
    """Cells × features, float32."""
    targets: Tensor
    """Inputs, or counts for a likelihood of counts, float32."""
    depth: Tensor
    """Size factor of each cell, (cells, 1), around 1."""

    def __len__(self) -> int:
        return len(self.inputs)


class Cells:
    """Cells of a prepared dataset, in blocks on a device.

    With ``counts`` the targets are ``layers["counts"]``, else ``X``. The depth of a cell is the
    total of its targets over ``median_total`` (default: the median of these totals), at least
    0.01. ``divide_inputs`` divides the inputs by the depth.
    """

    def __init__(
        self,
        data: AnnData,
        *,
        counts: bool,
        device: str,
        divide_inputs: bool = False,
        median_total: float | None = None,
    ) -> None:
        self.n_cells, self.n_features = data.shape
        self.device = torch.device(device)
        targets = data.layers["counts"] if counts else data.X
        totals = _row_sums(targets)
        if median_total is None:
            median_total = float(np.median(totals[totals > 0])) if np.any(totals > 0) else 1.0
        self.median_total = median_total
        depth = np.maximum(totals / median_total, 0.01).astype(np.float32)
        self._depth = torch.from_numpy(depth[:, None]).to(self.device)
        self._divide = divide_inputs
        self._inputs = self._densify(data.X)
        self._targets = self._densify(targets) if counts else None

    def block(self, rows: np.ndarray) -> Block:
        """Return the cells ``rows`` (integer positions, in this order)."""
        inputs = self._take(self._inputs, rows)
        targets = inputs if self._targets is None else self._take(self._targets, rows)
        depth = self._depth[torch.from_numpy(rows).to(self.device)]
        return Block(inputs / depth if self._divide else inputs, targets, depth)

    def blocks(self, rows: np.ndarray, batch_size: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` in order."""
        for start in range(0, len(rows), batch_size):
            yield self.block(rows[start : start + batch_size])

    def feature_means(self, *, at_depth: bool) -> Tensor:
        """Return the mean target of each feature, (features,); ``at_depth``: over the depth."""
        targets = self._inputs if self._targets is None else self._targets
        shares = torch.full_like(self._depth, 1.0 / self.n_cells)
        if at_depth:
            shares = shares / self._depth
        if isinstance(targets, Tensor):
            return targets.T @ shares[:, 0]
        # Of a dense matrix in a file it reads the pages, but does not copy them.
        means = targets.T @ shares[:, 0].cpu().numpy()
        return torch.from_numpy(means).to(self.device)

    def with_inputs(self, inputs: np.ndarray) -> Cells:
        """Return the same cells with other ``inputs``, (cells, units)."""
        cells = copy.copy(self)
        cells.n_features = inputs.shape[1]
        cells._targets = self._inputs if self._targets is None else self._targets
        cells._inputs, cells._divide = self._densify(inputs), False
        return cells

    def recoded(self, codes: np.ndarray) -> Cells:
        """Return the same cells with ``codes``, (cells, units), as inputs and targets."""
        cells = self.with_inputs(codes)
        cells._targets = None
        return cells

    def _densify(self, matrix: sp.csr_matrix | np.ndarray) -> Tensor | sp.csr_matrix | np.ndarray:
        """Return a dense tensor on the device if it is small, else the matrix."""
        limit = _DENSE_BYTES
        if self.device.type == "cuda":
            limit = torch.cuda.mem_get_info()[0] // 4
        if 4 * matrix.shape[0] * matrix.shape[1] > limit:
            return matrix
        if isinstance(matrix, sp.csr_matrix):
            matrix = matrix.toarray()
        # A copy, because prepared matrices are mapped read-only.
        return torch.from_numpy(np.array(matrix, dtype=np.float32)).to(self.device)

    def _take(self, values: Tensor | sp.csr_matrix | np.ndarray, rows: np.ndarray) -> Tensor:
        if isinstance(values, Tensor):
            return values[torch.from_numpy(rows).to(self.device)]
        if isinstance(values, np.ndarray):
            taken = np.asarray(values[rows], dtype=np.float32)
            release_pages(values)
        else:
            taken = values[rows].toarray()
        return torch.from_numpy(taken).to(self.device)


def _row_sums(matrix: sp.csr_matrix | np.ndarray) -> np.ndarray:
    """Return the total of each cell, float32, (cells,); a dense matrix is read in blocks."""
    if isinstance(matrix, sp.csr_matrix):
        return np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel()
    totals = np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), _ROWS):
        totals[start : start + _ROWS] = matrix[start : start + _ROWS].sum(axis=1)
        release_pages(matrix)
    return totals
