"""Preparations that several methods share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from bench.contract import ATAC, RNA, DatasetInfo, Fit, Method, Recipe, accessible_peaks

from .pca import PrincipalComponents, decompose

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from bench.contract import Context


class LikePCA(Method):
    """Base of methods with the preparation of ``pca``."""

    modalities = frozenset({RNA, ATAC})
    family = "baseline"

    class Params(PrincipalComponents.Params):
        """Parameters of ``pca``."""

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the preparation of ``pca``."""
        return PrincipalComponents(self.params).recipe(info)

    def components(self, values: np.ndarray, context: Context) -> np.ndarray:
        """Return principal components, (cells, n_components)."""
        return decompose(values, self.params.n_components, context.seed)[1]


class BatchCorrection(LikePCA):
    """Base of methods that correct batches; without two of them they are ``pca``.

    The batch of a new cell is not known to them: they have no ``transform``.
    """

    def may_use(self) -> frozenset[str]:
        return frozenset({"batch"})

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the corrected components, (cells, dimensions)."""
        batch = context.knowledge.batch
        if batch is None or len(set(batch)) < 2:
            note = {"batches": "fewer than two: principal components as they are"}
            return Fit(self.components(data.X, context), notes=note)
        return self.correct(data, batch, context)

    @abstractmethod
    def correct(self, data: AnnData, batch: np.ndarray, context: Context) -> Fit:
        """Return the fit for two or more batches; ``batch``: that of each cell, (cells,)."""


def counts(info: DatasetInfo, n_top_genes: int, *, batch_aware: bool = False) -> Recipe:
    """Return binarised peaks, or the counts of variable genes.

    ``batch_aware``: genes are ranked in each batch, where there are any.
    """
    if info.modality == ATAC:
        return accessible_peaks()
    return Recipe(
        min_cells=2,
        n_top_features=n_top_genes if info.n_features > n_top_genes else None,
        flavor="seurat_v3",
        batch_aware=batch_aware and info.has_batch,
    )
