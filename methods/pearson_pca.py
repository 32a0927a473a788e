"""Principal components of analytic Pearson residuals, a baseline without a logarithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Parameters, Recipe, Search

from ._fitted_arrays import ArrayState, check_features

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class PearsonResidualComponents(ArrayState, Method):
    """Principal components of analytic Pearson residuals of variable genes (Lause et al. 2021).

    Genes are chosen by the variance of their residuals. Steps and defaults are those of
    ``scanpy.experimental.pp.recipe_pearson_residuals``.
    """

    name = "pearson_pca"
    summary = "principal components of analytic Pearson residuals"
    reference = (
        "Lause, Berens and Kobak 2021, Genome Biology 22:258, doi 10.1186/s13059-021-02451-7"
    )
    modalities = frozenset({RNA})
    family = "baseline"

    class Params(Parameters):
        """Parameters of the residuals and of the decomposition."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="number of components (at most cells or genes minus one)"
        )
        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")
        theta: Annotated[float, Search(10.0, 1000.0, log=True)] = Field(
            100.0, gt=0, description="inverse overdispersion of the counts; infinite is Poisson"
        )

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the counts of all genes that are detected in at least three cells."""
        return Recipe(min_cells=2)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores of the components, (cells, n_components)."""
        from ._pearson_residuals import fit_residual_components

        self._arrays, fit = fit_residual_components(data, self.params, context.seed)
        return fit

    def transform(self, data: AnnData) -> np.ndarray:
        from ._pearson_residuals import project

        check_features(self._arrays["features"], data, self.name)
        return project(data, self._arrays, self.params.theta)
