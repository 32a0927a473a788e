"""Autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .nn.base import NetworkMethod
from .nn.params import HUANG

if TYPE_CHECKING:
    from .nn.likelihoods import Likelihood
    from .nn.models import Network


class AE(NetworkMethod):
    """Deterministic autoencoder with a single linear layer back (Huang et al. 2021).

    The default differs from the publication, which ``preset=faithful`` restores. The code is
    linear; units of a ReLU code die. Binarised chromatin has a Bernoulli likelihood with the
    cell's depth instead of a mean squared error, which stays for RNA. Hidden layers are narrower.
    The step size stays 1e-3; the published one decays to 2e-5 in 590 updates. Batches are
    shuffled. Held-out cells, not the training loss, stop it early. The published program has
    undefined names, and its number of epochs no default; here it is 300.
    """

    name = "ae"
    summary = "autoencoder with a linear decoder"
    reference = "Huang et al. 2021, Symmetry 13:1467, doi 10.3390/sym13081467"

    class Params(NetworkMethod.Params):
        """Parameters of the autoencoder."""

        presets: ClassVar = {
            "quick": {"max_epochs": 60},
            "faithful": HUANG | {"learning_rate": 0.01, "batch_size": 100, "shuffle": False},
        }

    params: Params

    def build(self, facts: dict[str, Any], likelihood: Likelihood) -> Network:
        """Return the untrained network."""
        from .nn.models import Autoencoder

        return Autoencoder(len(facts["features"]), likelihood, self.params)
