"""What matrix factorisations share: preparation and the scale of the factors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bench.contract import (
    ATAC,
    RNA,
    DatasetInfo,
    Fit,
    Method,
    Parameters,
    Recipe,
    Search,
    accessible_peaks,
    log_normalized,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData


class FactorParameters(Parameters):
    """Rank, preparation and normalisation of a non-negative factorisation."""

    n_components: Annotated[int, Search(5, 100, log=True)] = Field(
        20, ge=1, description="rank: columns of W, the embedding"
    )
    normalize: bool = Field(
        True, description="columns of W × norm of the rows of H, then rows of unit length"
    )
    n_top_genes: int = Field(2000, ge=10, description="RNA: variable genes kept")
    filter_peaks: bool = Field(
        True, description="chromatin: peaks open in 1 % to 90 % of the cells only"
    )

    tfidf: Annotated[bool, Search(choices=(False, True), when=(("modality", (ATAC,)),))] = Field(
        False, description="chromatin: weight the binarised peaks by TF-IDF"
    )

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return binarised peaks, or log-normalised variable genes that are not centred."""
        if info.modality == ATAC:
            peaks = accessible_peaks() if self.filter_peaks else Recipe(binarize=True)
            return replace(peaks, tfidf=self.tfidf)
        return log_normalized(info, n_top_genes=self.n_top_genes, scale=False)


class Factorization(Method):
    """Base of the factorisations: preparation, new cells, kept state. A fit sets ``_loadings``."""

    modalities = frozenset({RNA, ATAC})
    family = "factorization"

    exceptions: ClassVar = {
        "new_cells_consistent": "when the iterations end, W is a step behind H; new cells are "
        "solved for H as it is"
    }

    params: FactorParameters
    _loadings: np.ndarray
    """H (rank × features)."""

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return binarised peaks or log-normalised variable genes."""
        return self.params.recipe(info)

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the embedding of new cells, prepared alike, (cells, n_components).

        W of the new cells minimises the loss of the fit with H fixed (non-negative least squares
        for the Frobenius norm).
        """
        import numpy as np

        w = project(data.X, self._loadings, **self._loss())
        return np.asarray(embed(w, self._loadings, self.params), dtype=np.float32)

    def impute(self, data: AnnData) -> np.ndarray:
        """Return W H, (cells, features), with W solved for the loadings of the fit."""
        import numpy as np

        w = project(data.X, self._loadings, **self._loss())
        return np.asarray(w @ self._loadings, dtype=np.float32)

    def _loss(self) -> dict[str, Any]:
        """Return what :func:`project` must know to minimise the loss of the fit."""
        return {}

    def save(self, path: Path) -> None:
        """Write H into the folder ``path``."""
        import numpy as np

        np.savez(path / "factors.npz", loadings=self._loadings)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        import numpy as np

        with np.load(path / "factors.npz") as kept:
            self._loadings = kept["loadings"]


def project(values: sp.csr_matrix, h: np.ndarray, **loss: Any) -> np.ndarray:
    """Return the W ≥ 0 (cells × rank), float64, that explains ``values`` best with H fixed.

    ``loss``: further arguments of scikit-learn's ``non_negative_factorization``.
    """
    import warnings

    import numpy as np
    from sklearn.decomposition import non_negative_factorization
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        w, _, _ = non_negative_factorization(
            values.astype(np.float64), H=np.asarray(h, dtype=np.float64), n_components=len(h),
            update_H=False, tol=1e-6, max_iter=1000, **loss,
        )  # fmt: skip
    return w


def embed(w: np.ndarray, h: np.ndarray, params: FactorParameters) -> np.ndarray:
    """Return W, or W without the arbitrary scale of its components if ``normalize`` is on."""
    return scale_free(w, h) if params.normalize else w


def scale_free(w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return W (cells × rank) with columns times the norms of H's rows, rows of unit length.

    V ≈ W H says nothing about the scale of a single component: W D, D⁻¹ H explain V alike for any
    positive diagonal D, and k-means on W follows the arbitrary D (it moved ARI by up to 0.9).
    The result does not depend on D. Rows of zeros stay zero.
    """
    import numpy as np

    scaled = w * np.linalg.norm(h, axis=1)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.divide(scaled, lengths, out=np.zeros_like(scaled), where=lengths > 0)


def start(values: sp.csr_matrix, rank: int, init: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first W (cells × rank) and H (rank × features), float64.

    ``nndsvda``: from the singular vectors, zeros filled with the mean (Boutsidis and Gallopoulos
    2008); ``random``: scaled half-normal numbers; both are scikit-learn's. ``random_vcol``: means
    of a fifth of the columns and rows, drawn with replacement (nimfa).
    """
    import numpy as np

    if init != "random_vcol":
        from sklearn.decomposition._nmf import _initialize_nmf

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


def finish(data: AnnData, w: np.ndarray, h: np.ndarray, n_iter: int, params: Any) -> Fit:
    """Return the fit with W as embedding and the loadings as a table, features × components."""
    import numpy as np
    import pandas as pd

    notes = {
        "iterations": f"{n_iter}, "
        + ("converged" if n_iter < params.max_iter else "all, not converged"),
        "scale": "columns × norm of H, unit rows" if params.normalize else "as it comes",
    }
    if len(h) < params.n_components:
        notes["n_components"] = f"{len(h)}, as many as cells or features"
    names = [f"component{number}" for number in range(1, len(h) + 1)]
    return Fit(
        embedding=np.asarray(embed(w, h, params), dtype=np.float32),
        tables={"loadings": pd.DataFrame(h.T, data.var_names, names)},
        n_parameters=int(w.size + h.size),
        notes=notes,
    )
