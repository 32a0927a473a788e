"""Latent semantic indexing, the baseline for chromatin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import ATAC, Context, DatasetInfo, Fit, Method, Parameters, Recipe, Search
from bench.seeds import derive_seed

from ._fitted_arrays import ArrayState, check_features

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class LSI(ArrayState, Method):
    """TF-IDF of binarised peaks, truncated SVD without its first component, unit rows.

    The first component follows depth. Source: Cusanovich et al. 2018, methods; log(TF · IDF ·
    10,000 + 1) is that of Stuart et al. 2019 (Signac). ``idf``, ``drop_first`` and ``unit_rows``
    switch the three parts.
    """

    name = "lsi"
    summary = "TF-IDF and SVD of peaks, first component dropped"
    reference = "Cusanovich et al. 2018, Cell 174:1309, doi 10.1016/j.cell.2018.06.052"
    modalities = frozenset({ATAC})
    family = "baseline"

    class Params(Parameters):
        """Parameters of the decomposition."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="number of components after the first"
        )
        low: float = Field(0.01, ge=0, lt=1, description="peaks open in over this share")
        high: float = Field(1.0, gt=0, le=1, description="peaks open in under this share; 1: all")
        idf: bool = Field(True, description="weight rare peaks more; off: log(1 + TF · 10,000)")
        drop_first: bool = Field(True, description="leave out the first component")
        unit_rows: bool = Field(True, description="scale each cell's components to length 1")

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log TF-IDF, or log TF, of binarised peaks."""
        peaks = Recipe(min_cells=self.params.low, max_cells=self.params.high, binarize=True)
        if self.params.idf:
            return replace(peaks, tfidf=True)
        return replace(peaks, target_sum=1e4, log1p=True)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return components 2, 3, ... of each cell, of length 1, (cells, n_components)."""
        from sklearn.decomposition import TruncatedSVD

        first = int(self.params.drop_first)
        n_components = min(self.params.n_components + first, min(data.shape) - 1)
        model = TruncatedSVD(
            n_components, algorithm="arpack", random_state=derive_seed(context.seed, "lsi")
        )
        model.fit(data.X)
        components = model.components_[first:]
        self._arrays = {"components": components, "features": list(data.var_names)}
        notes = {}
        if len(components) < self.params.n_components:
            notes["n_components"] = f"{len(components)}, as many as cells and features allow"
        return Fit(
            embedding=self.transform(data),
            n_parameters=int(model.components_.size),
            notes=notes,
        )

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the embedding of new cells, (cells, n_components)."""
        from sklearn.preprocessing import normalize

        check_features(self._arrays["features"], data, self.name)
        scores = data.X @ self._arrays["components"].T
        return (normalize(scores) if self.params.unit_rows else scores).astype("float32")
