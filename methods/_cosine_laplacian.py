"""Eigenvectors of the normalised graph of cosine similarities, without the graph.

With x_i the weighted cells of length 1, W = x xᵀ - 1 (no cell is its own neighbour) and the
degrees d = W 1, the matrix is A = D^-½ W D^-½ (Zhang et al. 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.preprocessing import normalize

from bench.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping


def cosine_spectrum(values: sp.csr_matrix, n_components: int, seed: int) -> dict[str, Any]:
    """Return the arrays for :func:`embed`, from cells × features; at most cells - 2 components.

    ``weight`` and ``total`` of each feature, ``eigenvalues`` above zero, largest first, and
    ``map``, features × components, from cells of length 1 to unscaled components.
    """
    n_cells = values.shape[0]
    count = np.asarray((values > 0).sum(axis=0)).ravel()
    weight = np.log(n_cells / (1.0 + count))
    rows = _unit_rows(values, weight)
    total = np.asarray(rows.sum(axis=0)).ravel()
    inverse = _inverse_degree(rows, total)
    scaled = sp.diags(np.sqrt(inverse)) @ rows

    def product(vector: np.ndarray) -> np.ndarray:
        column = vector.ravel()
        return scaled @ (scaled.T @ column) - inverse * column

    operator = LinearOperator((n_cells, n_cells), matvec=product, dtype=np.float64)
    rng = np.random.default_rng(derive_seed(seed, "spectral"))
    eigenvalues, vectors = eigsh(
        operator, k=min(n_components, n_cells - 2), which="LA", v0=rng.standard_normal(n_cells)
    )
    order = [i for i in np.argsort(-eigenvalues) if eigenvalues[i] > 0]
    return {
        "weight": weight, "total": total, "eigenvalues": eigenvalues[order],
        "map": scaled.T @ vectors[:, order],
    }  # fmt: skip


def embed(values: sp.csr_matrix, arrays: Mapping[str, Any]) -> np.ndarray:
    """Return eigenvectors × root of the eigenvalue of cells as if of the fit, float32.

    A u = λ u, solved for the entry of one cell: u_i = d_i^-½ x_i · map / (λ + 1 / d_i). A cell
    similar to no other has zeros.
    """
    rows = _unit_rows(values, arrays["weight"])
    inverse = _inverse_degree(rows, arrays["total"])[:, None]
    eigenvalues = arrays["eigenvalues"]
    vectors = np.sqrt(inverse) * (rows @ arrays["map"]) / (eigenvalues + inverse)
    return np.asarray(vectors * np.sqrt(eigenvalues), dtype=np.float32)


def _unit_rows(values: sp.csr_matrix, weight: np.ndarray) -> sp.csr_matrix:
    return normalize(sp.csr_matrix(values, dtype=np.float64) @ sp.diags(weight))


def _inverse_degree(rows: sp.csr_matrix, total: np.ndarray) -> np.ndarray:
    """Return 1 / degree, (cells,); 0 for a cell without neighbours."""
    degree = rows @ total - 1.0
    return np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 1e-9)
