"""Variational autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bench.contract import Search

from .nn.base import NetworkMethod
from .nn.params import HUANG_VAE

if TYPE_CHECKING:
    from .nn.likelihoods import Likelihood
    from .nn.models import Network

_WARMUP = {"nb": 2000}
"""Updates of the KL warm-up by likelihood; 200 for the others."""


class VAE(NetworkMethod):
    """Variational autoencoder with a linear decoder (Kingma and Welling 2014; Huang et al. 2021).

    Loss of a cell: -log p(x | z) + w KL(q(z | x) ‖ prior). The embedding is the mean of q (in the
    publication: a random draw). The published program has SCALE's mixture loss without initial
    mixture, so that its components stay equal: a VAE with one learned Gaussian prior.
    ``preset=faithful`` is that, with Bernoulli loss, hidden layers 1024-128, batches of 32, step
    size 2e-3 decayed to 2e-4 and weight decay 5e-4 (not on the prior, whose variance it would pull
    to a constant). The default has a standard normal prior, a negative binomial for counts with
    the cell's depth, and early stopping on held-out cells.

    The decoder of counts starts at the mean of each gene, and their KL weight rises more slowly
    (``kl_warmup``; it does not end with fewer than about 700 cells). The warm-up was chosen on
    500 cells each of zeisel_200genes, mouse_bladder_2100, kang_ifnb and three simulations.
    ``likelihood=gaussian`` takes a quarter of the time; with 500 cells it was worse or level.
    It may be better with some thousand deeply sequenced cells: try both.
    """

    name = "vae"
    summary = "variational autoencoder with a linear decoder"
    reference = (
        "Kingma and Welling 2014, doi 10.48550/arXiv.1312.6114; "
        "Huang et al. 2021, Symmetry 13:1467, doi 10.3390/sym13081467"
    )

    rna_likelihood = "nb"

    class Params(NetworkMethod.Params):
        """Parameters of the variational autoencoder."""

        learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
            2e-3, gt=0, le=1, description="step size of Adam"
        )
        kl_weight: Annotated[float, Search(0.1, 1.0)] = Field(
            1.0, ge=0, description="weight of the KL term after the warm-up"
        )
        kl_warmup: int | None = Field(
            None,
            ge=0,
            description="updates in which the KL weight rises; default: 200, nb 2000",
        )
        prior: Annotated[
            Literal["standard", "learned_gaussian"],
            Search(choices=("standard", "learned_gaussian")),
        ] = Field("standard", description="N(0, 1), or a learned diagonal Gaussian")

        presets: ClassVar = {
            "quick": {"max_epochs": 60},
            "faithful": HUANG_VAE | {"prior": "learned_gaussian", "kl_warmup": 200},
        }

    params: Params

    def build(self, facts: dict[str, Any], likelihood: Likelihood) -> Network:
        """Return the untrained network."""
        from .nn.models import VariationalAutoencoder

        p = self.params
        return VariationalAutoencoder(
            len(facts["features"]),
            likelihood,
            p,
            learned_prior=p.prior == "learned_gaussian",
            kl_warmup=_WARMUP.get(facts["likelihood"], 200),
        )
