"""Cells of a training step: all, or those of some parts of the graph."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import scipy.sparse as sp

    from .cell_model import CellData, CellModel, CellTensors
    from .network import GraphConvolution, GraphEncoder

_ROWS = 8192
"""Cells per block."""
EPOCH_CELLS = 25_000
"""Most cells of an epoch in parts; a pass over more cells takes several epochs."""


def partition(points: np.ndarray, n_parts: int) -> list[np.ndarray]:
    """Return the cells of ``n_parts`` compact parts of nearly equal size.

    Sets of cells are cut in two across their direction of largest variance, again and again.
    Unlike clustering this is deterministic and balanced.
    """
    n_parts = max(1, min(n_parts, len(points)))
    sizes = np.full(n_parts, len(points) // n_parts)
    sizes[: len(points) % n_parts] += 1
    parts: list[np.ndarray] = []
    queue = [(np.arange(len(points)), sizes)]
    while queue:
        cells, sizes = queue.pop()
        if len(sizes) == 1:
            parts.append(np.sort(cells))
            continue
        centred = points[cells].astype(np.float64)
        centred -= centred.mean(axis=0)
        scores = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
        half = len(sizes) // 2
        order = np.argpartition(scores, sizes[:half].sum() - 1)
        first, second = np.split(cells[order], [sizes[:half].sum()])
        queue += [(second, sizes[half:]), (first, sizes[:half])]
    return parts


def edges_within(adjacency: sp.csr_matrix, parts: list[np.ndarray]) -> float:
    """Return the share of edges within parts."""
    part = np.empty(adjacency.shape[0], dtype=np.int32)
    for number, cells in enumerate(parts):
        part[cells] = number
    inside = 0
    for start in range(0, len(part), _ROWS):
        bounds = adjacency.indptr[start : start + _ROWS + 1]
        first = np.repeat(part[start : start + _ROWS], np.diff(bounds))
        second = part[adjacency.indices[bounds[0] : bounds[-1]]]
        inside += int((first == second).sum())
    return inside / max(adjacency.nnz, 1)


class Batches:
    """The cells of each step: all, or those of parts merged at random.

    A pass over the cells has one step for every ``merged`` parts, in a new order, and is divided
    into ``epochs_a_pass`` epochs of at most about ``EPOCH_CELLS`` cells. A step's graph has the
    edges between its own cells (Chiang et al. 2019, Cluster-GCN, doi 10.1145/3292500.3330925).
    """

    def __init__(
        self, cells: CellData, parts: list[np.ndarray] | None = None, *, merged: int = 1,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.cells, self.parts = cells, parts
        self._random = np.random.default_rng(seed)
        self._all = cells.tensors() if parts is None else None
        self.n_steps = 1 if parts is None else -(-len(parts) // merged)
        self.epochs_a_pass = min(self.n_steps, -(-cells.n_cells // EPOCH_CELLS))
        self._epochs: list[list[np.ndarray]] = []
        """Epochs that are left of this pass, last one first; each has the parts of its steps."""

    def epoch(self) -> Iterator[CellTensors]:
        if self._all is not None:
            yield self._all
            return
        assert self.parts is not None
        if not self._epochs:
            order = self._random.permutation(len(self.parts))
            steps = np.array_split(order, self.n_steps)
            bounds = np.linspace(0, len(steps), self.epochs_a_pass + 1).astype(int)
            self._epochs = [steps[i:j] for i, j in pairwise(bounds)][::-1]
        for chosen in self._epochs.pop():
            yield self.cells.tensors(np.sort(np.concatenate([self.parts[i] for i in chosen])))

    def codes(self, model: CellModel) -> Tensor:
        """Return the code of every cell under the whole graph, (cells, n_latent)."""
        model.eval()
        with torch.no_grad():
            if self._all is not None:
                model.cells = self._all
                return model.encode()
            codes = encode_all(model.encoder, self.cells)
        return torch.from_numpy(codes).to(self.cells.device)

    def expected_counts(self, model: CellModel) -> np.ndarray:
        """Return expected counts, (cells, genes), float32."""
        codes = self.codes(model)
        counts = np.empty((self.cells.n_cells, self.cells.n_genes), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(counts), _ROWS):
                rows = np.arange(start, min(start + _ROWS, len(counts)))
                z = codes[start : start + _ROWS]
                counts[rows] = model.expected(z, *self.cells.covariates(rows)).cpu().numpy()
        return counts


def encode_all(encoder: GraphEncoder, cells: CellData) -> np.ndarray:
    """Return the exact code of every cell, (cells, n_latent), float32.

    Layer by layer, so that only layer outputs are multiplied by the graph.
    """
    values: np.ndarray | None = None
    for layer in cast("Iterable[GraphConvolution]", encoder.layers):
        weights = [weight.detach().cpu().numpy() for weight in layer.weight]
        multiply = cells.inputs.times if values is None else np.maximum(values, 0.0).__matmul__
        total = multiply(weights[-1])
        for weight in reversed(weights[:-1]):
            total = cells.graph.propagate(total)
            total += multiply(weight)
        values = total + layer.bias.detach().cpu().numpy()
    assert values is not None
    return values
