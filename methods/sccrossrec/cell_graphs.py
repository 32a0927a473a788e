"""Cells as the network sees them: two sparse matrices, read as graphs one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD
from torch import Tensor

from .genome_sites import csr
from .network import Graph

if TYPE_CHECKING:
    from anndata import AnnData

    from .attention import Extra

_OFFSET = 1e4
"""Added to stored scores, so that none is mistaken for an entry that is not there."""


@dataclass(frozen=True)
class Chromatin:
    """Components of the chromatin: TF-IDF with unit rows, centred, principal directions (LSI)."""

    idf: np.ndarray
    mean: np.ndarray
    """Mean of the rows of TF-IDF over the training cells."""
    loadings: np.ndarray
    """Peaks × components, scaled so that the training cells have unit variance."""

    @classmethod
    def of(cls, peaks: sp.csr_matrix, n: int, seed: int) -> Chromatin:
        """Return the components of the training cells, 0/1 peaks."""
        share = np.asarray(peaks.mean(axis=0), dtype=np.float64).ravel()
        idf = np.log1p(1 / (share + 1e-3))
        plain = cls(idf, np.zeros(len(share)), np.zeros((len(share), 0)))
        rows = plain.weighted(peaks)
        mean = np.asarray(rows.mean(axis=0)).ravel()
        loadings = _directions(rows, n, seed)
        codes = rows @ loadings - mean @ loadings
        spread = codes.std(axis=0)
        kept = spread > 1e-9
        return cls(idf, mean, loadings[:, kept] / spread[kept])

    def weighted(self, peaks: sp.csr_matrix) -> sp.csr_matrix:
        """Return TF-IDF of 0/1 peaks, rows of length 1 (or 0)."""
        rows = sp.csr_matrix(peaks.multiply(self.idf), dtype=np.float64)
        length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1))).ravel()
        return sp.diags_array(1 / np.where(length > 0, length, 1.0)).tocsr() @ rows

    def __call__(self, peaks: sp.csr_matrix) -> np.ndarray:
        """Return the components of cells, (cells, n)."""
        return self.weighted(peaks) @ self.loadings - self.mean @ self.loadings


def _directions(rows: sp.csr_matrix, n: int, seed: int) -> np.ndarray:
    n = min(n, min(rows.shape) - 1)
    if n < 1:
        return np.zeros((rows.shape[1], 0))
    fitted = TruncatedSVD(n, random_state=seed).fit(rows)
    return fitted.components_.T


def svd_start(matrix: sp.csr_matrix, width: int, n: int, seed: int) -> np.ndarray:
    """Return a first embedding, (features, width): ``n`` loadings of unit scale, small noise."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0.0, 0.01, (matrix.shape[1], width))
    found = _directions(matrix, min(width, n), seed)
    if found.size:
        table[:, : found.shape[1]] = found / max(found.std(), 1e-9)
    return table.astype(np.float32)


class Cells:
    """Values of both parts of the same cells, and graphs of pairs of them.

    ``by_value``: nodes count in the pools by their value (peaks by their idf) instead of equally.
    ``scores``: genes × peaks, what is added to the attention's scores; pairs that are not stored
    cannot attend. ``None``: the attention's own mask.
    """

    def __init__(
        self, rna: sp.csr_matrix, peaks: sp.csr_matrix, *, by_value: bool, idf: np.ndarray,
        device: str, scores: sp.csr_matrix | None = None,
    ) -> None:  # fmt: skip
        self.rna, self.peaks, self.device = rna, peaks, device
        self._by_value, self._idf, self._scores = by_value, idf.astype(np.float32), scores

    def __len__(self) -> int:
        return self.rna.shape[0]

    def graph(self, rna_cell: int, atac_cell: int) -> Graph:
        """Return the graph of the genes of one cell and the peaks of another."""
        genes, expression = _row(self.rna, rna_cell)
        peaks, openness = _row(self.peaks, atac_cell)
        if self._by_value:
            gene_share, peak_share = expression, self._idf[peaks]
        else:
            gene_share, peak_share = np.ones_like(expression), np.ones_like(openness)
        tensor = self._tensor
        return Graph(
            tensor(genes.astype(np.int64)), tensor(expression), tensor(_shares(gene_share)),
            tensor(peaks.astype(np.int64)), tensor(openness), tensor(_shares(peak_share)),
            self._extra(genes, peaks),
        )  # fmt: skip

    def expression(self, cell: int) -> Tensor:
        """Return the dense expression of a cell, (genes,)."""
        return self._tensor(self.rna[[cell]].toarray()[0])

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _extra(self, genes: np.ndarray, peaks: np.ndarray) -> Extra | None:
        if self._scores is None:
            return None
        here = self._scores[genes][:, peaks]

        def extra(rows: Tensor, columns: Tensor) -> Tensor:
            block = here[rows.cpu().numpy()][:, columns.cpu().numpy()].toarray()
            absent = block == 0
            block -= _OFFSET
            block[absent] = -np.inf
            return self._tensor(block.astype(np.float32))

        return extra


def stored_scores(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return scores of pairs in the form that :class:`Cells` keeps them."""
    moved = sp.csr_matrix(matrix, dtype=np.float64)
    moved.data = moved.data + _OFFSET
    return moved


def values(part: AnnData) -> sp.csr_matrix:
    """Return the prepared matrix of a modality."""
    return csr(part.X)


def relative(part: AnnData) -> sp.csr_matrix:
    """Return log(1 + counts / size factor): the logarithm bends at one count of a median cell."""
    counts = csr(part.layers["counts"])
    size = np.asarray(part.obs["size_factor"], dtype=np.float64)
    scaled = sp.diags_array(1 / np.where(size > 0, size, 1.0)).tocsr() @ counts
    return sp.csr_matrix(scaled.log1p(), dtype=np.float32)


def fragments(part: AnnData) -> sp.csr_matrix:
    """Return the fragments in each peak, at most two: one of each copy of the chromosome."""
    peaks = csr(part.layers["counts"])
    return sp.csr_matrix((np.minimum(peaks.data, 2), peaks.indices, peaks.indptr), peaks.shape)


def opened(part: AnnData) -> sp.csr_matrix:
    """Return which peaks are open in each cell, 0/1."""
    peaks = csr(part.layers["counts"])
    return sp.csr_matrix((np.ones_like(peaks.data), peaks.indices, peaks.indptr), peaks.shape)


def _row(matrix: sp.csr_matrix, number: int) -> tuple[np.ndarray, np.ndarray]:
    place = slice(matrix.indptr[number], matrix.indptr[number + 1])
    order = np.argsort(matrix.indices[place], kind="stable")
    return matrix.indices[place][order], matrix.data[place][order]


def _shares(weight: np.ndarray) -> np.ndarray:
    weight = np.maximum(weight, 0)
    total = weight.sum()
    return weight / total if total > 0 else weight
