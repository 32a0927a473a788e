"""Generalised principal components of counts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Parameters, Recipe, Search
from bench.seeds import derive_seed

from ._preparations import counts

if TYPE_CHECKING:
    from anndata import AnnData


class GLMPCA(Method):
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
    modalities = frozenset({RNA})
    family = "factorization"
    cost = "heavy"
    gpu = True
    requires = ("fastglmpca",)
    install = "pip install 'aebench[glmpca]'"

    class Params(Parameters):
        """Parameters of the model."""

        presets = {"quick": {"n_components": 10, "max_iter": 20}}

        n_components: Annotated[int, Search(5, 50, log=True)] = Field(
            30, ge=1, description="number of components (at most cells or genes minus two)"
        )
        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")
        max_iter: int = Field(100, ge=1, description="most iterations")
        tol: float = Field(1e-4, ge=0, description="relative gain at which they stop")

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the counts of variable genes."""
        return counts(info, self.params.n_top_genes)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores, (cells, n_components)."""
        from fastglmpca import PoissonGLMPCA

        from ._global_generators import seed_global_generators

        p, seed = self.params, derive_seed(context.seed, "glmpca")

        def reported(steps: range) -> Iterator[int]:
            for step in steps:
                yield step
                loss = -model.loglik_history_[-1] / data.n_obs
                context.report(step + 1, p.max_iter, loss=loss)

        with seed_global_generators(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no convergence: in the notes
            model = PoissonGLMPCA(
                min(p.n_components, min(data.shape) - 2), max_iter=p.max_iter, tol=p.tol,
                device=context.device, progress_bar=False, seed=seed,
            )  # fmt: skip
            # Dense: the start from a sparse matrix has a seed of its own at each call.
            model.fit(data.X.toarray(), custom_iterator=reported)
        n_iter = len(model.loglik_history_) - 1
        return Fit(
            model.U * model.d,
            n_parameters=int(model.U.size + model.V.size + sum(data.shape)),
            notes={"iterations": f"{n_iter} of at most {p.max_iter}"},
        )
