"""What the autoencoders share as methods: one network, trained once, with a code per cell."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contract import (
    ATAC,
    RNA,
    Context,
    DatasetInfo,
    Fit,
    Method,
    Recipe,
    accessible_peaks,
    log_normalized,
)
from bench.errors import DataError

from .settings import NetworkParameters

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData

    from .batches import Cells
    from .likelihoods import Likelihood
    from .models import Network
    from .train import Trained


class NetworkMethod(Method):
    """Base of methods that train one network; subclasses say which in :meth:`build`."""

    modalities = frozenset({RNA, ATAC})
    family = "autoencoder"
    gpu = True
    loss_measures = ("likelihood", "output", "reduction", "validation", "binarize")
    rna_likelihood: ClassVar[str] = "gaussian"
    """What ``likelihood=auto`` means for RNA."""
    _fitted: dict[str, Any]
    """What :meth:`facts` returned, and the median total of the training cells."""

    class Params(NetworkParameters):
        """Parameters of the network."""

    params: Params

    @abstractmethod
    def build(self, n_features: int, likelihood: Likelihood) -> Network:
        """Return the untrained network; torch is seeded when this is called."""

    def train(self, model: Network, cells: Cells, context: Context) -> Trained:
        """Train the network; the default minimises ``model.objective`` once."""
        from .train import Schedule, train

        return train(model, model.objective, cells, Schedule.of(self.params), context)

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the preparation for a dataset.

        Chromatin: binarised peaks, or, as published, scaled to a maximum of 1. RNA: log-normalised
        variable genes; scaled to unit variance if the reconstruction is Gaussian.
        """
        p = self.params
        if info.modality == ATAC and p.binarize:
            return accessible_peaks(low=p.low, high=p.high, min_peaks=p.min_peaks)
        if info.modality == ATAC:
            return Recipe(
                min_features=p.min_peaks, min_cells=p.low, max_cells=p.high, max_abs=True
            )
        likelihood = self.rna_likelihood if p.likelihood == "auto" else p.likelihood
        return log_normalized(info, n_top_genes=p.n_top_genes, scale=likelihood == "gaussian")

    def facts(self, data: AnnData, context: Context) -> dict[str, Any]:
        """Return what :meth:`build` needs to know of the training cells, as plain values."""
        name: str = self.params.likelihood
        if name == "auto":
            binary = data.X.min() >= 0 and data.X.max() <= 1
            name = "bernoulli" if binary else self.rna_likelihood
        return {"features": list(data.var_names), "likelihood": name}

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the code of each cell, (cells, n_latent)."""
        from .train import encode, n_parameters, seeded

        self._fitted = self.facts(data, context)
        cells = self._cells(data, context.device)
        self._fitted["median_total"] = cells.median_total
        with seeded(context.seed, "network", device=context.device):
            self._model = self._make().to(context.device)
            size = n_parameters(self._model)
            trained = self.train(self._model, cells, context)
        return Fit(
            embedding=encode(self._model, self._model.embed, cells),
            n_parameters=size,
            notes={"likelihood": self._fitted["likelihood"], "training": trained.note()},
        )

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the code of new cells, prepared like the training cells, (cells, n_latent).

        Raises ``DataError`` if the features are not those of the training cells.
        """
        from .train import encode

        features = self._fitted["features"]
        if list(data.var_names) != features:
            raise DataError(
                f"{self.name}: the new cells have other features ({data.n_vars}) than the "
                f"training cells ({len(features)}); select and order them alike."
            )
        device = str(next(self._model.parameters()).device)
        cells = self._cells(data, device)
        return encode(self._model, self._model.embed, cells)

    def impute(self, data: AnnData) -> np.ndarray:
        """Return the expected value of each entry, (cells, features), from the cells' codes.

        Chance that a peak is open, counts (negative binomial), or prepared values (Gaussian).
        """
        from .train import encode

        cells = self._cells(data, str(next(self._model.parameters()).device))
        return encode(self._model, self._model.reconstruct, cells)

    def save(self, path: Path) -> None:
        """Write the weights and what else :meth:`transform` needs into the folder ``path``."""
        import torch

        state = {name: value.cpu() for name, value in self._model.state_dict().items()}
        torch.save({"state": state, "fitted": self._fitted}, path / "network.pt")

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote; the parameters must be the same."""
        import torch

        kept = torch.load(path / "network.pt", weights_only=True, map_location="cpu")
        self._fitted = kept["fitted"]
        self._model = self._make()
        self._model.load_state_dict(kept["state"])

    def _cells(self, data: AnnData, device: str) -> Cells:
        from .batches import Cells

        likelihood = self._fitted["likelihood"]
        return Cells(
            data,
            counts=likelihood == "nb",
            device=device,
            divide_inputs=likelihood == "bernoulli" and self.params.adjust_depth,
            median_total=self._fitted.get("median_total"),
        )

    def _make(self) -> Network:
        from .likelihoods import make_likelihood

        n_features = len(self._fitted["features"])
        return self.build(
            n_features,
            make_likelihood(
                self._fitted["likelihood"],
                n_features,
                reduction=self.params.reduction,
                output=self.params.output,
                depth_offset=self.params.adjust_depth,
            ),
        )
