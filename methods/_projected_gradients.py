"""NMF by alternating projected gradients (Lin 2007, doi:10.1162/neco.2007.19.10.2756)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

    from bench.contract import Reporter

    from .lsnmf import LSNMF

_SUFFICIENT_DECREASE = 0.01
"""σ of Lin 2007, equation 13."""


def factorize(
    values: sp.csr_matrix, w: np.ndarray, h: np.ndarray, params: LSNMF.Params, report: Reporter
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return W (cells × rank), H (rank × features) and the number of iterations.

    Each iteration reports ½‖V - W H‖² and the norm of the projected gradient.
    """
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
        loss = squared_loss(total, wv, h, gram_w, gram_h)
        report(n_iter, params.max_iter, loss=loss, projected_gradient=gradient)
        tolerance_w *= 0.1 if solved_w.moves == 0 else 1.0
        tolerance_h *= 0.1 if solved_h.moves == 0 else 1.0
        still = solved_w.moves == solved_h.moves == 0
        if gradient < params.tol * first or (
            still and tolerance_w + tolerance_h < params.tol * first
        ):
            break
    return w, h, n_iter


def squared_loss(
    total: float, wv: np.ndarray, h: np.ndarray, gram_w: np.ndarray, gram_h: np.ndarray
) -> float:
    """Return ½‖V - W H‖² = ½ (‖V‖² - 2 ⟨Wᵀ V, H⟩ + ⟨Wᵀ W, H Hᵀ⟩), at least 0."""
    return 0.5 * max(total - 2.0 * _inner(wv, h) + _inner(gram_w, gram_h), 0.0)


@dataclass(frozen=True)
class Solved:
    """Solution of a subproblem."""

    x: np.ndarray
    gradient: np.ndarray
    """At ``x``; one step earlier if the search ended after ``params.sub_iter`` steps."""
    moves: int
    """Gradient steps; 0: the start was optimal."""
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

    ``cross`` = AᵀB, ``gram`` = AᵀA, ``x`` the start. Ends when the projected gradient is below
    ``tolerance`` or after ``params.sub_iter`` steps.
    """
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
    """Return the next X, the change of the gradient and the step size.

    The step shrinks until the loss falls enough (Lin 2007, eq. 13), or grows while it does. If no
    trial of a shrinking step is good enough, X stays. If the trials of a growing step run out, the
    last good one is taken; with ``params.published_steps`` X stays, as in Lin's program.
    """
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
    """Return the norm of the projected gradient, its entries where it is below 0 or X above 0."""
    # x · 1e300 is 0 where X is 0 and larger than any gradient elsewhere: a minimum without a mask.
    with np.errstate(over="ignore"):
        allowed = np.minimum(gradient, x * 1e300)
    return _inner(allowed, allowed) ** 0.5


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """Return Σ a b without an array of the products."""
    return float(np.einsum("ij,ij->", a, b))
