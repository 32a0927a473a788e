"""Non-negative matrix factorisation by alternating least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._factorization import Factorization, FactorParameters

if TYPE_CHECKING:
    from anndata import AnnData


class LSNMF(Factorization):
    """V ≈ W H with W, H ≥ 0 by alternating projected gradients (Lin 2007, algorithm 4).

    The matrix stays sparse. ``preset=faithful`` equals nimfa.Lsnmf, used by Huang et al. 2021 on
    the table of peaks as it is, without filters or binarisation; genes keep the preparation of the
    default.

    The default differs: peaks are binarised and filtered; step sizes carry over between
    subproblems, as Lin suggests; the first gradient, which sets tolerances, is that of both
    factors (nimfa takes W's alone by a misplaced argument); the gradient of the stopping rule is
    that after the last step; factors start from nndsvda; at most 100 iterations of 5 steps instead
    of 12 of 10; the arbitrary scale of components is removed.

    ``solver=nimfa`` runs nimfa on a dense copy; the native solver with ``published_steps`` gives
    the same factors. ``nmf`` minimises the same objective by coordinate descent, in less time.
    """

    name = "lsnmf"
    summary = "least-squares NMF by projected gradients"
    reference = (
        "Lin 2007, Neural Computation 19:2756, doi 10.1162/neco.2007.19.10.2756; "
        "Huang et al. 2021, Symmetry 13:1467, doi 10.3390/sym13081467"
    )

    class Params(FactorParameters):
        """Parameters of the factorisation."""

        solver: Literal["native", "nimfa"] = Field("native", description="nimfa: the reference")
        init: Annotated[
            Literal["nndsvda", "random", "random_vcol"], Search(choices=("nndsvda", "random_vcol"))
        ] = Field("nndsvda", description="initial W and H")
        max_iter: Annotated[int, Search(12, 200, log=True)] = Field(
            100, ge=1, description="most outer iterations"
        )
        tol: Annotated[float, Search(1e-6, 1e-2, log=True)] = Field(
            1e-4, ge=0, description="stop below tol × the first projected gradient"
        )
        sub_iter: Annotated[int, Search(3, 30, log=True)] = Field(
            5, ge=1, description="gradient steps per subproblem"
        )
        inner_sub_iter: Annotated[int, Search(5, 20)] = Field(
            10, ge=1, description="trials of a step size"
        )
        beta: Annotated[float, Search(0.05, 0.5)] = Field(
            0.1, gt=0, lt=1, description="factor by which a step size shrinks or grows"
        )
        published_steps: bool = Field(
            False, description="nimfa's step sizes (1 at every subproblem) and gradients"
        )

        presets: ClassVar = {
            "quick": {"max_iter": 30},
            "faithful": {
                "init": "random_vcol",
                "max_iter": 12,
                "sub_iter": 10,
                "tol": 1e-5,
                "published_steps": True,
                "normalize": False,
                "filter_peaks": False,
                "binarize": False,
            },
        }

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return W, (cells, n_components), rows of unit length unless ``normalize`` is off."""
        from ._factors import initialize_factors, make_fit
        from ._nimfa import factorize_with_nimfa
        from ._projected_gradients import factorize

        p = self.params
        rank = min(p.n_components, *data.shape)
        w, h = initialize_factors(data.X, rank, p.init, derive_seed(context.seed, "lsnmf"))
        if p.solver == "nimfa":
            w, h, n_iter = factorize_with_nimfa(
                "Lsnmf", data.X.toarray(), w, h, max_iter=p.max_iter, min_residuals=p.tol,
                sub_iter=p.sub_iter, inner_sub_iter=p.inner_sub_iter, beta=p.beta,
            )  # fmt: skip
        else:
            w, h, n_iter = factorize(data.X, w, h, p, context.report)
        self._arrays = {"loadings": h, "features": list(data.var_names)}
        return make_fit(data, w, h, n_iter, p)
