"""Sparse autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bench.contract import Layers, Search

from .nn.base import NetworkMethod
from .nn.params import HUANG

if TYPE_CHECKING:
    from .nn.likelihoods import Likelihood
    from .nn.models import Network


class SparseAE(NetworkMethod):
    """Autoencoder with one layer of units that are off in most cells.

    Loss: reconstruction + β Σ_j KL(ρ ‖ a_j), a_j the mean sigmoid of unit j over the batch (Ng
    2011). The published a_j (Huang et al. 2021) is the mean of a softmax over the batch, 1 / cells
    for any code. So the published method is a plain one-layer autoencoder. ``preset=faithful``
    keeps that, with ReLU code, sigmoid output, mean squared error, batches of 32 and the published
    step sizes.
    """

    name = "sparse_ae"
    summary = "one-layer autoencoder, units off in most cells"
    reference = "Huang et al. 2021, Symmetry 13:1467, doi 10.3390/sym13081467; Ng 2011, CS294A"

    class Params(NetworkMethod.Params):
        """Parameters of the sparse autoencoder."""

        n_latent: Annotated[int, Search(8, 128, log=True)] = Field(
            32, ge=1, le=1024, description="units of the code, which is the embedding"
        )
        hidden: Annotated[Layers, Search(choices=("", "128", "512-64"))] = Field(
            (), description="widths of layers before the code; empty: none"
        )
        code_activation: Literal["linear", "sigmoid", "relu"] = Field(
            "sigmoid", description="activation of the code; the penalty acts on the sigmoid"
        )
        rho: Annotated[float, Search(0.01, 0.2, log=True)] = Field(
            0.03, gt=0, lt=1, description="target of the mean activation of a unit"
        )
        beta: Annotated[float, Search(0.1, 10, log=True)] = Field(
            3.0, ge=0, description="weight of the penalty"
        )
        penalty: Literal["activation", "softmax"] = Field(
            "activation", description="softmax is the published one, constant for any code"
        )

        presets: ClassVar = {
            "quick": {"max_epochs": 60},
            "faithful": HUANG
            | {
                "n_latent": 32,
                "hidden": "",
                "output": "sigmoid",
                "learning_rate": 1e-3,
                "batch_size": 32,
                "drop_last": True,
                "penalty": "softmax",
            },
        }

    params: Params

    def build(self, facts: dict[str, Any], likelihood: Likelihood) -> Network:
        """Return the untrained network."""
        from .nn.models import SparseAutoencoder

        return SparseAutoencoder(len(facts["features"]), likelihood, self.params)
