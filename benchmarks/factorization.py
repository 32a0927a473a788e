"""LSNMF and NMF of this package, scikit-learn and nimfa: time to the same objective.

    python benchmarks/factorization.py [--quick] [--json FILE]

Two sparse matrices: ``random`` (2,000 × 2,000, 5 % ones, nothing to find) and ``peaks``
(simulated chromatin, 1,000 cells × 50,000 peaks, 4 % open, 6 types). The same rank, non-negative
start (nndsvda) and one thread. The target is 1.0005 × the ‖V - W H‖² that scikit-learn's
coordinate descent ends with at its default tolerance. Each solver runs with more and more
iterations until it is there; its figure is the processor time of that run, the best of three.
Peak memory: arrays allocated in five iterations. Solvers that need a dense copy get ``random``.
"""

from __future__ import annotations

import time
import tracemalloc
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from _figures import flags, show

if TYPE_CHECKING:
    from collections.abc import Callable

RANK = 10
ITERATIONS = (1, 2, 4, 6, 8, 10, 14, 18, 25, 35, 50, 70, 100, 150, 200, 300)


def random(size: int) -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    return sp.csr_matrix((rng.random((size, size)) < 0.05).astype(np.float64))


def peaks(size: int) -> sp.csr_matrix:
    from bench.datasets.sim_atac import SimATAC

    params = SimATAC.Params(n_cells=size // 2, n_features=25 * size, depth=size)
    counts = SimATAC(params).load().X.tocsr()
    counts.data[:] = 1.0
    return counts[:, np.asarray(counts.sum(axis=0)).ravel() > 0].astype(np.float64)


def objective(v: sp.csr_matrix, w: np.ndarray, h: np.ndarray) -> float:
    cross = float((v.multiply(w @ h)).sum())
    return float(v.multiply(v).sum()) - 2 * cross + float(((w.T @ w) * (h @ h.T)).sum())


def sklearn(solver: str) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def go(v: Any, w: np.ndarray, h: np.ndarray, n_iter: int) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.decomposition import non_negative_factorization

        w, h, _ = non_negative_factorization(
            v, W=w.copy(), H=h.copy(), init="custom", solver=solver, tol=0.0, max_iter=n_iter,
            n_components=RANK,
        )  # fmt: skip
        return w, h

    return go


def native(v: Any, w: np.ndarray, h: np.ndarray, n_iter: int) -> tuple[np.ndarray, np.ndarray]:
    from bench.methods._projected_gradients import factorize
    from bench.methods.lsnmf import LSNMF

    params = LSNMF.Params(n_components=RANK, max_iter=n_iter, tol=0.0)
    w, h, _ = factorize(v, w, h, params, lambda *a, **k: None)
    return w, h


def nimfa(algorithm: str) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def go(v: Any, w: np.ndarray, h: np.ndarray, n_iter: int) -> tuple[np.ndarray, np.ndarray]:
        from bench.methods._nimfa import factorize_with_nimfa

        w, h, _ = factorize_with_nimfa(
            algorithm, v.toarray(), w, h, max_iter=n_iter, min_residuals=1e-12
        )
        return w, h

    return go


SOLVERS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "sklearn_cd": sklearn("cd"),
    "lsnmf_native": native,
    "sklearn_mu": sklearn("mu"),
    "lsnmf_nimfa_dense": nimfa("Lsnmf"),
    "nmf_nimfa_dense": nimfa("Nmf"),
}


def seconds_to(name: str, v: Any, start: tuple[np.ndarray, np.ndarray], target: float) -> float:
    """Return the processor time of the shortest run that reaches the target; NaN if none does."""
    for n_iter in ITERATIONS:
        started = time.process_time()
        w, h = SOLVERS[name](v, *start, n_iter)
        seconds = time.process_time() - started
        if objective(v, w, h) <= target:
            return seconds
    return float("nan")


def peak(name: str, v: Any, start: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the highest memory of arrays during five iterations, in MiB."""
    tracemalloc.start()
    SOLVERS[name](v, *start, 5)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest / 2**20


def measure(case: str, v: sp.csr_matrix, solvers: list[str]) -> dict[str, float]:
    """Return the figures of one matrix, their names beginning with ``case``."""
    from sklearn.decomposition import NMF

    from bench.methods._factors import initialize_factors

    first = initialize_factors(v, RANK, "nndsvda", 0)
    model = NMF(RANK, init="nndsvda", random_state=0)
    w = model.fit_transform(v)
    target = 1.0005 * objective(v, w, model.components_)
    figures = {f"target of {case}": target}
    for name in solvers:
        seconds_to(name, v, first, float("inf"))  # imports and first calls outside the clock
        figures[f"{name}/{case}: CPU s"] = min(
            seconds_to(name, v, first, target) for _ in range(3)
        )
        figures[f"{name}/{case}: peak MiB"] = peak(name, v, first)
        fastest = figures[f"sklearn_cd/{case}: CPU s"]
        figures[f"{name}/{case}: ratio"] = figures[f"{name}/{case}: CPU s"] / fastest
    return figures


def main() -> None:
    options = flags(__doc__)
    warnings.simplefilter("ignore")  # scikit-learn's on iterations that are cut on purpose
    size = 500 if options.quick else 2000
    sparse = [name for name in SOLVERS if not name.endswith("dense")]
    with threadpool_limits(1):
        figures = measure("random", random(size), list(SOLVERS))
        figures |= measure("peaks", peaks(size), sparse)
    show(figures, options.json)


if __name__ == "__main__":
    main()
