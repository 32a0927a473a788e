"""A trained network with the facts of its training cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bench.contract import Context, Fit

from .._fitted_arrays import check_features
from .batches import Cells
from .likelihoods import make_likelihood
from .train import encode, n_parameters, seeded

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData

    from .base import NetworkMethod

_FILE = "network.pt"


class FittedNetwork:
    """A network and facts of its training cells: features, likelihood, median total."""

    def __init__(self, method: NetworkMethod, facts: dict[str, Any], device: str) -> None:
        self.facts, self.device = facts, device
        self._params, self._name = method.params, method.name
        likelihood = make_likelihood(facts["likelihood"], len(facts["features"]), method.params)
        self.network = method.build(facts, likelihood).to(device)

    def cells(self, data: AnnData) -> Cells:
        """Return ``data`` as blocks; raises ``DataError`` without the training features."""
        check_features(self.facts["features"], data, self._name)
        likelihood = self.facts["likelihood"]
        return Cells(
            data,
            counts=likelihood == "nb",
            device=self.device,
            divide_inputs=likelihood == "bernoulli" and self._params.adjust_depth,
            median_total=self.facts.get("median_total"),
        )

    def encode(self, data: AnnData) -> np.ndarray:
        return encode(self.network, self.network.embed, self.cells(data))

    def reconstruct(self, data: AnnData) -> np.ndarray:
        return encode(self.network, self.network.reconstruct, self.cells(data))

    def save(self, path: Path) -> None:
        state = {name: value.cpu() for name, value in self.network.state_dict().items()}
        torch.save({"state": state, "facts": self.facts}, path / _FILE)


def load_network(method: NetworkMethod, path: Path) -> FittedNetwork:
    """Return the network of :meth:`FittedNetwork.save`, on the CPU."""
    saved = torch.load(path / _FILE, weights_only=True, map_location="cpu")
    fitted = FittedNetwork(method, saved["facts"], "cpu")
    fitted.network.load_state_dict(saved["state"])
    return fitted


def fit_network(
    method: NetworkMethod, data: AnnData, context: Context
) -> tuple[FittedNetwork, Fit]:
    """Return the trained network and the codes of its cells, (cells, n_latent)."""
    facts = method.facts(data, context)
    with seeded(context.seed, "network", device=context.device):
        fitted = FittedNetwork(method, facts, context.device)
        cells = fitted.cells(data)
        facts["median_total"] = cells.median_total
        summary = fitted.network.fit(cells, context)
    fit = Fit(
        embedding=encode(fitted.network, fitted.network.embed, cells),
        n_parameters=n_parameters(fitted.network),
        notes={"likelihood": facts["likelihood"], "training": summary.note()},
    )
    return fitted, fit
