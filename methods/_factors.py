"""What matrix factorisations share: preparation and the scale of the factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.method import ATAC, Fit
from bench.parameters import Parameters, Search
from bench.recipe import DatasetInfo, Recipe, accessible_peaks, log_normalized

if TYPE_CHECKING:
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

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return binarised peaks, or log-normalised variable genes that are not centred."""
        if info.modality == ATAC:
            return accessible_peaks() if self.filter_peaks else Recipe(binarize=True)
        return log_normalized(info, n_top_genes=self.n_top_genes, scale=False)


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


def finish(data: AnnData, w: np.ndarray, h: np.ndarray, params: FactorParameters) -> Fit:
    """Return the fit with W as embedding and the loadings as a table, features × components."""
    import numpy as np
    import pandas as pd

    embedding = scale_free(w, h) if params.normalize else w
    names = [f"component{number}" for number in range(1, len(h) + 1)]
    return Fit(
        embedding=np.asarray(embedding, dtype=np.float32),
        tables={"loadings": pd.DataFrame(h.T, data.var_names, names)},
        n_parameters=int(w.size + h.size),
        notes={"scale": "columns × norm of H, unit rows" if params.normalize else "as it comes"},
    )
