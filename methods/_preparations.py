"""Preparations that several methods share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.contract import (
    ATAC,
    RNA,
    DatasetInfo,
    Fit,
    Method,
    PairedRecipe,
    Parameters,
    Recipe,
    accessible_peaks,
    log_normalized,
)

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


class CountFactors(Method):
    """Base of factorisations of the counts of variable genes, or of binarised peaks."""

    modalities = frozenset({RNA})
    family = "factorization"
    cost = "heavy"

    class Params(Parameters):
        """The number of genes."""

        n_top_genes: int = Field(2000, ge=10, description="RNA: number of variable genes")

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return binarised peaks, or the counts of variable genes."""
        return counts(info, self.params.n_top_genes)


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


def logarithms_or_peaks(info: DatasetInfo, n_top_genes: int, max_share: float) -> Recipe:
    """Return logarithms of variable genes, or binarised peaks open in at most ``max_share``."""
    if info.modality == ATAC:
        return replace(accessible_peaks(), max_cells=max_share)
    return log_normalized(info, n_top_genes=n_top_genes, scale=False)


def logarithms_and_tfidf(
    info: DatasetInfo, n_top_genes: int, n_top_peaks: int
) -> Recipe | PairedRecipe:
    """Return logarithms of variable genes, and of paired data TF-IDF of variable peaks."""
    parts: Any = getattr(info, "parts", None)
    if parts is None:
        return log_normalized(info, n_top_genes=n_top_genes, scale=False)
    top = n_top_peaks if parts["atac"].n_features > n_top_peaks else None
    return PairedRecipe(
        log_normalized(parts["rna"], n_top_genes=n_top_genes, scale=False),
        Recipe(min_cells=0.01, binarize=True, tfidf=True, n_top_features=top),
    )
