"""Small data, and a context, for the tests of methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import Context, Knowledge
from bench.execute.curves import Curves


def typed_counts(
    n_cells: int, n_genes: int = 60, n_types: int = 3, *, high: float = 6.0, low: float = 0.5,
    seed: int = 0,
) -> AnnData:  # fmt: skip
    """Return counts of ``n_types`` types of cells, each with its own genes of a high rate."""
    rng = np.random.default_rng(seed)
    types = np.arange(n_cells) % n_types
    rate = np.where(types[:, None] == np.arange(n_genes)[None, :] % n_types, high, low)
    adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.obs_names = [f"cell{number}" for number in range(n_cells)]
    adata.var_names = [f"gene{number}" for number in range(n_genes)]
    adata.obs["cell_type"] = [f"type{number}" for number in types]
    return adata


def fit_context(
    report: Curves | None = None, *, seed: int = 0, n_clusters: int | None = None
) -> Context:
    """Return the context of a fit on the CPU."""
    return Context(
        seed=seed, n_clusters=n_clusters, device="cpu", threads=1, knowledge=Knowledge(),
        report=report or Curves(), log=lambda text: None, scratch=Path(),
    )  # fmt: skip
