"""Replicates of a factorisation, and the programmes that they agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import euclidean_distances

from bench.contract import Fit
from bench.seeds import derive_seed

from ._factors import solve_w
from .nmf import NMF

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.contract import Context

    from .cnmf import ConsensusNMF


@dataclass(frozen=True)
class Consensus:
    """Consensus programmes and how well the replicates agree."""

    programmes: np.ndarray
    """Programmes × genes; rows have sum 1."""
    n_outliers: int
    stability: float
    """Mean silhouette of the groups; NaN where there is none."""


def fit_consensus(
    data: AnnData, params: ConsensusNMF.Params, context: Context
) -> tuple[dict[str, Any], Fit]:
    """Return the arrays for :func:`usages`, and the fit."""
    spread = np.sqrt(_variance(data.X))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    rank = min(params.n_components, *data.shape)
    spectra = np.vstack(list(_replicates(data, scale, rank, params, context)))
    n_neighbors = int(params.neighbourhood * params.n_replicates)
    seed = derive_seed(context.seed, "cnmf", "groups")
    found = find_consensus(spectra, rank, n_neighbors, params.density_threshold, seed)
    arrays = {"programmes": found.programmes, "scale": scale}
    names = [f"programme{number}" for number in range(1, rank + 1)]
    return arrays, Fit(
        usages(data.X, arrays),
        tables={"loadings": pd.DataFrame(found.programmes.T, data.var_names, names)},
        n_parameters=int(found.programmes.size),
        notes={
            "outliers": f"{found.n_outliers} of {len(spectra)} programmes",
            "stability": f"{found.stability:.3f}",
        },
    )


def _variance(values: sp.csr_matrix) -> np.ndarray:
    """Return the variance of each gene, with cells minus one as divisor."""
    mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
    squares = np.asarray(values.multiply(values).mean(axis=0), dtype=np.float64).ravel()
    n_cells = values.shape[0]
    return np.maximum(squares - mean**2, 0.0) * n_cells / (n_cells - 1)


def _replicates(
    data: AnnData, scale: np.ndarray, rank: int, params: ConsensusNMF.Params, context: Context
) -> Iterator[np.ndarray]:
    """Yield the programmes of each replicate, rank × genes."""
    cells = AnnData(sp.csr_matrix(data.X @ sp.diags(scale)))
    options = NMF.Params(
        n_components=rank, init="random", solver=params.solver, max_iter=params.max_iter,
        tol=params.tol, normalize=False,
    )  # fmt: skip
    for number in range(params.n_replicates):
        seed = derive_seed(context.seed, "cnmf", str(number))
        fit = NMF(options).fit(cells, replace(context, seed=seed))
        programmes = fit.tables["loadings"].to_numpy().T
        error = _relative_error(cells.X, fit.embedding.astype(np.float64), programmes)
        context.report(number + 1, params.n_replicates, loss=error)
        yield programmes


def _relative_error(values: sp.csr_matrix, w: np.ndarray, h: np.ndarray) -> float:
    """Return ‖V - W H‖² / ‖V‖², without a dense W H."""
    total = float(values.multiply(values).sum())
    cross = float(np.sum((values @ h.T) * w))
    return (total - 2 * cross + float(np.sum((w.T @ w) * (h @ h.T)))) / max(total, 1e-12)


def find_consensus(
    spectra: np.ndarray, rank: int, n_neighbors: int, density_threshold: float, seed: int
) -> Consensus:
    """Return the programmes that the rows of ``spectra``, programmes × genes, agree on.

    Rows have length 1. Those whose mean distance to their ``n_neighbors`` nearest others reaches
    the threshold are dropped, unless fewer than ``rank`` would be left. Source: Kotliar et al.
    2019, methods.
    """
    lengths = np.linalg.norm(spectra, axis=1, keepdims=True)
    rows = (spectra / np.where(lengths > 0, lengths, 1.0))[lengths.ravel() > 0]
    nearest = np.sort(euclidean_distances(rows), axis=1)[:, 1 : max(1, n_neighbors) + 1]
    dense = rows[nearest.mean(axis=1) < density_threshold]
    if len(dense) < rank:
        dense = rows
    groups = KMeans(rank, n_init=10, random_state=seed).fit_predict(dense)
    medians = np.array([np.median(dense[groups == group], axis=0) for group in range(rank)])
    totals = medians.sum(axis=1, keepdims=True)
    n_groups = len(set(groups))
    stable = 1 < n_groups < len(dense)
    return Consensus(
        medians / np.where(totals > 0, totals, 1.0),
        n_outliers=len(spectra) - len(dense),
        stability=float(silhouette_score(dense, groups)) if stable else float("nan"),
    )


def usages(values: sp.csr_matrix, arrays: Mapping[str, Any]) -> np.ndarray:
    """Return the usage of each programme, (cells, programmes), rows of sum 1, float32."""
    cells = sp.csr_matrix(values @ sp.diags(arrays["scale"]))
    w = solve_w(cells, arrays["programmes"])
    totals = w.sum(axis=1, keepdims=True)
    return np.divide(w, totals, out=np.zeros_like(w), where=totals > 0).astype(np.float32)
