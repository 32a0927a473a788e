"""Weighted-nearest-neighbour graph of two modalities, and its eigenvectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import muon
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from scipy.sparse.linalg import eigsh
from sklearn.preprocessing import normalize

from bench.contract import Fit
from bench.scoring.clustering import graph_communities
from bench.seeds import derive_seed

from ._global_generators import seed_global_generators

if TYPE_CHECKING:
    from .wnn import WNN

_SMALLEST_GAP = 1e-3
"""Eigenvalues of the Laplacian below this count as zero."""


def fit_graph(scores: dict[str, np.ndarray], params: WNN.Params, seed: int) -> Fit:
    """Return the fit of ``wnn`` for scores of ``rna`` and ``atac``, cells × components each."""
    graph, weights = multimodal_graph(scores, params.n_neighbors, derive_seed(seed, "wnn"))
    return Fit(
        commute_time_embedding(graph, params.n_eigenvectors, derive_seed(seed, "eigenmap")),
        labels={
            "wnn_leiden": graph_communities(graph, params.resolution, derive_seed(seed, "leiden"))
        },
        tables={"modality_weights": pd.DataFrame(weights)},
        notes={"mean weight of RNA": f"{weights['rna'].mean():.2f}"},
    )


def multimodal_graph(
    scores: dict[str, np.ndarray], n_neighbors: int, seed: int
) -> tuple[sp.csr_matrix, dict[str, np.ndarray]]:
    """Return the symmetric graph, cells × cells, and each modality's weight, (cells,).

    ``scores``: cells × components by modality.
    """
    n_cells = len(next(iter(scores.values())))
    k = min(n_neighbors, max(2, n_cells // 3))
    parts = {part: AnnData(normalize(block)) for part, block in scores.items()}
    with seed_global_generators(seed):
        for adata in parts.values():
            sc.pp.neighbors(adata, n_neighbors=k, use_rep="X", random_state=seed)
        both = MuData(parts)
        muon.pp.neighbors(
            both, n_neighbors=k, n_bandwidth_neighbors=min(20, n_cells - 1),
            n_multineighbors=min(200, n_cells - 2), random_state=seed,
        )  # fmt: skip
    graph = sp.csr_matrix(both.obsp["connectivities"])
    return sp.csr_matrix(graph.maximum(graph.T)), {
        part: both.obs[f"{part}:mod_weight"].to_numpy().astype(np.float64) for part in scores
    }


def commute_time_embedding(graph: sp.csr_matrix, n: int, seed: int) -> np.ndarray:
    """Return commute-time coordinates from ``n`` eigenvectors of a graph, cells × n.

    Eigenvectors of the random walk, without the constant one, times sqrt(volume / (1 -
    eigenvalue)). So squared distances are times of a walk from one cell to the other and back (Qiu
    and Hancock 2007), and few group-separating eigenvectors outweigh many local ones. Unconnected
    parts have a finite distance.
    """
    n_cells = graph.shape[0]
    degree = np.maximum(np.asarray(graph.sum(axis=0)).ravel(), 1e-12)
    root = sp.diags(1.0 / np.sqrt(degree))
    start = np.random.default_rng(seed).standard_normal(n_cells)
    k = min(n + 1, n_cells - 1)
    values, vectors = eigsh(root @ graph @ root, k=k, which="LA", v0=start)
    order = np.argsort(-values)[1:]
    scale = np.sqrt(degree.sum() / np.maximum(1.0 - values[order], _SMALLEST_GAP))
    points = vectors[:, order] / np.sqrt(degree)[:, None] * scale
    # An eigenvector has no sign of its own: its largest entry is positive.
    peak = np.abs(points).argmax(axis=0)
    points *= np.where(points[peak, np.arange(points.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(points, dtype=np.float32)
