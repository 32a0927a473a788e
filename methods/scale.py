"""SCALE: variational autoencoder with a Gaussian-mixture prior for chromatin accessibility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bench.contract import ATAC, Context, Fit, Search
from bench.seeds import derive_seed

from .nn.base import NetworkMethod
from .nn.settings import HUANG

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    from .nn.batches import Cells
    from .nn.likelihoods import Likelihood
    from .nn.models import Network
    from .nn.train import Trained


class SCALE(NetworkMethod):
    """Mixture-prior variational autoencoder of peaks (Xiong et al. 2019).

    Mended against the published program: mixture weights and variances cannot leave their range
    (they could turn negative and give NaN); the mixture is fitted to the posteriors (means and
    variances) of a network that was trained with a normal prior until its held-out loss stood
    still, as Jiang et al. 2017 pretrain theirs, not to draws of an untrained one; weight
    decay spares the mixture; the embedding is the mean, not a draw; responsibilities come
    from a log-sum-exp without a floor; the cell's depth enters the expected value.
    ``preset=faithful`` is the release of 2019: batches of 32, step size 2e-3 decayed to 2e-4,
    mixture from the untrained network, peaks scaled by their maximum, early stopping on the
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
            200, ge=0, description="updates in which the weight rises from 0"
        )
        normal_epochs: Annotated[int, Search(0, 200)] = Field(
            200,
            ge=0,
            description="most epochs with a normal prior before the mixture is fitted; "
            "stops early like the rest",
        )

        presets: ClassVar = {
            "quick": {"max_epochs": 60, "normal_epochs": 20},
            "faithful": HUANG
            | {
                "code_activation": "linear",
                "likelihood": "bernoulli",
                "reduction": "sum",
                "learning_rate": 2e-3,
                "learning_rate_floor": 2e-4,
                "weight_decay": 5e-4,
                "batch_size": 32,
                "drop_last": True,
                "normal_epochs": 0,
            },
        }

    params: Params

    def uses(self) -> frozenset[str]:
        """Return the number of types if it is to set the number of Gaussians."""
        return frozenset({"n_clusters"}) if self.params.known_k else frozenset()

    def build(self, n_features: int, likelihood: Likelihood) -> Network:
        """Return the untrained network with a normal prior."""
        from .nn.mixture import MixtureAutoencoder

        return MixtureAutoencoder(
            n_features,
            self.params.hidden,
            self.params.n_latent,
            likelihood,
            n_components=self._fitted["n_components"],
            input_dropout=self.params.input_dropout,
            kl_weight=self.params.kl_weight,
            kl_warmup=self.params.kl_warmup,
        )

    def train(self, model: Network, cells: Cells, context: Context) -> Trained:
        """Train with a normal prior, fit the mixture to the means, train with the mixture.

        A Gaussian of the prior starts with the variance of its cells' means plus the mean of their
        posterior variances (the law of total variance): that of the draws it has to explain.
        """
        import numpy as np
        from sklearn.mixture import GaussianMixture

        from .nn.mixture import MixtureAutoencoder
        from .nn.train import Schedule, encode, train

        assert isinstance(model, MixtureAutoencoder)
        if self.params.max_epochs and self.params.normal_epochs:
            schedule = Schedule.of(
                self.params, max_epochs=self.params.normal_epochs, warmup=model.kl_warmup
            )
            train(model, model.objective, cells, schedule, context, stage="normal")
            model.kl_warmup = 0
        means = encode(model, model.embed, cells)
        mixture = GaussianMixture(
            self._fitted["n_components"], covariance_type="diag", n_init=5, reg_covar=1e-4,
            random_state=derive_seed(context.seed, "mixture"),
        ).fit(means)  # fmt: skip
        shares = mixture.predict_proba(means)
        within = shares.T @ encode(model, model.variance, cells)
        within /= np.maximum(shares.sum(axis=0), 1e-12)[:, None]
        model.set_mixture(mixture.weights_, mixture.means_, mixture.covariances_ + within)
        schedule = Schedule.of(self.params, warmup=model.kl_warmup)
        return train(model, model.objective, cells, schedule, context)

    def facts(self, data: AnnData, context: Context) -> dict[str, Any]:
        """Return also the number of Gaussians."""
        k = min(context.n_clusters or self.params.n_components, data.n_obs)
        return super().facts(data, context) | {"n_components": k}

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return μ of each cell, (cells, n_latent), and the most likely Gaussian of each.

        Tables: ``loadings`` (peaks × n_latent, the decoder) and ``specificity`` (peaks × Gaussians
        that hold cells).
        """
        import numpy as np
        import pandas as pd

        from .nn.mixture import MixtureAutoencoder
        from .nn.train import encode

        fit = super().fit(data, context)
        model = self._model
        assert isinstance(model, MixtureAutoencoder)
        cells = self._cells(data, context.device)
        components = encode(model, model.component, cells).argmax(axis=1)
        fit.labels["mixture"] = np.array([f"gaussian{number}" for number in components])
        units = [f"latent{number}" for number in range(1, self.params.n_latent + 1)]
        weights = model.decoder.weight.detach().cpu().numpy()
        fit.tables["loadings"] = pd.DataFrame(weights, data.var_names, units)
        means = model.cluster_means(cells, components)
        names = [f"gaussian{number}" for number in means]
        table = specificity(np.column_stack(list(means.values())))
        fit.tables["specificity"] = pd.DataFrame(table, data.var_names, names)
        return fit

    def impute_binary(self, data: AnnData) -> np.ndarray:
        """Return which peaks count as open after imputation, (cells, peaks), booleans."""
        return binarized(self.impute(data), data.X)


def specificity(means: np.ndarray) -> np.ndarray:
    """Return how specific each peak is for each cluster, peaks × clusters, from 0 to 1.

    ``means`` (peaks × clusters) is the mean accessibility. 1 - √JSD (base 2) between a peak's
    row, as a distribution over the clusters, and the distribution with all its weight on one
    cluster (Cabili et al. 2011). A peak that is closed everywhere counts as open alike everywhere.
    """
    import numpy as np
    from scipy.spatial.distance import jensenshannon

    whole = means.sum(axis=1, keepdims=True)
    shares = np.divide(means, whole, out=np.full_like(means, 1 / means.shape[1]), where=whole > 0)
    alone = np.eye(means.shape[1])
    scores = [1 - jensenshannon(shares, target[None, :], base=2, axis=1) for target in alone]
    return np.column_stack(scores)


def binarized(expected: np.ndarray, raw: np.ndarray | sp.csr_matrix) -> np.ndarray:
    """Return where the imputed accessibility exceeds both means of the raw data, cells × peaks.

    The cell's mean and the peak's mean of ``raw``, as in the published program.
    """
    import numpy as np

    of_cells = np.asarray(raw.mean(axis=1)).reshape(-1, 1)
    of_peaks = np.asarray(raw.mean(axis=0)).reshape(1, -1)
    return (expected > of_cells) & (expected > of_peaks)
