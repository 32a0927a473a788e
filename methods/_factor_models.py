"""Factor models of other programs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from bench.contract import Fit

from ._global_generators import seed_global_generators

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import scipy.sparse as sp

    from bench.contract import Context

    from .glmpca import GLMPCA
    from .mofa import MOFA


def fit_glmpca(counts: sp.csr_matrix, params: GLMPCA.Params, seed: int, context: Context) -> Fit:
    """Return the fit of fastglmpca: scores in orthogonal axes."""
    from fastglmpca import PoissonGLMPCA

    def reported(steps: range) -> Iterator[int]:
        for step in steps:
            yield step
            loss = -model.loglik_history_[-1] / counts.shape[0]
            context.report(step + 1, params.max_iter, loss=loss)

    # Of no convergence: that is in the notes.
    with seed_global_generators(seed), warnings.catch_warnings(action="ignore"):
        model = PoissonGLMPCA(
            min(params.n_components, min(counts.shape) - 2), max_iter=params.max_iter,
            tol=params.tol, device=context.device, progress_bar=False, seed=seed,
        )  # fmt: skip
        # Dense: the start from a sparse matrix has a seed of its own at each call.
        model.fit(counts.toarray(), custom_iterator=reported)
    n_iter = len(model.loglik_history_) - 1
    return Fit(
        model.U * model.d,
        n_parameters=int(model.U.size + model.V.size + sum(counts.shape)),
        notes={"iterations": f"{n_iter} of at most {params.max_iter}"},
    )


def fit_mofa(views: Sequence[np.ndarray], params: MOFA.Params, seed: int) -> Fit:
    """Return the fit of mofapy2: expected factors of matrices of the same cells."""
    from mofapy2.run.entry_point import entry_point

    n_factors = min(params.n_components, *(min(view.shape) - 1 for view in views))
    model = entry_point()
    model.set_data_options(scale_views=True)
    model.set_data_matrix([[view] for view in views], likelihoods=["gaussian"] * len(views))
    model.set_model_options(factors=n_factors)
    model.set_train_options(iter=params.max_iter, seed=seed, quiet=True)
    with seed_global_generators(seed):
        model.build()
        model.run()
    factors = model.model.nodes["Z"].getExpectation()
    return Fit(factors.astype("float32"))
