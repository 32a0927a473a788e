"""Truncated singular value decomposition: principal components without centring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._linear_map import LinearMap

if TYPE_CHECKING:
    from anndata import AnnData


class TruncatedSVDComponents(LinearMap):
    """Left singular vectors times singular values of the prepared matrix, not centred.

    Zeros stay zeros, so that the matrix stays sparse; the first component follows the mean of
    the features. With ``scale`` it is nearly ``pca``.
    """

    name = "svd"
    summary = "truncated singular value decomposition, not centred"
    reference = (
        "Halko, Martinsson and Tropp 2011, SIAM Review 53:217, doi 10.1137/090771806 (review)"
    )

    class Params(LinearMap.Params):
        """Parameters of the decomposition."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="number of components (at most cells or features minus one)"
        )
        scale: bool = Field(
            False, description="RNA: scale genes to unit variance and clip at 10; off: logarithms"
        )

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores of the components, (cells, n_components)."""
        import numpy as np
        from sklearn.decomposition import TruncatedSVD

        model = TruncatedSVD(
            min(self.params.n_components, min(data.shape) - 1), algorithm="arpack",
            random_state=derive_seed(context.seed, "svd"),
        ).fit(data.X)  # fmt: skip
        matrix = model.components_.T
        return Fit(
            self.apply_map(data, matrix, np.zeros(matrix.shape[1])),
            n_parameters=int(matrix.size),
            notes={"variance explained": f"{model.explained_variance_ratio_.sum():.3f}"},
        )
