"""Generalised principal components of counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._preparations import CountFactors

if TYPE_CHECKING:
    from anndata import AnnData


class GLMPCA(CountFactors):
    """Poisson GLM-PCA (Townes et al. 2019) by coordinate descent (fastglmpca, Weine et al. 2024).

    The log rate of a count is an offset of the cell (its total), one of the gene (its mean) and a
    product of scores and loadings; nothing is normalised. The embedding is the scores in
    orthogonal axes, in the scale of the logarithm.
    """

    name = "glmpca"
    summary = "generalised principal components of counts, Poisson"
    reference = (
        "Townes et al. 2019, Genome Biology 20:295, doi 10.1186/s13059-019-1861-6; Weine et al. "
        "2024, Bioinformatics 40:btae494, doi 10.1093/bioinformatics/btae494"
    )
    gpu = True
    requires = ("fastglmpca",)
    install = "pip install 'aebench[glmpca]'"

    class Params(CountFactors.Params):
        """Parameters of the model."""

        presets = {"quick": {"n_components": 10, "max_iter": 20}}

        n_components: Annotated[int, Search(5, 50, log=True)] = Field(
            30, ge=1, description="number of components (at most cells or genes minus two)"
        )
        max_iter: int = Field(100, ge=1, description="most iterations")
        tol: float = Field(1e-4, ge=0, description="relative gain at which they stop")

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores, (cells, n_components)."""
        from ._factor_models import fit_glmpca

        return fit_glmpca(data.X, self.params, derive_seed(context.seed, "glmpca"), context)
