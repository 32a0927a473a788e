"""Non-negative matrix factorisation by alternating least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bench.contract import Context, Fit, Search
from bench.seeds import derive_seed

from ._factors import Factorization, FactorParameters, finish, start

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    from bench.contract import Reporter

_SUFFICIENT_DECREASE = 0.01
"""σ of Lin 2007, equation 13."""


class LSNMF(Factorization):
    """V ≈ W H with W, H ≥ 0 by alternating projected gradients (Lin 2007, algorithm 4).

    The matrix stays sparse: it is touched twice per iteration. Differences of the default from
    nimfa.Lsnmf, which Huang et al. 2021 use (``preset=faithful`` restores nimfa's ways): the step
    size is carried from one subproblem to the next (Lin's suggestion; the same path with fewer
    trials), the first gradient that sets the tolerances is that of both factors (nimfa takes W's
    alone by a misplaced argument), the gradient that ends the iterations is that after the moves,
    the start is nndsvda instead of random columns, at most 100 iterations of 5 steps a subproblem
    instead of 12 of 10 (the same objective in less time), and the arbitrary scale of the
    components is removed. ``solver=nimfa`` runs nimfa itself on a dense
    copy from the same start; the native solver with ``published_steps`` gives the same factors.
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
        ] = Field("nndsvda", description="how the factors start")
        max_iter: Annotated[int, Search(12, 200, log=True)] = Field(
            100, ge=1, description="most outer iterations"
        )
        tol: Annotated[float, Search(1e-6, 1e-2, log=True)] = Field(
            1e-4,
            ge=0,
            description="stop when the projected gradient is below tol × the first "
            "(nimfa reads 0 as 1e-5)",
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
            False, description="step size 1 at every subproblem and nimfa's first gradient"
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
            },
        }

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return W, (cells, n_components), rows of unit length unless ``normalize`` is off."""
        p = self.params
        rank = min(p.n_components, *data.shape)
        w, h = start(data.X, rank, p.init, derive_seed(context.seed, "lsnmf"))
        if p.solver == "nimfa":
            from ._nimfa import factorize as reference

            w, h, n_iter = reference(
                "Lsnmf", data.X.toarray(), w, h, max_iter=p.max_iter, min_residuals=p.tol,
                sub_iter=p.sub_iter, inner_sub_iter=p.inner_sub_iter, beta=p.beta,
            )  # fmt: skip
        else:
            w, h, n_iter = factorize(data.X, w, h, p, context.report)
        self._loadings = h
        return finish(data, w, h, n_iter, p)


def factorize(
    values: sp.csr_matrix, w: np.ndarray, h: np.ndarray, params: LSNMF.Params, report: Reporter
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return W (cells × rank), H (rank × features) and the number of outer iterations.

    Reports per iteration the loss ½‖V - W H‖² and the norm of the projected gradient.
    """
    import numpy as np

    matrix = values.astype(np.float64)
    turned = matrix.T.tocsr()
    total = float((matrix.data**2).sum())
    vh, wv = matrix @ h.T, (turned @ w).T  # V Hᵀ (cells × rank) and Wᵀ V (rank × features)
    first = float(np.linalg.norm(w @ (h @ h.T) - vh))
    if not params.published_steps:
        first = math.hypot(first, float(np.linalg.norm((w.T @ w) @ h - wv)))
    tolerance_w = tolerance_h = max(1e-3, params.tol) * first
    step_w = step_h = 1.0
    n_iter = 0
    for n_iter in range(1, params.max_iter + 1):
        solved_w = solve(vh.T, h @ h.T, w.T, tolerance_w, step_w, params)
        w = solved_w.x.T
        wv = (turned @ w).T
        gram_w = w.T @ w
        solved_h = solve(wv, gram_w, h, tolerance_h, step_h, params)
        h = solved_h.x
        vh = matrix @ h.T
        gram_h = h @ h.T
        if params.published_steps:  # nimfa's gradients are those before the last moves
            grad_w, grad_h = solved_w.gradient.T, solved_h.gradient
        else:
            grad_w, grad_h = w @ gram_h - vh, gram_w @ h - wv
            step_w, step_h = solved_w.step, solved_h.step
        gradient = math.hypot(_projected_norm(grad_w, w), _projected_norm(grad_h, h))
        loss = loss_of(total, wv, h, gram_w, gram_h)
        report(n_iter, params.max_iter, loss=loss, projected_gradient=gradient)
        tolerance_w *= 0.1 if solved_w.moves == 0 else 1.0
        tolerance_h *= 0.1 if solved_h.moves == 0 else 1.0
        still = solved_w.moves == solved_h.moves == 0
        if gradient < params.tol * first or (
            still and tolerance_w + tolerance_h < params.tol * first
        ):
            break
    return w, h, n_iter


def loss_of(
    total: float, wv: np.ndarray, h: np.ndarray, gram_w: np.ndarray, gram_h: np.ndarray
) -> float:
    """Return ½‖V - W H‖² = ½ (‖V‖² - 2 ⟨Wᵀ V, H⟩ + ⟨Wᵀ W, H Hᵀ⟩), without the residual.

    ``total`` = ‖V‖². Rounding may take the sum below 0; it is clamped there.
    """
    return 0.5 * max(total - 2.0 * _inner(wv, h) + _inner(gram_w, gram_h), 0.0)


@dataclass(frozen=True)
class Solved:
    """Solution of a subproblem."""

    x: np.ndarray
    gradient: np.ndarray
    """At the last check, before the last move."""
    moves: int
    """Gradient steps taken; 0: it was optimal at once."""
    step: float


def solve(
    cross: np.ndarray,
    gram: np.ndarray,
    x: np.ndarray,
    tolerance: float,
    step: float,
    params: LSNMF.Params,
) -> Solved:
    """Minimise ½‖B - A X‖² over X ≥ 0 by projected gradients (Lin 2007, algorithm 4).

    ``cross`` = AᵀB (rank × k), ``gram`` = AᵀA (rank × rank), ``x`` the start (rank × k). Ends when
    the projected gradient is below ``tolerance`` or after ``params.sub_iter`` steps.
    """
    import numpy as np

    x = np.ascontiguousarray(x)
    gradient = before = gram @ x - cross
    for moves in range(params.sub_iter):
        if _projected_norm(gradient, x) < tolerance:
            return Solved(x, gradient, moves, step)
        x, change, step = _search_step(x, gradient, gram, step, params)
        before, gradient = gradient, gradient + change
    return Solved(x, before, params.sub_iter, step)


def _search_step(
    x: np.ndarray, gradient: np.ndarray, gram: np.ndarray, step: float, params: LSNMF.Params
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the next X, how the gradient changes (``gram`` @ the move) and the step size.

    The step is shrunk until the loss falls enough (Lin 2007, equation 13) or grown while it does.
    When the trials run out nothing moves; in Lin's program a growing step is lost that way too,
    here the last one that passed is kept.
    """
    import numpy as np

    shrinking = False
    still = np.zeros_like(x)
    accepted, accepted_change, accepted_step = x, still, step
    for trial in range(params.inner_sub_iter):
        tried = np.maximum(x - step * gradient, 0.0)
        move = tried - x
        change = gram @ move
        slope, curvature = _inner(gradient, move), _inner(change, move)
        enough = (1 - _SUFFICIENT_DECREASE) * slope + 0.5 * curvature < 0
        if trial == 0:
            shrinking = not enough
        if shrinking:
            if enough:
                return tried, change, step
            step *= params.beta
        else:
            if not enough or np.array_equal(accepted, tried):
                last = step if params.published_steps else accepted_step
                return accepted, accepted_change, last
            accepted, accepted_change, accepted_step = tried, change, step
            step /= params.beta
    if params.published_steps:
        return x, still, step
    return accepted, accepted_change, step if shrinking else accepted_step


def _projected_norm(gradient: np.ndarray, x: np.ndarray) -> float:
    """Return the norm of the gradient along which X may move: below 0, or X above 0."""
    import numpy as np

    # x · 1e300 is 0 where X is 0 and larger than any gradient elsewhere: a minimum without a mask.
    with np.errstate(over="ignore"):
        allowed = np.minimum(gradient, x * 1e300)
    return _inner(allowed, allowed) ** 0.5


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """Return Σ a b without an array for the products."""
    import numpy as np

    return float(np.einsum("ij,ij->", a, b))
