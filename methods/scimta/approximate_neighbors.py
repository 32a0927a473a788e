"""Approximate nearest neighbours by inverted lists.

Source: Jégou, Douze and Schmid 2011, doi 10.1109/TPAMI.2010.57, section 4, without compression.
pynndescent takes three times as long with its compilation and misses 6 % of the neighbours of
60,000 points.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

_LIST_SIZE = 500
"""Points in a list, about."""
_SAMPLES_PER_LIST = 40
"""Points per list, at most, in the k-means of the centres."""
_ROWS = 8192
"""Points per block."""


def nearest(
    points: np.ndarray, queries: np.ndarray, k: int, *, seed: int, lists: int = 12
) -> np.ndarray:
    """Return about the ``k`` nearest ``points`` of each query, (queries, k), unordered.

    Points form lists around k-means centres. Each query searches the ``lists`` lists with the
    nearest centres. -1 where these lists hold fewer than ``k`` points.
    """
    x, y = (torch.from_numpy(np.array(array, dtype=np.float32)) for array in (points, queries))
    mean = x.mean(dim=0)
    x, y = x - mean, y - mean
    centres = _centres(x, seed)
    members = _inverted(_closest(x, centres, 1), len(centres))
    searches = _inverted(_closest(y, centres, min(lists, len(centres))), len(centres))
    indices = torch.full((len(y), k), -1, dtype=torch.int64)
    distances = torch.full((len(y), k), torch.inf)
    for candidates, rows in zip(members, searches, strict=True):
        if not len(candidates):
            continue
        for part in rows.split(_ROWS):
            block = _squares(y[part], x[candidates])
            near, place = block.topk(min(k, len(candidates)), dim=1, largest=False, sorted=False)
            all_distances = torch.cat([distances[part], near], dim=1)
            all_indices = torch.cat([indices[part], candidates[place]], dim=1)
            distances[part], best = all_distances.topk(k, dim=1, largest=False, sorted=False)
            indices[part] = all_indices.gather(1, best)
    return indices.numpy()


def _centres(points: Tensor, seed: int) -> Tensor:
    n_lists = max(1, round(len(points) / _LIST_SIZE))
    order = np.random.default_rng(seed).permutation(len(points))[: _SAMPLES_PER_LIST * n_lists]
    model = KMeans(n_lists, init="random", n_init=1, max_iter=10, random_state=seed % 2**32)
    return torch.from_numpy(model.fit(points[order].numpy()).cluster_centers_)


def _closest(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """Return the ``k`` nearest centres of each point, (points, k)."""
    parts = [
        _squares(part, centres).topk(k, dim=1, largest=False, sorted=False)[1]
        for part in points.split(_ROWS)
    ]
    return torch.cat(parts)


def _inverted(lists: Tensor, n_lists: int) -> tuple[Tensor, ...]:
    """Return for each list the rows that contain its number."""
    order = lists.flatten().argsort(stable=True)
    sizes = torch.bincount(lists.flatten(), minlength=n_lists)
    return (order // lists.shape[1]).split(sizes.tolist())


def _squares(rows: Tensor, columns: Tensor) -> Tensor:
    """Return squared distances up to a constant for each row."""
    return columns.square().sum(dim=1) - 2 * rows @ columns.T
