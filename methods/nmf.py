"""Non-negative matrix factorisation."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._factorization import Factorization, FactorParameters

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

_PENALTY = Search(1e-5, 1e-2, log=True, zero=True, when=(("solver", ("cd", "mu")),))


class NMF(Factorization):
    """V ≈ W H with W, H ≥ 0 (Lee and Seung 2001); the embedding is W (cells × n_components).

    Solvers: coordinate descent (``cd``) and multiplicative updates (``mu``) of scikit-learn on the
    sparse matrix, and ``nimfa``, the reference: multiplicative updates of nimfa.Nmf on a dense
    copy from the same seeded start (slower per iteration).

    ``preset=faithful`` is that of Huang et al. 2021: multiplicative updates on the table of peaks
    as it is, without filters or binarisation, and W not normalised. Genes, which the publication
    does not have, keep the preparation of the default. The default binarises peaks and removes the
    arbitrary scale of the components.
    """

    name = "nmf"
    summary = "non-negative matrix factorisation"
    reference = (
        "Lee and Seung 2001, NIPS 13; Huang et al. 2021, Symmetry 13:1467, doi 10.3390/sym13081467"
    )

    class Params(FactorParameters):
        """Parameters of the factorisation."""

        solver: Annotated[Literal["cd", "mu", "nimfa"], Search(choices=("cd", "mu"))] = Field(
            "cd", description="coordinate descent, multiplicative updates, or nimfa's own"
        )
        init: Annotated[Literal["nndsvda", "random"], Search(choices=("nndsvda", "random"))] = (
            Field("nndsvda", description="initial W and H")
        )
        loss: Literal["frobenius", "kullback-leibler"] = Field(
            "frobenius", description="kullback-leibler is the Poisson likelihood; not with cd"
        )
        max_iter: int = Field(400, ge=1, description="most iterations")
        tol: Annotated[float, Search(1e-6, 1e-2, log=True)] = Field(
            1e-4, ge=0, description="relative improvement at which iterations stop"
        )
        alpha_w: Annotated[float, _PENALTY] = Field(
            0.0, ge=0, description="penalty on W (scikit-learn's alpha_W)"
        )
        alpha_h: Annotated[float, _PENALTY] = Field(
            0.0, ge=0, description="penalty on H (scikit-learn's alpha_H)"
        )
        l1_ratio: Annotated[float, Search(0, 1, when=(("alpha_w|alpha_h", ("on",)),))] = Field(
            0.0, ge=0, le=1, description="share of the L1 norm in the penalties"
        )

        presets: ClassVar = {
            "quick": {"max_iter": 100, "tol": 1e-3},
            "faithful": {
                "solver": "mu",
                "max_iter": 200,
                "normalize": False,
                "filter_peaks": False,
                "binarize": False,
            },
        }

        @model_validator(mode="after")
        def _combinations(self) -> NMF.Params:
            if self.loss != "frobenius" and self.solver == "cd":
                raise ValueError("loss='kullback-leibler' needs solver='mu' (or 'nimfa')")
            if self.solver == "nimfa" and (self.alpha_w or self.alpha_h):
                raise ValueError("solver='nimfa' has no penalties: alpha_w and alpha_h must be 0")
            return self

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return W, (cells, n_components), rows of unit length unless ``normalize`` is off."""
        from ._factors import make_fit

        seed = derive_seed(context.seed, "nmf")
        factorize = self._with_nimfa if self.params.solver == "nimfa" else self._with_scikit_learn
        w, h, n_iter = factorize(data.X, min(self.params.n_components, *data.shape), seed)
        self._arrays = {"loadings": h, "features": list(data.var_names)}
        return make_fit(data, w, h, n_iter, self.params)

    def _with_scikit_learn(
        self, values: sp.csr_matrix, rank: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        from sklearn.decomposition import NMF as ScikitLearnNMF

        p = self.params
        model = ScikitLearnNMF(
            rank, init=p.init, solver=p.solver, beta_loss=p.loss, tol=p.tol, max_iter=p.max_iter,
            random_state=seed, alpha_W=p.alpha_w, alpha_H=p.alpha_h, l1_ratio=p.l1_ratio,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no convergence: in the notes
            w = model.fit_transform(values)
        return w, model.components_, model.n_iter_

    def _with_nimfa(
        self, values: sp.csr_matrix, rank: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        from ._factors import initialize_factors
        from ._nimfa import factorize_with_nimfa

        p = self.params
        w, h = initialize_factors(values, rank, p.init, seed)
        frobenius = p.loss == "frobenius"
        return factorize_with_nimfa(
            "Nmf", values.toarray(), w, h, max_iter=p.max_iter,
            update="euclidean" if frobenius else "divergence",
            objective="fro" if frobenius else "div",
            min_residuals=p.tol * float((values.data.astype("float64") ** 2).sum()),
        )  # fmt: skip

    def _loss_options(self) -> dict[str, Any]:
        p = self.params
        solver = "cd" if p.loss == "frobenius" else "mu"
        return {
            "solver": solver, "beta_loss": p.loss, "alpha_W": p.alpha_w, "l1_ratio": p.l1_ratio
        }  # fmt: skip
