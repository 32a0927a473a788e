"""What one step of training sees: all cells, or those of some parts of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import scipy.sparse as sp

    from .cell_model import CellData, CellModel, CellTensors
    from .network import GraphConvolution, GraphEncoder

_ROWS = 8192
"""Cells that are dense at a time."""


def partition(points: np.ndarray, n_parts: int) -> list[np.ndarray]:
    """Return the cells of each of ``n_parts`` compact parts whose sizes differ by one at most.

    A set is cut in two across its direction of largest variance until all parts are made: simple,
    without chance, and balanced, which clusters are not. ``points``: (cells, dimensions).
    """
    n_parts = max(1, min(n_parts, len(points)))
    sizes = np.full(n_parts, len(points) // n_parts)
    sizes[: len(points) % n_parts] += 1
    found: list[np.ndarray] = []
    waiting = [(np.arange(len(points)), sizes)]
    while waiting:
        cells, sizes = waiting.pop()
        if len(sizes) == 1:
            found.append(np.sort(cells))
            continue
        here = points[cells].astype(np.float64)
        here -= here.mean(axis=0)
        along = here @ np.linalg.eigh(here.T @ here)[1][:, -1]
        half = len(sizes) // 2
        order = np.argpartition(along, sizes[:half].sum() - 1)
        first, second = np.split(cells[order], [sizes[:half].sum()])
        waiting += [(second, sizes[half:]), (first, sizes[:half])]
    return found


def edges_within(adjacency: sp.csr_matrix, parts: list[np.ndarray]) -> float:
    """Return the share of edges whose ends are in the same part."""
    part = np.empty(adjacency.shape[0], dtype=np.int32)
    for number, cells in enumerate(parts):
        part[cells] = number
    inside = 0
    for start in range(0, len(part), _ROWS):
        ends = adjacency.indptr[start : start + _ROWS + 1]
        own = np.repeat(part[start : start + _ROWS], np.diff(ends))
        inside += int((own == part[adjacency.indices[ends[0] : ends[-1]]]).sum())
    return inside / max(adjacency.nnz, 1)


class Batches:
    """The cells of each step: all of them, or those of parts merged at random.

    With parts an epoch has one step for every ``merged`` of them, drawn anew each epoch, and a
    step's graph has the edges between its own cells (Chiang et al. 2019, Cluster-GCN, doi
    10.1145/3292500.3330925). ``parts``: cells of each; ``None``: one step of all cells.
    """

    def __init__(
        self, cells: CellData, parts: list[np.ndarray] | None = None, *, merged: int = 1,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.cells, self.parts, self._merged = cells, parts, merged
        self._random = np.random.default_rng(seed)
        self._all = cells.tensors() if parts is None else None

    def epoch(self) -> Iterator[CellTensors]:
        """Give the cells of each step of an epoch."""
        if self._all is not None:
            yield self._all
            return
        assert self.parts is not None
        order = self._random.permutation(len(self.parts))
        for chosen in np.array_split(order, -(-len(order) // self._merged)):
            yield self.cells.tensors(np.sort(np.concatenate([self.parts[i] for i in chosen])))

    def codes(self, model: CellModel) -> Tensor:
        """Return the code of every cell under the whole graph, (cells, n_latent), no gradient."""
        model.eval()
        with torch.no_grad():
            if self._all is not None:
                model.cells = self._all
                return model.encode()
            found = encode_all(model.encoder, self.cells)
        return torch.from_numpy(found).to(self.cells.device)

    def expected_counts(self, model: CellModel) -> np.ndarray:
        """Return the expected counts of each entry, (cells, genes), float32."""
        codes = self.codes(model)
        found = np.empty((self.cells.n_cells, self.cells.n_genes), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(found), _ROWS):
                rows = np.arange(start, min(start + _ROWS, len(found)))
                z = codes[start : start + _ROWS]
                found[rows] = model.expected(z, *self.cells.known(rows)).cpu().numpy()
        return found


def encode_all(encoder: GraphEncoder, cells: CellData) -> np.ndarray:
    """Return the code of every cell, (cells, n_latent), float32, exactly.

    Layer by layer over all cells; the graph meets the outputs of a layer, not its inputs, and
    inputs are never dense.
    """
    values: np.ndarray | None = None
    for layer in cast("Iterable[GraphConvolution]", encoder.layers):
        weights = [one.detach().cpu().numpy() for one in layer.weight]
        times = cells.inputs.times if values is None else np.maximum(values, 0.0).__matmul__
        total = times(weights[-1])
        for weight in reversed(weights[:-1]):
            total = cells.graph.propagate(total)
            total += times(weight)
        values = total + layer.bias.detach().cpu().numpy()
    assert values is not None
    return values
