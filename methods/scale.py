"""SCALE: variational autoencoder with a Gaussian-mixture prior for chromatin accessibility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bench.contract import ATAC, Context, Fit, Search

from .nn.base import NetworkMethod
from .nn.params import HUANG_VAE

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from .nn.likelihoods import Likelihood
    from .nn.models import Network


class SCALE(NetworkMethod):
    """Mixture-prior variational autoencoder of peaks (Xiong et al. 2019).

    Corrections: mixture weights and variances stay in range, where they could turn negative and
    give NaN. The mixture is fitted to posteriors of a network pretrained with a normal prior
    (Jiang et al. 2017), not to draws of an untrained one, and has no weight decay. The embedding
    is the mean, not a draw. Responsibilities have no floor. The cell's depth enters the expected
    value. ``preset=faithful`` is the release of 2019: batches of 32, step size 2e-3 decayed to
    2e-4, mixture from the untrained network, peaks scaled by their maximum, early stopping on the
    training loss.
    """

    name = "scale"
    summary = "VAE with a Gaussian-mixture prior for chromatin"
    reference = "Xiong et al. 2019, Nature Communications 10:4576, doi 10.1038/s41467-019-12630-7"
    modalities = frozenset({ATAC})

    class Params(NetworkMethod.Params):
        """Parameters of SCALE."""

        n_components: Annotated[int, Search(5, 50)] = Field(
            30, ge=1, description="Gaussians of the prior"
        )
        known_k: bool = Field(
            False, description="as many Gaussians as there are true types (uses n_clusters)"
        )
        learning_rate: Annotated[float, Search(1e-4, 3e-3, log=True)] = Field(
            2e-3, gt=0, le=1, description="step size of Adam"
        )
        weight_decay: Annotated[float, Search(1e-6, 1e-3, log=True, zero=True)] = Field(
            0.0, ge=0, description="L2 penalty on weights (not on the mixture)"
        )
        kl_weight: Annotated[float, Search(0.1, 1.0)] = Field(
            1.0, ge=0, description="weight of the KL term after the warm-up"
        )
        kl_warmup: Annotated[int, Search(0, 2000)] = Field(
            200, ge=0, description="updates in which the KL weight rises from 0"
        )
        normal_epochs: Annotated[int, Search(0, 200)] = Field(
            200, ge=0, description="most epochs with a normal prior, before the mixture"
        )

        presets: ClassVar = {
            "quick": {"max_epochs": 60, "normal_epochs": 20},
            "faithful": HUANG_VAE | {"code_activation": "linear", "normal_epochs": 0},
        }

    params: Params

    def needs(self) -> frozenset[str]:
        """Return ``{"n_clusters"}``, the number of types, if ``known_k`` is set."""
        return frozenset({"n_clusters"}) if self.params.known_k else frozenset()

    def build(self, facts: dict[str, Any], likelihood: Likelihood) -> Network:
        """Return the untrained network with a normal prior."""
        from .nn.mixture import MixtureAutoencoder

        return MixtureAutoencoder(
            len(facts["features"]), likelihood, self.params, n_components=facts["n_components"]
        )

    def facts(self, data: AnnData, context: Context) -> dict[str, Any]:
        """Return the facts of the base class and the number of Gaussians."""
        k = min(context.n_clusters or self.params.n_components, data.n_obs)
        return super().facts(data, context) | {"n_components": k}

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return μ of each cell and the most likely Gaussian.

        Tables: ``loadings`` (peaks × n_latent) and ``specificity`` (peaks × Gaussians with cells).
        """
        from .nn.mixture import add_mixture_results

        fit = super().fit(data, context)
        add_mixture_results(fit, self.fitted, data)
        return fit

    def impute_binary(self, data: AnnData) -> np.ndarray:
        """Return the peaks that are open after imputation, (cells, peaks), booleans."""
        from .nn.mixture import binarized

        return binarized(self.impute(data), data.X)
