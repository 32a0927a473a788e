"""Analytic Pearson residuals and their principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scanpy as sc

from bench.contract import Fit

from .pca import decompose

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData

    from .pearson_pca import PearsonResidualComponents


def fit_residual_components(
    data: AnnData, params: PearsonResidualComponents.Params, seed: int
) -> tuple[dict[str, Any], Fit]:
    """Return the arrays for :func:`project`, and the fit."""
    chosen = np.ones(data.n_vars, bool)
    if data.n_vars > params.n_top_genes:
        genes = sc.experimental.pp.highly_variable_genes(
            data, n_top_genes=params.n_top_genes, theta=params.theta, check_values=False,
            inplace=False,
        )  # fmt: skip
        chosen = genes["highly_variable"].to_numpy()
    counts = data.X[:, chosen]
    totals = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    share = totals / totals.sum()
    clip = np.sqrt(data.n_obs)
    values = residuals(counts, share, params.theta, clip)
    model, embedding = decompose(values, params.n_components, seed)
    arrays = {
        "mean": model.mean_, "components": model.components_, "share": share, "clip": clip,
        "chosen": chosen, "features": list(data.var_names),
    }  # fmt: skip
    names = [f"PC{number}" for number in range(1, embedding.shape[1] + 1)]
    loadings = pd.DataFrame(model.components_.T, data.var_names[chosen], names)
    return arrays, Fit(
        embedding=embedding,
        tables={"loadings": loadings},
        n_parameters=int(model.components_.size + model.mean_.size + share.size),
        notes={"variance explained": f"{model.explained_variance_ratio_.sum():.3f}"},
    )


def project(data: AnnData, arrays: dict[str, Any], theta: float) -> np.ndarray:
    """Return the scores of cells, (cells, n_components), float32."""
    counts = data.X[:, arrays["chosen"]]
    values = residuals(counts, arrays["share"], theta, float(arrays["clip"]))
    loadings = arrays["components"].T
    return np.asarray(values @ loadings - arrays["mean"] @ loadings, dtype=np.float32)


def residuals(counts: sp.csr_matrix, share: np.ndarray, theta: float, clip: float) -> np.ndarray:
    """Return (c - μ) / √(μ + μ²/θ) within ± ``clip``, (cells, genes), float32.

    μ is the total of the cell times ``share``, the gene's share of these counts, (genes,). Source:
    Lause et al. 2021, eq. 3. A cell without counts has residuals of zero.
    """
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    mean = depth[:, None] * share[None, :]
    spread = np.sqrt(np.maximum(mean + mean**2 / theta, np.finfo(float).tiny))
    return np.clip((counts.toarray() - mean) / spread, -clip, clip).astype(np.float32)
