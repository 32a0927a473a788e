"""Cells as dense blocks of tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from anndata import AnnData
from torch import Tensor

_DENSE_BYTES = 256 * 2**20
"""Matrices up to this size are densified once on a CPU; larger ones block by block."""


@dataclass(frozen=True)
class Block:
    """Some cells: what the encoder sees, what the decoder must explain, and their depth."""

    inputs: Tensor
    """Cells × features, float32."""
    targets: Tensor
    """Cells × features, float32; the same tensor unless the likelihood reads counts."""
    depth: Tensor
    """Size factor of each cell, shape (cells, 1), around 1."""

    def __len__(self) -> int:
        return len(self.inputs)


class Cells:
    """All cells of a prepared dataset, handed out in blocks on a device.

    ``counts=True`` makes ``layers["counts"]`` the targets; otherwise ``X`` is both. The depth of
    a cell is the total of its targets divided by ``median_total`` (that of these cells unless
    given), at least 0.01; ``divide_inputs=True`` divides the inputs by it.
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
        totals = np.asarray(targets.sum(axis=1), dtype=np.float32).ravel()
        if median_total is None:
            median_total = float(np.median(totals[totals > 0])) if np.any(totals > 0) else 1.0
        self.median_total = median_total
        depth = np.maximum(totals / median_total, 0.01).astype(np.float32)
        self._depth = torch.from_numpy(depth[:, None]).to(self.device)
        self._divide = divide_inputs
        self._inputs = self._hold(data.X)
        self._targets = self._hold(targets) if counts else None

    def block(self, rows: np.ndarray) -> Block:
        """Return the cells ``rows`` (integer positions, in this order)."""
        inputs = self._take(self._inputs, rows)
        targets = inputs if self._targets is None else self._take(self._targets, rows)
        depth = self._depth[torch.from_numpy(rows).to(self.device)]
        return Block(inputs / depth if self._divide else inputs, targets, depth)

    def blocks(self, rows: np.ndarray, batch_size: int) -> Iterator[Block]:
        """Yield the cells ``rows`` in order, ``batch_size`` at a time; the last may be smaller."""
        for start in range(0, len(rows), batch_size):
            yield self.block(rows[start : start + batch_size])

    def recoded(self, codes: np.ndarray) -> Cells:
        """Return the same cells with ``codes`` (cells × units) as inputs and targets."""
        other = copy.copy(self)
        other.n_features = codes.shape[1]
        other._inputs, other._targets, other._divide = other._hold(codes), None, False
        return other

    def _hold(self, matrix: sp.csr_matrix | np.ndarray) -> Tensor | sp.csr_matrix:
        """Keep a dense tensor on the device if it is small enough, else the sparse matrix."""
        room = _DENSE_BYTES
        if self.device.type == "cuda":
            room = torch.cuda.mem_get_info()[0] // 4
        if isinstance(matrix, sp.csr_matrix):
            if 4 * matrix.shape[0] * matrix.shape[1] > room:
                return matrix
            matrix = matrix.toarray()
        # A copy, because prepared matrices are mapped read-only.
        return torch.from_numpy(np.array(matrix, dtype=np.float32)).to(self.device)

    def _take(self, held: Tensor | sp.csr_matrix, rows: np.ndarray) -> Tensor:
        if isinstance(held, Tensor):
            return held[torch.from_numpy(rows).to(self.device)]
        return torch.from_numpy(held[rows].toarray()).to(self.device)
