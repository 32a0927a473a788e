"""Principal component analysis, the baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import (
    ATAC,
    RNA,
    Context,
    DatasetInfo,
    Fit,
    Method,
    Parameters,
    Recipe,
    Search,
    accessible_peaks,
    log_normalized,
)
from bench.seeds import derive_seed

from ._fitted_arrays import ArrayState, check_features

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    import sklearn.decomposition
    from anndata import AnnData


MANY_CELLS = 50_000
"""Most cells of a dense matrix that is decomposed as a whole."""


class PrincipalComponents(ArrayState, Method):
    """Principal components of scaled log-normalised variable genes (Luecken and Theis 2019).

    For chromatin: principal components of binarised, depth-normalised, log-transformed peaks;
    ``lsi`` is the stronger baseline.
    """

    name = "pca"
    summary = "principal components of log-normalised variable genes"
    reference = (
        "Luecken and Theis 2019, Molecular Systems Biology 15:e8746, doi 10.15252/msb.20188746"
    )
    modalities = frozenset({RNA, ATAC})
    family = "baseline"

    class Params(Parameters):
        """Parameters of the decomposition."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="number of components (at most cells or features minus one)"
        )
        n_top_genes: int = Field(2000, ge=10, description="RNA: number of variable genes")
        scale: bool = Field(
            True, description="RNA: scale genes to unit variance and clip at 10; off: logarithms"
        )

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised variable genes, by default scaled, or binarised peaks."""
        if info.modality == ATAC:
            return replace(accessible_peaks(), target_sum=1e4, log1p=True)
        return log_normalized(info, n_top_genes=self.params.n_top_genes, scale=self.params.scale)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores of the components, (cells, n_components)."""
        import pandas as pd

        model, embedding = decompose(data.X, self.params.n_components, context.seed)
        self._arrays = {
            "mean": model.mean_, "components": model.components_, "features": list(data.var_names),
        }  # fmt: skip
        names = [f"PC{number}" for number in range(1, embedding.shape[1] + 1)]
        notes = {"variance explained": f"{model.explained_variance_ratio_.sum():.3f}"}
        if len(names) < self.params.n_components:
            notes["n_components"] = f"{len(names)}, cells or features minus one"
        return Fit(
            embedding=embedding,
            tables={"loadings": pd.DataFrame(model.components_.T, data.var_names, names)},
            n_parameters=int(model.components_.size + model.mean_.size),
            notes=notes,
        )

    def transform(self, data: AnnData) -> np.ndarray:
        check_features(self._arrays["features"], data, self.name)
        loadings = self._arrays["components"].T
        return (data.X @ loadings - self._arrays["mean"] @ loadings).astype("float32")


def decompose(
    matrix: np.ndarray | sp.csr_matrix, n_components: int, seed: int
) -> tuple[sklearn.decomposition.PCA, np.ndarray]:
    """Return the PCA of ``matrix`` and the scores, (cells, components), float32.

    Of dense matrices of more than 50,000 cells, which a solver would copy, it is computed from the
    covariance of the features.
    """
    from sklearn.decomposition import PCA

    model = PCA(
        min(n_components, min(matrix.shape) - 1),
        svd_solver="arpack",
        random_state=derive_seed(seed, "pca"),
    )
    if len(matrix.shape) == 2 and matrix.shape[0] > MANY_CELLS and not hasattr(matrix, "indptr"):
        from ._covariance import fit_by_covariance

        return model, fit_by_covariance(model, matrix)
    return model, model.fit_transform(matrix).astype("float32")
