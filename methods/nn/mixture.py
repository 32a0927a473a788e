"""SCALE's network, a variational autoencoder with a Gaussian-mixture prior, and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import jensenshannon
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.nn import functional

from bench.seeds import derive_seed

from .clusters import numbered
from .models import VariationalAutoencoder
from .train import Schedule, TrainingSummary, encode, train

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData

    from bench.contract import Context, Fit

    from ..scale import SCALE
    from .batches import Block, Cells
    from .fitted_network import FittedNetwork
    from .likelihoods import Likelihood

_SMALLEST_VARIANCE = 1e-4


class MixtureAutoencoder(VariationalAutoencoder):
    """Prior Σ_k π_k N(m_k, v_k) with diagonal components (Jiang et al. 2017; Xiong et al. 2019).

    Softmax and softplus keep π and v in range. The prior is N(0, 1) until :meth:`set_mixture`.
    """

    params: SCALE.Params

    def __init__(
        self, n_features: int, likelihood: Likelihood, params: SCALE.Params, *, n_components: int
    ) -> None:
        super().__init__(n_features, likelihood, params)
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.means = nn.Parameter(torch.zeros(n_components, params.n_latent))
        self.raw_variances = nn.Parameter(torch.zeros(n_components, params.n_latent))
        self.register_buffer("mixed", torch.tensor(False))

    raw_variances: nn.Parameter
    mixed: Tensor

    def fit(self, cells: Cells, context: Context) -> TrainingSummary:
        """Train with a normal prior, fit the mixture to posteriors, train with the mixture.

        A Gaussian's variance is that of its cells' means plus the mean of their posterior
        variances (law of total variance).
        """
        epochs = self.params.normal_epochs
        if self.params.max_epochs and epochs:
            schedule = Schedule.of(self.params, max_epochs=epochs, warmup=self.kl_warmup)
            train(self, self.objective, cells, schedule, context, stage="normal")
            self.kl_warmup = 0
        means = encode(self, self.embed, cells)
        mixture = GaussianMixture(
            len(self.means), covariance_type="diag", n_init=5, reg_covar=1e-4,
            random_state=derive_seed(context.seed, "mixture"),
        ).fit(means)  # fmt: skip
        shares = mixture.predict_proba(means)
        within = shares.T @ encode(self, self.variance, cells)
        within /= np.maximum(shares.sum(axis=0), 1e-12)[:, None]
        self.set_mixture(mixture.weights_, mixture.means_, mixture.covariances_ + within)
        return super().fit(cells, context)

    def set_mixture(self, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> None:
        """Use a mixture of K weights, means (K, d) and variances (K, d) as prior."""

        def tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=self.means.dtype, device=self.means.device)

        above = np.maximum(variances - _SMALLEST_VARIANCE, 1e-6)
        with torch.no_grad():
            self.logits.copy_(tensor(np.log(np.maximum(weights, 1e-8))))
            self.means.copy_(tensor(means))
            # The inverse of softplus.
            self.raw_variances.copy_(tensor(above + np.log(-np.expm1(-above))))
            self.mixed.fill_(True)

    def variances(self) -> Tensor:
        """Return v, (K, d)."""
        return functional.softplus(self.raw_variances) + _SMALLEST_VARIANCE

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(k | z), (cells, K), by log-sum-exp."""
        log_joint = torch.log_softmax(self.logits, 0) - 0.5 * (
            self._distance(z, z.square()) + self.variances().log().sum(dim=1)
        )
        return torch.log_softmax(log_joint, dim=1)

    def _distance(self, mean: Tensor, second: Tensor) -> Tensor:
        """Return Σ_d E[(z - m)²] / v for E[z] = ``mean``, E[z²] = ``second``, (cells, K)."""
        inverse = 1.0 / self.variances()
        return (
            second @ inverse.T
            - 2 * mean @ (self.means * inverse).T
            + (self.means.square() * inverse).sum(dim=1)
        )

    def divergence(self, mean: Tensor, log_var: Tensor, z: Tensor) -> Tensor:
        """Return Σ_k γ_k [KL(q ‖ N_k) + log γ_k - log π_k] of each cell.

        γ = p(k | z) at the draw z; Jiang et al. 2017, eq. 12, regrouped.
        """
        if not self.mixed:
            return super().divergence(mean, log_var, z)
        log_gamma = self.log_responsibilities(z)
        each = 0.5 * (
            self.variances().log().sum(dim=1)
            + self._distance(mean, mean.square() + log_var.exp())
            - (1.0 + log_var).sum(dim=1, keepdim=True)
        )
        log_pi = torch.log_softmax(self.logits, 0)
        return (log_gamma.exp() * (each + log_gamma - log_pi)).sum(dim=1)

    def variance(self, block: Block) -> Tensor:
        """Return the variance σ² of each cell's posterior, (cells, d)."""
        return self.posterior(block)[1].exp()

    def component(self, block: Block) -> Tensor:
        """Return p(k | μ), (cells, K)."""
        return self.log_responsibilities(self.embed(block)).exp()

    def cluster_means(self, cells: Cells, clusters: np.ndarray) -> dict[int, np.ndarray]:
        """Return the mean expected value of each target, (targets,), by number of the cluster."""
        means = {}
        self.eval()
        with torch.inference_mode():
            for number in np.unique(clusters).tolist():
                rows = np.flatnonzero(clusters == number)
                blocks = cells.blocks(rows, 512)
                total = sum(self.reconstruct(block).sum(dim=0).cpu().numpy() for block in blocks)
                means[number] = np.asarray(total) / len(rows)
        return means


def add_mixture_results(fit: Fit, fitted: FittedNetwork, data: AnnData) -> None:
    """Add the clustering ``mixture``, the loadings and the specificity of peaks to ``fit``."""
    model, cells = fitted.network, fitted.cells(data)
    assert isinstance(model, MixtureAutoencoder)
    components = encode(model, model.component, cells).argmax(axis=1)
    fit.labels["mixture"] = np.array([f"gaussian{number}" for number in components])
    weights = model.decoder.weight.detach().cpu().numpy()
    units = numbered("latent", weights.shape[1])
    fit.tables["loadings"] = pd.DataFrame(weights, data.var_names, units)
    means = model.cluster_means(cells, components)
    names = [f"gaussian{number}" for number in means]
    values = specificity(np.column_stack(list(means.values())))
    fit.tables["specificity"] = pd.DataFrame(values, data.var_names, names)


def specificity(means: np.ndarray) -> np.ndarray:
    """Return the specificity of peaks for clusters, peaks × clusters, from 0 to 1.

    1 - √JSD (base 2) between the shares of the clusters in a peak's accessibility and all weight
    on one cluster (Cabili et al. 2011). ``means``: mean accessibility, peaks × clusters. A peak
    closed in all clusters counts as equally open in all.
    """
    whole = means.sum(axis=1, keepdims=True)
    shares = np.divide(means, whole, out=np.full_like(means, 1 / means.shape[1]), where=whole > 0)
    targets = np.eye(means.shape[1])
    scores = [1 - jensenshannon(shares, target[None, :], base=2, axis=1) for target in targets]
    return np.column_stack(scores)


def binarized(expected: np.ndarray, raw: np.ndarray | sp.csr_matrix) -> np.ndarray:
    """Return where imputed accessibility exceeds the raw means of its cell and its peak.

    Booleans, (cells, peaks). The rule is that of the published program.
    """
    cell_means = np.asarray(raw.mean(axis=1)).reshape(-1, 1)
    peak_means = np.asarray(raw.mean(axis=0)).reshape(1, -1)
    return (expected > cell_means) & (expected > peak_means)
