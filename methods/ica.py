"""Independent component analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._linear_map import LinearMap, fit_model
from .pca import decompose

if TYPE_CHECKING:
    from anndata import AnnData


class IndependentComponents(LinearMap):
    """FastICA (Hyvärinen and Oja 2000) on whitened principal components, log-cosh contrast.

    The analysis leaves the scale of a component open; here its variance is what it explains of
    the variance of the data, so that noise weighs little.
    """

    name = "ica"
    summary = "independent components (FastICA) of the principal components"
    reference = "Hyvärinen and Oja 2000, Neural Networks 13:411, doi 10.1016/S0893-6080(00)00026-5"

    class Params(LinearMap.Params):
        """Parameters of the analysis."""

        n_components: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="number of components (at most cells or features minus one)"
        )
        max_iter: int = Field(500, ge=1, description="most iterations")
        tol: float = Field(1e-4, gt=0, description="change at which iterations stop")

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the independent components, (cells, n_components)."""
        import numpy as np
        from sklearn.decomposition import FastICA

        p, seed = self.params, derive_seed(context.seed, "ica")
        # In doubles, and whitened here: FastICA would leave signs, and so the start, to rounding.
        pca, _ = decompose(data.X.astype("float64"), p.n_components, context.seed)
        scores = data.X @ pca.components_.T - pca.mean_ @ pca.components_.T
        spread = scores.std(axis=0).clip(1e-12)
        ica = FastICA(whiten=False, max_iter=p.max_iter, tol=p.tol, random_state=seed)
        model = fit_model(ica, scores / spread)
        scale = np.linalg.norm(spread[:, None] * model.mixing_, axis=0)
        matrix = pca.components_.T @ (model.components_ / spread * scale[:, None]).T
        offset = pca.mean_ @ matrix
        end = "converged" if model.n_iter_ < p.max_iter else "all, not converged"
        size, notes = matrix.size + offset.size, {"iterations": f"{model.n_iter_}, {end}"}
        return Fit(self.apply_map(data, matrix, offset), n_parameters=int(size), notes=notes)
