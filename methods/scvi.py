"""scVI, by scvi-tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bench.contract import Search

from ._scvi import ScviMethod, ScviParameters


class SCVI(ScviMethod):
    """Variational autoencoder of counts, conditioned on the batch (Lopez et al. 2018).

    ``preset=faithful`` has the defaults of scvi-tools, which does not stop early.
    """

    name = "scvi"
    summary = "variational autoencoder of counts, conditioned on the batch (scVI)"
    reference = (
        "Lopez et al. 2018, Nature Methods 15:1053, doi 10.1038/s41592-018-0229-2; scvi-tools: "
        "Gayoso et al. 2022, Nature Biotechnology 40:163, doi 10.1038/s41587-021-01206-w"
    )
    model = "model.SCVI"
    loss_measures = ("likelihood", "n_top_genes", "use_batch")

    class Params(ScviParameters):
        """Parameters of network, likelihood and training."""

        likelihood: Annotated[
            Literal["zinb", "nb", "poisson"], Search(choices=("zinb", "nb", "poisson"))
        ] = Field("zinb", description="of the counts")
        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")

    params: Params

    def options(self) -> dict[str, Any]:
        return super().options() | {"gene_likelihood": self.params.likelihood}
