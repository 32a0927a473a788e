"""Linearly decoded scVI, by scvi-tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bench.contract import Context, Fit, Search

from ._scvi import ScviMethod, ScviParameters


class LinearSCVI(ScviMethod):
    """scVI with a linear decoder, whose weights are loadings of genes (Svensson et al. 2020)."""

    name = "linear_scvi"
    summary = "scVI with a linear decoder: loadings of genes"
    reference = (
        "Svensson et al. 2020, Bioinformatics 36:3418, doi 10.1093/bioinformatics/btaa169; "
        "scvi-tools: Gayoso et al. 2022, doi 10.1038/s41587-021-01206-w"
    )
    model = "model.LinearSCVI"
    loss_measures = ("likelihood", "n_top_genes", "use_batch")

    class Params(ScviParameters):
        """Parameters of network, likelihood and training."""

        likelihood: Annotated[Literal["zinb", "nb"], Search(choices=("zinb", "nb"))] = Field(
            "nb", description="of the counts"
        )
        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")

    params: Params

    def options(self) -> dict[str, Any]:
        return super().options() | {"gene_likelihood": self.params.likelihood}

    def fit(self, data: Any, context: Context) -> Fit:
        """Return the mean of the code of each cell, and the loadings of the genes."""
        fit = super().fit(data, context)
        loadings = self._model.get_loadings().set_axis(data.var_names)
        fit.tables["loadings"] = loadings.set_axis(
            [f"Z{number}" for number in range(1, loadings.shape[1] + 1)], axis=1
        )
        return fit
