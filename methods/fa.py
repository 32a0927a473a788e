"""Factor analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import RNA, Context, Fit, Search
from bench.seeds import derive_seed

from ._linear_map import LinearMap, fit_model

if TYPE_CHECKING:
    from anndata import AnnData


class FactorAnalysisScores(LinearMap):
    """Gaussian factors with a noise variance for each gene; the embedding is their mean.

    Unlike principal components they leave to the noise what a gene shares with no other. Fitted by
    expectation maximisation with truncated decompositions (Barber 2012, algorithm 21.1).
    """

    name = "fa"
    summary = "factor analysis: a noise variance for each gene"
    reference = (
        "Barber 2012, Bayesian Reasoning and Machine Learning, doi 10.1017/CBO9780511804779"
    )
    modalities = frozenset({RNA})

    class Params(LinearMap.Params):
        """Parameters of the factors."""

        n_components: Annotated[int, Search(5, 50, log=True)] = Field(
            20, ge=1, description="number of factors (at most cells or genes minus one)"
        )
        max_iter: int = Field(100, ge=1, description="most iterations")
        tol: float = Field(1e-2, ge=0, description="gain of log-likelihood at which they stop")

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the expected factors, (cells, n_components)."""
        import numpy as np
        from sklearn.decomposition import FactorAnalysis

        p = self.params
        analysis = FactorAnalysis(
            min(p.n_components, min(data.shape) - 1), max_iter=p.max_iter, tol=p.tol,
            iterated_power=10, random_state=derive_seed(context.seed, "fa"),
        )  # fmt: skip
        model = fit_model(analysis, data.X)
        for step, value in enumerate(model.loglike_, start=1):
            context.report(step, p.max_iter, loss=-value)
        weighted = model.components_ / model.noise_variance_
        spread = np.eye(len(weighted)) + weighted @ model.components_.T
        matrix = np.linalg.solve(spread, weighted).T
        size = model.components_.size + model.noise_variance_.size + model.mean_.size
        return Fit(self.apply_map(data, matrix, model.mean_ @ matrix), n_parameters=int(size))
