"""Principal components in which marker genes count more than the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from bench.prepare.moments import FeatureSums
from bench.prepare.variable_features import seurat

from .pca import decompose

if TYPE_CHECKING:
    from .marker_controls import MarkerPca

_MAX_VALUE = 10.0
"""Largest scaled value, as in the standard recipe."""


class WeightedPca:
    """Fitted scales, weights and components of the chosen genes.

    ``arrays``: ``genes`` (columns of the data), ``markers`` (mask of these), ``mean``, ``scale``,
    ``boost``, ``center`` and ``components``.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    @classmethod
    def fit(
        cls, data: AnnData, markers: list[str], params: MarkerPca.Params, seed: int
    ) -> tuple[WeightedPca, np.ndarray]:
        """Return the model and the scores of the components, (cells, n_components)."""
        is_marker = np.zeros(data.n_vars, dtype=bool)
        is_marker[data.var_names.get_indexer(markers)] = True
        genes = np.flatnonzero(is_marker | _variable_genes(data, params.n_top_genes))
        values, marked = _dense(data, genes), is_marker[genes]
        mean, spread = values.mean(axis=0), values.std(axis=0)
        scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
        others = max(1, int(np.sum(~marked & (spread > 0))))
        boost = np.sqrt(params.weight * others / max(1, int(marked.sum())))
        model = cls({
            "genes": genes, "markers": marked, "mean": mean, "scale": scale,
            "boost": np.where(marked, boost, 1.0),
        })  # fmt: skip
        pca, scores = decompose(AnnData(model.scale(data)), params.n_components, seed)
        model.arrays |= {"center": pca.mean_, "components": pca.components_}
        return model, scores

    @property
    def note(self) -> str:
        """The number of marker genes and their weight in words."""
        marked = self.arrays["markers"]
        boost = self.arrays["boost"][marked][0]
        return f"{marked.sum()} genes, each counts {boost**2:.3g} times"

    def scale(self, data: AnnData) -> np.ndarray:
        """Return the scaled and weighted values of the chosen genes, float32."""
        a = self.arrays
        scaled = np.clip(
            (_dense(data, a["genes"]) - a["mean"]) * a["scale"], -_MAX_VALUE, _MAX_VALUE
        )
        return (scaled * a["boost"]).astype(np.float32)

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the scores of cells, (cells, n_components)."""
        scores = (self.scale(data) - self.arrays["center"]) @ self.arrays["components"].T
        return np.asarray(scores, dtype=np.float32)


def _dense(data: AnnData, genes: np.ndarray) -> np.ndarray:
    """Return the values of some genes, cells × genes, float64."""
    block: Any = data.X[:, genes]
    return np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)


def _variable_genes(data: AnnData, n_top: int) -> np.ndarray:
    """Return the mask of the most variable genes, as in the standard recipe."""
    if data.n_vars <= n_top:
        return np.ones(data.n_vars, dtype=bool)
    block = sp.csr_matrix(data.X)
    sums = FeatureSums(1, data.n_vars)
    sums.add(block, np.expm1(block.data), np.zeros(data.n_obs, dtype=np.int64))
    return seurat(sums, n_top, by_group=False)
