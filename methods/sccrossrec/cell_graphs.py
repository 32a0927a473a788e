"""Graphs of cells, LSI and sparse matrices of prepared data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD

from .genome_sites import to_csr
from .network import CellGraph

if TYPE_CHECKING:
    from anndata import AnnData
    from torch import Tensor

    from .attention import PairScores

_OFFSET = 1e4
"""Added to encoded scores, because 0 stands for an absent pair."""


def inverse_frequency(peaks: sp.csr_matrix) -> np.ndarray:
    """Return the inverse document frequency of each peak."""
    share = np.asarray(peaks.mean(axis=0), dtype=np.float64).ravel()
    return np.log1p(1 / (share + 1e-3))


def tf_idf(peaks: sp.csr_matrix, idf: np.ndarray) -> sp.csr_matrix:
    """Return TF-IDF of 0/1 peaks in rows of unit length."""
    rows = sp.csr_matrix(peaks.multiply(idf), dtype=np.float64)
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1))).ravel()
    return sp.diags_array(1 / np.where(length > 0, length, 1.0)).tocsr() @ rows


def lsi_components(rows: sp.csr_matrix, n: int, seed: int) -> np.ndarray:
    """Return principal components of TF-IDF, centred, unit variance, (cells, n)."""
    mean = np.asarray(rows.mean(axis=0)).ravel()
    loadings = _svd_loadings(rows, n, seed)
    spread = (rows @ loadings - mean @ loadings).std(axis=0)
    varies = spread > 1e-9
    loadings = loadings[:, varies] / spread[varies]
    return rows @ loadings - mean @ loadings


def _svd_loadings(rows: sp.csr_matrix, n: int, seed: int) -> np.ndarray:
    n = min(n, min(rows.shape) - 1)
    if n < 1:
        return np.zeros((rows.shape[1], 0))
    return TruncatedSVD(n, random_state=seed).fit(rows).components_.T


def svd_embedding(matrix: sp.csr_matrix, width: int, n: int, seed: int) -> np.ndarray:
    """Return an initial embedding, (features, width): ``n`` loadings, then small noise."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0.0, 0.01, (matrix.shape[1], width))
    loadings = _svd_loadings(matrix, min(width, n), seed)
    if loadings.size:
        table[:, : loadings.shape[1]] = loadings / max(loadings.std(), 1e-9)
    return table.astype(np.float32)


class CellGraphs:
    """Graphs of pairs of cells.

    ``by_value``: genes are weighted in the pools by expression and peaks by IDF, instead of
    equally. ``scores``: genes × peaks by :func:`encode_scores`, added to attention scores; absent
    pairs cannot attend. Without them chromosomes alone decide.
    """

    def __init__(
        self, rna: sp.csr_matrix, peaks: sp.csr_matrix, *, by_value: bool, idf: np.ndarray,
        device: str, scores: sp.csr_matrix | None = None,
    ) -> None:  # fmt: skip
        self.rna, self.peaks, self.device = rna, peaks, device
        self._by_value, self._idf, self._scores = by_value, idf.astype(np.float32), scores

    def __len__(self) -> int:
        return self.rna.shape[0]

    def graph(self, rna_cell: int, atac_cell: int) -> CellGraph:
        """Return the graph of one cell's genes and another cell's peaks."""
        genes, expression = _nonzero(self.rna, rna_cell)
        peaks, openness = _nonzero(self.peaks, atac_cell)
        if self._by_value:
            gene_share, peak_share = expression, self._idf[peaks]
        else:
            gene_share, peak_share = np.ones_like(expression), np.ones_like(openness)
        tensor = self._tensor
        return CellGraph(
            tensor(genes.astype(np.int64)), tensor(expression), tensor(_normalize(gene_share)),
            tensor(peaks.astype(np.int64)), tensor(openness), tensor(_normalize(peak_share)),
            self._pair_scores(genes, peaks),
        )  # fmt: skip

    def expression(self, cell: int) -> Tensor:
        """Return the dense expression of a cell, (genes,)."""
        return self._tensor(self.rna[[cell]].toarray()[0])

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _pair_scores(self, genes: np.ndarray, peaks: np.ndarray) -> PairScores | None:
        if self._scores is None:
            return None
        of_graph = self._scores[genes][:, peaks]

        def pair_scores(rows: Tensor, columns: Tensor) -> Tensor:
            block = of_graph[rows.cpu().numpy()][:, columns.cpu().numpy()].toarray()
            absent = block == 0
            block -= _OFFSET
            block[absent] = -np.inf
            return self._tensor(block.astype(np.float32))

        return pair_scores


def encode_scores(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return scores with an offset, so that zero stands for an absent pair."""
    encoded = sp.csr_matrix(matrix, dtype=np.float64)
    encoded.data = encoded.data + _OFFSET
    return encoded


def log_relative_counts(part: AnnData) -> sp.csr_matrix:
    """Return log(1 + counts / size factor), which bends at one count of a median cell."""
    counts = to_csr(part.layers["counts"])
    size = np.asarray(part.obs["size_factor"], dtype=np.float64)
    scaled = sp.diags_array(1 / np.where(size > 0, size, 1.0)).tocsr() @ counts
    return sp.csr_matrix(scaled.log1p(), dtype=np.float32)


def fragments(part: AnnData) -> sp.csr_matrix:
    """Return fragments in peaks, at most two, one of each chromosome copy."""
    peaks = to_csr(part.layers["counts"])
    return sp.csr_matrix((np.minimum(peaks.data, 2), peaks.indices, peaks.indptr), peaks.shape)


def open_peaks(part: AnnData) -> sp.csr_matrix:
    """Return which peaks are open, 0/1."""
    peaks = to_csr(part.layers["counts"])
    return sp.csr_matrix((np.ones_like(peaks.data), peaks.indices, peaks.indptr), peaks.shape)


def _nonzero(matrix: sp.csr_matrix, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted columns and values of the nonzero entries of a row."""
    entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
    order = np.argsort(matrix.indices[entries], kind="stable")
    return matrix.indices[entries][order], matrix.data[entries][order]


def _normalize(weight: np.ndarray) -> np.ndarray:
    """Return non-negative weights that sum to one."""
    weight = np.maximum(weight, 0)
    total = weight.sum()
    return weight / total if total > 0 else weight
