"""PeakVI, by scvi-tools."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bench.contract import ATAC, Search

from ._scvi import ScviMethod, ScviParameters


class PeakVI(ScviMethod):
    """Variational autoencoder of open peaks, with a factor for each cell and peak.

    Source: Ashuach et al. 2022. Sizes 0 are those of scvi-tools, which grow with the number of
    peaks: hidden units its root, dimensions of the code the root of that. ``preset=faithful`` has
    its step size, with which few cells need more epochs than they get.
    """

    name = "peakvi"
    summary = "variational autoencoder of open peaks, conditioned on the batch (PeakVI)"
    reference = (
        "Ashuach et al. 2022, Cell Reports Methods 2:100182, doi 10.1016/j.crmeth.2022.100182"
    )
    modalities = frozenset({ATAC})
    model = "model.PEAKVI"
    loss_measures = ("use_batch",)

    class Params(ScviParameters):
        """Parameters of network and training."""

        presets = {
            "quick": {"max_epochs": 50},
            "faithful": {"learning_rate": 1e-4, "max_epochs": 500},
        }
        n_latent: Annotated[int, Search(5, 50, log=True, zero=True)] = Field(
            0, ge=0, description="dimensions of the code; 0: root of the hidden units"
        )
        n_hidden: Annotated[int, Search(64, 256, log=True, zero=True)] = Field(
            0, ge=0, description="units of a hidden layer; 0: root of the peaks"
        )
        n_layers: Annotated[int, Search(1, 3)] = Field(2, ge=1, description="hidden layers")

    params: Params

    def options(self) -> dict[str, Any]:
        p = self.params
        return {
            "n_latent": p.n_latent or None, "n_hidden": p.n_hidden or None,
            "n_layers_encoder": p.n_layers, "n_layers_decoder": p.n_layers,
        }  # fmt: skip
