"""Base of the non-negative matrix factorisations: parameters, preparation, new cells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bench.contract import (
    ATAC,
    RNA,
    DatasetInfo,
    Method,
    Parameters,
    Recipe,
    Search,
    accessible_peaks,
    log_normalized,
)

from ._fitted_arrays import ArrayState, check_features

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class FactorParameters(Parameters):
    """Rank, preparation and normalisation of a non-negative factorisation."""

    n_components: Annotated[int, Search(5, 100, log=True)] = Field(
        20, ge=1, description="rank: columns of W, the embedding"
    )
    normalize: bool = Field(
        True, description="multiply columns of W by the norms of the rows of H, then unit rows"
    )
    n_top_genes: int = Field(2000, ge=10, description="RNA: number of variable genes")
    filter_peaks: bool = Field(
        True, description="chromatin: keep only peaks open in 1 % to 90 % of the cells"
    )
    binarize: bool = Field(
        True, description="chromatin: counts above zero become one; false: values as they are"
    )
    tfidf: Annotated[bool, Search(choices=(False, True), when=(("modality", (ATAC,)),))] = Field(
        False, description="chromatin: weight the peaks by TF-IDF"
    )


class Factorization(ArrayState, Method):
    """Base of the factorisations; ``fit`` sets ``loadings`` (H) and ``features``."""

    modalities = frozenset({RNA, ATAC})
    family = "factorization"
    exceptions: ClassVar = {
        "transform_equals_fit": "W of the fit belongs to the H of the step before the last; W of "
        "new cells is solved for the last H"
    }

    params: FactorParameters

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return peaks, binarised if asked, or log-normalised variable genes, not centred."""
        if info.modality == ATAC:
            peaks = accessible_peaks() if self.params.filter_peaks else Recipe()
            return replace(peaks, binarize=self.params.binarize, tfidf=self.params.tfidf)
        return log_normalized(info, n_top_genes=self.params.n_top_genes, scale=False)

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the embedding of new cells, (cells, n_components).

        Their W minimises the loss of the fit with H fixed.
        """
        from ._factors import normalize_factors

        w = self._solve_w(data)
        if self.params.normalize:
            w = normalize_factors(w, self._arrays["loadings"])
        return w.astype("float32")

    def impute(self, data: AnnData) -> np.ndarray:
        """Return W H, (cells, features), with W solved for the fitted H."""
        return (self._solve_w(data) @ self._arrays["loadings"]).astype("float32")

    def _solve_w(self, data: AnnData) -> np.ndarray:
        from ._factors import solve_w

        check_features(self._arrays["features"], data, self.name)
        return solve_w(data.X, self._arrays["loadings"], **self._loss_options())

    def _loss_options(self) -> dict[str, Any]:
        """Return the arguments of scikit-learn's ``non_negative_factorization``."""
        return {}
