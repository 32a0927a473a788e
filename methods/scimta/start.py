"""First clusters of the cells."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from bench.errors import DataError
from bench.seeds import derive

from ..scsmd.start import start_labels


def first_clusters(
    codes: np.ndarray, operator: sp.csr_matrix, k: int | None, *, k_from: str, start: str,
    seed: int, owner: str,
) -> np.ndarray:  # fmt: skip
    """Return a label 0 … K - 1 of each cell, every one of them in use, (cells,).

    ``start``: ``kmeans`` of the codes, or ``spectral`` clusters of the symmetric part of Ã (Yu and
    Shi 2003). ``k``: their number; ``None``: as ``k_from`` says. Raises ``DataError`` if more
    clusters are asked for than there are cells.
    """
    if k is not None and k > len(codes):
        raise DataError(
            f"{owner}: n_clusters={k} clusters asked for, but there are only {len(codes)} cells; "
            "ask for fewer clusters."
        )
    found = start_labels(codes, k_from, k, derive(seed, "centres"))
    if start == "kmeans":
        return found
    return _spectral(operator, int(found.max()) + 1, derive(seed, "spectral"))


def _spectral(operator: sp.csr_matrix, k: int, seed: int) -> np.ndarray:
    import warnings

    from sklearn.cluster import SpectralClustering

    if k < 2 or k >= operator.shape[0] - 1:
        return np.arange(operator.shape[0]) % k
    symmetric = sp.csr_matrix((operator + operator.T) / 2)
    with warnings.catch_warnings():
        # An unconnected graph has spectral clusters all the same; the fit's notes name its parts.
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        labels = SpectralClustering(
            k, affinity="precomputed", assign_labels="discretize", random_state=seed
        ).fit_predict(symmetric)
    return np.unique(labels, return_inverse=True)[1]
