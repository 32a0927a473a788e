"""Controls for guided methods: marker genes without a model, and with a linear one.

A guided method is worth its cost only where it is better than these on the same marker lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Parameters, Recipe, Search

from ._fitted_arrays import ArrayState

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class MarkerMethod(ArrayState, Method):
    """Base of the controls: log-normalised values of all genes, and marker lists."""

    reference = "none; a control"
    modalities = frozenset({RNA})
    family = "control"

    def needs(self) -> frozenset[str]:
        """Return ``{"markers"}``, the marker lists."""
        return frozenset({"markers"})

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised values of all genes: a marker need not be a variable one."""
        return Recipe(min_cells=2, target_sum=1e4, log1p=True)


class MarkerSum(MarkerMethod):
    """Sum of the marker genes, without a model or other genes.

    The sum of a list's log-normalised values is divided by its standard deviation over the cells.
    """

    name = "marker_sum"
    summary = "control: log-normalised sum of each marker list, no model"

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores, (cells, lists)."""
        from ._marker_sum import fit_marker_sum

        self._arrays, fit = fit_marker_sum(data, context.knowledge.markers or {})
        return fit

    def transform(self, data: AnnData) -> np.ndarray:
        from ._marker_sum import scaled_sums

        return scaled_sums(data, self._arrays)


class MarkerPca(MarkerMethod):
    """Principal components of scaled variable genes and markers, the markers counting more.

    Markers together have ``weight`` times the variance of all other genes. A linear counterpart of
    guidance.
    """

    name = "pca_markers"
    summary = "control: principal components with up-weighted marker genes"

    class Params(Parameters):
        """Parameters of the decomposition."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="number of components (at most cells or genes minus one)"
        )
        n_top_genes: int = Field(2000, ge=10, description="variable genes beside the markers")
        weight: Annotated[float, Search(0.01, 10.0, log=True)] = Field(
            1.0, gt=0, description="variance of all markers over that of all other genes"
        )

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores of the components, (cells, n_components)."""
        from ._marker_pca import fit_marker_pca

        lists = context.knowledge.markers or {}
        names = sorted({gene for genes in lists.values() for gene in genes})
        self._arrays, fit = fit_marker_pca(data, names, self.params, context.seed)
        return fit

    def transform(self, data: AnnData) -> np.ndarray:
        from ._marker_pca import project

        return project(data, self._arrays)
