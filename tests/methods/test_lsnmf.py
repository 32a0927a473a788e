"""LSNMF: agreement with nimfa, optimality, the subproblem, and what it reports."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.optimize import nnls

from bench.apply.estimator import Estimator
from bench.contract import ATAC
from bench.execute.curves import Curves
from bench.methods._factors import initialize_factors
from bench.methods._nimfa import factorize_with_nimfa
from bench.methods._projected_gradients import factorize, solve
from bench.methods.lsnmf import LSNMF

PUBLISHED = {
    "init": "random_vcol",
    "max_iter": 12,
    "sub_iter": 10,
    "tol": 1e-5,
    "published_steps": True,
}


def params(**values: object) -> LSNMF.Params:
    return LSNMF.Params.build(values, owner="lsnmf")


def estimator(*presets: str, **values: object) -> Estimator:
    return Estimator(LSNMF(LSNMF.Params.build(values, presets=presets, owner="lsnmf")))


def matrix(n_cells: int = 40, n_features: int = 30, seed: int = 0) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    dense = rng.random((n_cells, 5)) @ rng.random((5, n_features))
    dense += 0.2 * rng.random(dense.shape)
    return sp.csr_matrix(np.where(rng.random(dense.shape) < 0.3, 0.0, dense))


def gradients(v: np.ndarray, w: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of ½‖V - W H‖² by W and by H, from the dense residual."""
    residual = w @ h - v
    return residual @ h.T, w.T @ residual


@pytest.mark.parametrize("init", ["random", "random_vcol", "nndsvda"])
@pytest.mark.parametrize("n_iter", [1, 2, 12])
@pytest.mark.parametrize("shape", [(40, 30), (25, 60)])
def test_published_steps_are_nimfas(init: str, n_iter: int, shape: tuple[int, int]):
    values = matrix(*shape)
    w0, h0 = initialize_factors(values, 4, init, 3)
    p = params(**(PUBLISHED | {"max_iter": n_iter}))
    w, h, done = factorize(values, w0, h0, p, Curves())
    expected_w, expected_h, expected_done = factorize_with_nimfa(
        "Lsnmf", values.toarray(), w0, h0, max_iter=n_iter, min_residuals=1e-5
    )
    assert done == expected_done
    np.testing.assert_allclose(w, expected_w, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(h, expected_h, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("tol", [1e-2, 1e-3])
def test_published_steps_stop_where_nimfa_stops(tol: float):
    values = matrix()
    w0, h0 = initialize_factors(values, 4, "random", 3)
    p = params(**(PUBLISHED | {"max_iter": 500, "tol": tol}))
    w, _, done = factorize(values, w0, h0, p, Curves())
    expected_w, _, expected_done = factorize_with_nimfa(
        "Lsnmf", values.toarray(), w0, h0, max_iter=500, min_residuals=tol
    )
    assert 1 < done == expected_done < 500
    np.testing.assert_allclose(w, expected_w, rtol=1e-5, atol=1e-8)


def test_solvers_agree_through_the_method(toy_counts: AnnData):
    settings = {"n_components": 4, "max_iter": 6}
    ours = estimator("faithful", **settings).fit(toy_counts, modality=ATAC)
    theirs = estimator("faithful", solver="nimfa", **settings).fit(toy_counts, modality=ATAC)
    np.testing.assert_allclose(ours.embedding_, theirs.embedding_, rtol=1e-4, atol=1e-5)
    assert ours.fit_.notes == theirs.fit_.notes


def test_reports_loss_and_projected_gradient():
    values = matrix()
    v = values.toarray()
    curves = Curves()
    w, h, n_iter = factorize(
        values, *initialize_factors(values, 4, "nndsvda", 0), params(max_iter=7), curves
    )
    reported = curves.values
    assert len(reported["loss"]) == len(reported["projected_gradient"]) == n_iter == 7
    assert reported["loss"][-1] == pytest.approx(0.5 * ((v - w @ h) ** 2).sum(), rel=1e-10)
    by_w, by_h = gradients(v, w, h)
    free = np.concatenate([by_w[(by_w < 0) | (w > 0)], by_h[(by_h < 0) | (h > 0)]])
    assert reported["projected_gradient"][-1] == pytest.approx(np.linalg.norm(free), rel=1e-8)


@pytest.mark.parametrize("init", ["nndsvda", "random", "random_vcol"])
@pytest.mark.parametrize("published_steps", [True, False])
def test_loss_never_rises(init: str, published_steps: bool):
    values = matrix(60, 50)
    curves = Curves()
    p = params(max_iter=60, init=init, published_steps=published_steps, tol=1e-8)
    w, h, _ = factorize(values, *initialize_factors(values, 5, init, 1), p, curves)
    loss = np.array(curves.values["loss"])
    assert np.all(np.diff(loss) <= 1e-9 * loss[0])
    assert min(w.min(), h.min()) >= 0


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_optimality_conditions(beta: float):
    """At the end: gradient 0 where a factor is positive, not negative where it is 0."""
    values = matrix()
    v = values.toarray()
    w0, h0 = initialize_factors(values, 4, "nndsvda", 0)
    p = params(max_iter=5000, tol=1e-7, beta=beta)
    w, h, n_iter = factorize(values, w0, h0, p, Curves())
    assert n_iter < 5000
    first = math.hypot(*(np.linalg.norm(part) for part in gradients(v, w0, h0)))
    for gradient, factor in zip(gradients(v, w, h), (w, h), strict=True):
        assert np.abs(gradient[factor > 0]).max() < 1e-6 * first
        assert gradient[factor == 0].min(initial=0.0) > -1e-6 * first
    assert np.count_nonzero(w == 0) + np.count_nonzero(h == 0) > 10


def test_first_gradient_is_that_of_both_factors():
    """nimfa sets its tolerance by W's gradient alone; here H's counts too and stops earlier."""
    values = matrix(20, 200)
    w0, h0 = initialize_factors(values, 4, "random", 0)
    v = values.toarray()
    by_w, by_h = gradients(v, w0, h0)
    first = math.hypot(np.linalg.norm(by_w), np.linalg.norm(by_h))
    curves = Curves()
    factorize(values, w0, h0, params(max_iter=500, tol=1e-3), curves)
    reported = curves.values["projected_gradient"]
    assert reported[-1] < 1e-3 * first <= reported[-2]


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("step", [1e-6, 1.0, 1e6])
def test_subproblem_is_least_squares(beta: float, step: float):
    """From any step size and from a start of zeros."""
    rng = np.random.default_rng(0)
    a, b = rng.random((12, 4)), rng.normal(size=(12, 6))
    p = params(sub_iter=3000, inner_sub_iter=20, beta=beta)
    solved = solve(a.T @ b, a.T @ a, np.zeros((4, 6)), 1e-9, step, p)
    expected = np.column_stack([nnls(a, column)[0] for column in b.T])
    assert np.count_nonzero(expected == 0) > 3
    np.testing.assert_allclose(solved.x, expected, atol=1e-7)
    again = solve(a.T @ b, a.T @ a, solved.x, 1e-6, solved.step, p)
    assert again.moves == 0


def test_carried_step_saves_trials():
    """From 1 too few trials are left to find the tiny step; from the last step one suffices."""
    rng = np.random.default_rng(0)
    a, b = 1e4 * rng.random((12, 4)), rng.random((12, 6))
    cross, gram, zeros = a.T @ b, a.T @ a, np.zeros((4, 6))
    found = solve(cross, gram, zeros, 0.0, 1.0, params(sub_iter=5))
    assert found.step < 1e-7
    few = params(sub_iter=2, inner_sub_iter=3)
    assert not solve(cross, gram, zeros, 0.0, 1.0, few).x.any()
    assert solve(cross, gram, zeros, 0.0, found.step, few).x.any()


def test_nothing_lost_when_a_growing_step_runs_out_of_trials():
    """Published steps then do not move at all, as in Lin's program."""
    rng = np.random.default_rng(0)
    a, b = rng.random((12, 4)), rng.random((12, 6))
    start_at = {"x": np.zeros((4, 6)), "tolerance": 0.0, "step": 1e-9}
    few = {"sub_iter": 1, "inner_sub_iter": 3}
    assert solve(a.T @ b, a.T @ a, **start_at, params=params(**few)).x.any()
    lost = solve(a.T @ b, a.T @ a, **start_at, params=params(**few, published_steps=True))
    assert not lost.x.any()


def test_single_precision_input_is_enough():
    values = matrix()
    w0, h0 = initialize_factors(values, 4, "nndsvda", 0)
    w, _, _ = factorize(values, w0, h0, params(max_iter=20), Curves())
    single, _, _ = factorize(values.astype(np.float32), w0, h0, params(max_iter=20), Curves())
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, w, rtol=1e-3, atol=1e-3)


def test_a_product_is_recovered():
    rng = np.random.default_rng(0)
    v = sp.csr_matrix(rng.random((50, 3)) @ rng.random((3, 40)))
    p = params(max_iter=3000, tol=1e-7)
    w, h, _ = factorize(v, *initialize_factors(v, 3, "nndsvda", 0), p, Curves())
    np.testing.assert_allclose(w @ h, v.toarray(), atol=1e-3)


def test_faithful_preset_is_the_published_call():
    """rank=20, seed='random_vcol', max_iter=12, sub_iter=10, inner_sub_iter=10, beta=0.1."""
    p = LSNMF.Params.build(presets=("faithful",), owner="lsnmf")
    assert (p.n_components, p.init, p.max_iter) == (20, "random_vcol", 12)
    assert (p.sub_iter, p.inner_sub_iter, p.beta) == (10, 10, 0.1)
    assert not p.normalize
    assert not p.filter_peaks
    assert p.published_steps
