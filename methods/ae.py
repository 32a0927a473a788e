"""Autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .nn.base import NetworkMethod
from .nn.params import HUANG

if TYPE_CHECKING:
    from .nn.likelihoods import Likelihood
    from .nn.models import Network


class AE(NetworkMethod):
    """Deterministic autoencoder P-hidden-d with a single linear layer back (Huang et al. 2021).

    Differences of the default from the publication (``preset=faithful`` restores them): linear
    code instead of ReLU, whose units die; Bernoulli likelihood for binarised chromatin, with the
    cell's depth in the expected value, instead of a mean squared error (which stays for RNA, on
    scaled log-normalised genes); narrower hidden layers; constant step size 1e-3 (the published
    decay reaches its floor of 2e-5 after 590 updates); shuffled batches; early stopping on
    held-out cells, not on the training loss. The published program does not run (undefined
    names). Its number of epochs is an argument without default, here 300.
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
