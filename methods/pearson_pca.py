"""Principal components of analytic Pearson residuals, a baseline without a logarithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Parameters, Recipe, Search

from ._fitted_arrays import ArrayState, check_features
from .pca import decompose

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
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
            100.0, gt=0, description="overdispersion of the counts; larger is nearer to Poisson"
        )

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the counts of all genes that are detected in at least three cells."""
        return Recipe(min_cells=2)

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores of the components, (cells, n_components)."""
        import numpy as np
        import pandas as pd
        import scanpy as sc

        chosen = np.ones(data.n_vars, bool)
        if data.n_vars > self.params.n_top_genes:
            genes = sc.experimental.pp.highly_variable_genes(
                data, n_top_genes=self.params.n_top_genes, theta=self.params.theta,
                check_values=False, inplace=False,
            )  # fmt: skip
            chosen = genes["highly_variable"].to_numpy()
        counts = data.X[:, chosen]
        totals = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
        share = totals / totals.sum()
        clip = np.sqrt(data.n_obs)
        model, embedding = decompose(
            residuals(counts, share, self.params.theta, clip),
            self.params.n_components, context.seed,
        )  # fmt: skip
        self._arrays = {
            "mean": model.mean_, "components": model.components_, "share": share, "clip": clip,
            "chosen": chosen, "features": list(data.var_names),
        }  # fmt: skip
        names = [f"PC{number}" for number in range(1, embedding.shape[1] + 1)]
        loadings = pd.DataFrame(model.components_.T, data.var_names[chosen], names)
        return Fit(
            embedding=embedding,
            tables={"loadings": loadings},
            n_parameters=int(model.components_.size + model.mean_.size + share.size),
            notes={"variance explained": f"{model.explained_variance_ratio_.sum():.3f}"},
        )

    def transform(self, data: AnnData) -> np.ndarray:
        check_features(self._arrays["features"], data, self.name)
        arrays = self._arrays
        values = residuals(
            data.X[:, arrays["chosen"]], arrays["share"], self.params.theta, float(arrays["clip"])
        )
        loadings = arrays["components"].T
        return (values @ loadings - arrays["mean"] @ loadings).astype("float32")


def residuals(counts: sp.csr_matrix, share: np.ndarray, theta: float, clip: float) -> np.ndarray:
    """Return (c - μ) / √(μ + μ²/θ) within ± ``clip``, (cells, genes), float32.

    μ is the total of the cell times the ``share`` of the gene in all counts, (genes,). Source:
    Lause et al. 2021, eq. 3. A cell without counts has residuals of zero.
    """
    import numpy as np

    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    mean = depth[:, None] * share[None, :]
    spread = np.sqrt(np.maximum(mean + mean**2 / theta, np.finfo(float).tiny))
    return np.clip((counts.toarray() - mean) / spread, -clip, clip).astype(np.float32)
