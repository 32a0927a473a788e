"""Checks that order and names of cells do not matter: files are often sorted by type."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score

from bench.contract.multiome import cells_of, matrices_of, pair_data, select_cells
from bench.scoring.clustering import kmeans

from .case import Case, CaseFit, check_list

CHECKS, check = check_list()

_SEEDS = range(3)
_TOLERANCE = 1e-4
"""Tolerated difference of distances between cells, as a share of the largest distance."""
_SPREAD = 0.1
"""A smaller difference of mean scores is never an effect of the order."""


@check("The order of the cells does not matter: scores differ by no more than between seeds.")
def _order_of_cells(case: Case) -> None:
    data = case.counts(n_cells=90)
    data = select_cells(data, np.argsort(_types(data), kind="stable"))
    permuted = [np.random.default_rng(seed).permutation(data.n_obs) for seed in _SEEDS]
    fits = [case.fit(case.short(), data, seed=seed) for seed in _SEEDS[:2]]
    if _distance(_distances(fits[0], data), _distances(fits[1], data)) <= _TOLERANCE:
        other = case.fit(case.short(), select_cells(data, permuted[0]))
        difference = _distance(_distances(fits[0], data), _distances(other, data))
        assert difference <= _TOLERANCE, (
            f"the distances between cells differ by {difference:.2g} in another order"
        )
        return
    fits.append(case.fit(case.short(), data, seed=_SEEDS[2]))
    scores = [_score(fit, data) for fit in fits]
    others = [
        _score(case.fit(case.short(), select_cells(data, order)), data) for order in permuted
    ]
    spread = max(np.ptp(scores), np.ptp(others), _SPREAD)
    assert abs(np.mean(scores) - np.mean(others)) <= spread, (
        f"mean ARI {np.mean(scores):.2f} with the cells sorted by type, "
        f"{np.mean(others):.2f} in a random order"
    )


@check("The names of the cells do not matter.")
def _names_of_cells(case: Case) -> None:
    data = case.counts()
    parts = [part.copy() for part in matrices_of(data)]
    for part in parts:
        part.obs_names = [f"{kind}_{row}" for row, kind in enumerate(_types(data))]
    renamed = case.fit(case.short(), pair_data(*parts) if len(parts) > 1 else parts[0])
    same = np.allclose(
        case.short_fit().fit.embedding, renamed.fit.embedding, rtol=1e-3, atol=_TOLERANCE
    )
    assert same, "other names of the cells change the embedding"


def _types(data: Any) -> np.ndarray:
    return np.asarray(cells_of(data).obs["cell_type"], dtype=str)


def _distances(fitted: CaseFit, data: Any) -> np.ndarray:
    """Return the distances between all cells, in the order of ``data``."""
    order = fitted.prepared.obs_names.get_indexer(data.obs_names)
    return pdist(np.asarray(fitted.fit.embedding, dtype=np.float64)[order[order >= 0]])


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference as a share of the largest distance; 1 if shapes differ."""
    if one.shape != other.shape:
        return 1.0
    return float(np.abs(one - other).max() / max(one.max(), np.finfo(float).tiny))


def _score(fitted: CaseFit, data: Any) -> float:
    rows = data.obs_names.get_indexer(fitted.prepared.obs_names)
    clusters = kmeans(np.asarray(fitted.fit.embedding), 3, seed=0)
    return float(adjusted_rand_score(_types(data)[rows], clusters))
