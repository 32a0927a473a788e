"""Factors W (cells × rank) and H (rank × features) of V ≈ W H: start, projection, scale."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.decomposition import non_negative_factorization
from sklearn.decomposition._nmf import _initialize_nmf
from sklearn.exceptions import ConvergenceWarning

from bench.contract import Fit

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData


def initialize_factors(
    values: sp.csr_matrix, rank: int, init: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first W and H, float64.

    ``nndsvda`` (Boutsidis and Gallopoulos 2008) and ``random`` are scikit-learn's. ``random_vcol``
    is nimfa's: a column of W is the mean of a random fifth of the columns of ``values``, a row of
    H that of a random fifth of its rows, both drawn with replacement.
    """
    if init != "random_vcol":
        w, h = _initialize_nmf(values, rank, init=init, random_state=seed)
        return w.astype(np.float64), h.astype(np.float64)
    rng = np.random.default_rng(seed)
    n_cells, n_features = values.shape
    by_column = values.tocsc()
    w = np.empty((n_cells, rank))
    h = np.empty((rank, n_features))
    for unit in range(rank):
        columns = rng.integers(n_features, size=-(-n_features // 5))
        rows = rng.integers(n_cells, size=-(-n_cells // 5))
        w[:, unit] = np.asarray(by_column[:, columns].mean(axis=1)).ravel()
        h[unit] = np.asarray(values[rows].mean(axis=0)).ravel()
    return w, h


def solve_w(values: sp.csr_matrix, h: np.ndarray, **loss: Any) -> np.ndarray:
    """Return the W ≥ 0, float64, of least loss for fixed H.

    ``loss``: further arguments of scikit-learn's ``non_negative_factorization``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        w, _, _ = non_negative_factorization(
            values.astype(np.float64), H=np.asarray(h, dtype=np.float64), n_components=len(h),
            update_H=False, tol=1e-6, max_iter=1000, **loss,
        )  # fmt: skip
    return w


def normalize_factors(w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return W with columns multiplied by the norms of H's rows, then rows of unit length.

    V ≈ W H does not fix the scale of a component, and k-means on W depends on it (ARI changed by
    up to 0.9). The returned W does not depend on it. Rows of zeros stay zero.
    """
    scaled = w * np.linalg.norm(h, axis=1)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.divide(scaled, lengths, out=np.zeros_like(scaled), where=lengths > 0)


def make_fit(data: AnnData, w: np.ndarray, h: np.ndarray, n_iter: int, params: Any) -> Fit:
    """Return the fit with W as embedding and the loadings, features × components."""
    notes = {
        "iterations": f"{n_iter}, "
        + ("converged" if n_iter < params.max_iter else "all, not converged"),
        "scale": "columns × norm of H, unit rows" if params.normalize else "as it comes",
    }
    if len(h) < params.n_components:
        notes["n_components"] = f"{len(h)}, as many as cells or features"
    names = [f"component{number}" for number in range(1, len(h) + 1)]
    embedding = normalize_factors(w, h) if params.normalize else w
    return Fit(
        embedding=np.asarray(embedding, dtype=np.float32),
        tables={"loadings": pd.DataFrame(h.T, data.var_names, names)},
        n_parameters=int(w.size + h.size),
        notes=notes,
    )
