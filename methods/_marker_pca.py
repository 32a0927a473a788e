"""Principal components in which marker genes count more than other genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from bench.contract import Fit
from bench.prepare.moments import FeatureSums
from bench.prepare.variable_features import seurat

from .pca import decompose

if TYPE_CHECKING:
    from anndata import AnnData

    from .marker_controls import MarkerPca

_MAX_VALUE = 10.0
"""Largest scaled value, as in the standard recipe."""


def fit_marker_pca(
    data: AnnData, names: list[str], params: MarkerPca.Params, seed: int
) -> tuple[dict[str, np.ndarray], Fit]:
    """Return the arrays for :func:`project`, and the fit; ``names``: marker genes."""
    is_marker = np.zeros(data.n_vars, dtype=bool)
    is_marker[data.var_names.get_indexer(names)] = True
    genes = np.flatnonzero(is_marker | _variable_genes(data, params.n_top_genes))
    values, marked = _dense(data, genes), is_marker[genes]
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
    others = max(1, int(np.sum(~marked & (spread > 0))))
    weight = np.sqrt(params.weight * others / max(1, int(marked.sum())))
    arrays = {
        "genes": genes, "mean": mean, "scale": scale, "weight": np.where(marked, weight, 1.0)
    }  # fmt: skip
    model, scores = decompose(scale_genes(data, arrays), params.n_components, seed)
    arrays |= {"center": model.mean_, "components": model.components_}
    return arrays, Fit(
        scores,
        n_parameters=int(model.components_.size + model.mean_.size),
        notes={"markers": f"{marked.sum()} genes, each counts {weight**2:.3g} times"},
    )


def project(data: AnnData, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the scores of cells, (cells, n_components), float32."""
    scores = (scale_genes(data, arrays) - arrays["center"]) @ arrays["components"].T
    return np.asarray(scores, dtype=np.float32)


def scale_genes(data: AnnData, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the scaled and weighted values of the chosen genes, float32."""
    centred = _dense(data, arrays["genes"]) - arrays["mean"]
    scaled = np.clip(centred * arrays["scale"], -_MAX_VALUE, _MAX_VALUE)
    return (scaled * arrays["weight"]).astype(np.float32)


def _dense(data: AnnData, genes: np.ndarray) -> np.ndarray:
    """Return the values of some genes, cells × genes, float64."""
    block: Any = data.X[:, genes]
    return np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)


def _variable_genes(data: AnnData, n_top: int) -> np.ndarray:
    """Return the mask of the most variable genes."""
    if data.n_vars <= n_top:
        return np.ones(data.n_vars, dtype=bool)
    block = sp.csr_matrix(data.X)
    sums = FeatureSums(1, data.n_vars)
    sums.add(block, np.expm1(block.data), np.zeros(data.n_obs, dtype=np.int64))
    return seurat(sums, n_top, by_group=False)
