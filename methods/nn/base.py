"""Base class of the autoencoders: one network, trained once, with a code per cell."""

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

from .params import NetworkParameters

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData

    from .fitted_network import FittedNetwork
    from .likelihoods import Likelihood
    from .models import Network


class NetworkMethod(Method):
    """Base of methods that train one network, returned by :meth:`build`."""

    modalities = frozenset({RNA, ATAC})
    family = "autoencoder"
    gpu = True
    loss_measures = ("likelihood", "output", "reduction", "validation", "binarize")
    rna_likelihood: ClassVar[str] = "gaussian"
    """What ``likelihood=auto`` means for RNA."""
    fitted: FittedNetwork
    """The trained network, after a fit or :meth:`load`."""

    class Params(NetworkParameters):
        """Parameters of the network."""

    params: Params

    @abstractmethod
    def build(self, facts: dict[str, Any], likelihood: Likelihood) -> Network:
        """Return the untrained network; ``facts``: see :meth:`facts`. The caller seeds torch."""

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the preparation.

        Chromatin: binarised peaks, or, as published, peaks scaled to a maximum of 1. RNA:
        log-normalised variable genes, with unit variance for a Gaussian likelihood.
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
        """Return the names of the features and of the likelihood, for :meth:`build`."""
        name: str = self.params.likelihood
        if name == "auto":
            name = "bernoulli" if _within_one(data.X) else self.rna_likelihood
        return {"features": list(data.var_names), "likelihood": name}

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the code of each cell, (cells, n_latent)."""
        from .fitted_network import fit_network

        self.fitted, fit = fit_network(self, data, context)
        return fit

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the code of new cells; raises ``DataError`` for other features."""
        return self.fitted.encode(data)

    def impute(self, data: AnnData) -> np.ndarray:
        """Return the expected value of each entry, (cells, features).

        Chance that a peak is open, counts (negative binomial) or prepared values (Gaussian).
        """
        return self.fitted.reconstruct(data)

    def save(self, path: Path) -> None:
        self.fitted.save(path)

    def load(self, path: Path) -> None:
        from .fitted_network import load_network

        self.fitted = load_network(self, path)


def _within_one(matrix: Any) -> bool:
    """Return whether all values lie between 0 and 1; the matrix is read in blocks."""
    from bench.prepare.blocks import stored_values

    return all(
        values.min(initial=0) >= 0 and values.max(initial=0) <= 1
        for values in stored_values(matrix)
    )
