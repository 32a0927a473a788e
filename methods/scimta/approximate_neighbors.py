"""Approximate nearest neighbours of many points: inverted lists.

Source: Jégou, Douze and Schmid 2011, doi 10.1109/TPAMI.2010.57, section 4, without the
compression. Plain matrix products, so that no process has to compile a program first.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

_LIST = 500
"""Points of a list, about."""
_TRAINED = 40
"""Points for each list that the lists' centres are found from, at most."""
_ROWS = 8192
"""Points whose distances to all centres are held at a time."""


def nearest(
    points: np.ndarray, queries: np.ndarray, k: int, *, seed: int, lists: int = 12
) -> np.ndarray:
    """Return about the ``k`` nearest ``points`` of each query, (queries, k), in no order.

    Euclidean. Points are put into lists around the centres of a k-means; exact among the points of
    the ``lists`` lists whose centres are nearest to the query. -1 where these have fewer than
    ``k`` points.
    """
    x, y = (torch.from_numpy(np.array(one, dtype=np.float32)) for one in (points, queries))
    middle = x.mean(dim=0)
    x, y = x - middle, y - middle
    centres = _centres(x, seed)
    members = _inverted(_closest(x, centres, 1), len(centres))
    asking = _inverted(_closest(y, centres, min(lists, len(centres))), len(centres))
    found = torch.full((len(y), k), -1, dtype=torch.int64)
    best = torch.full((len(y), k), torch.inf)
    for one, who in zip(members, asking, strict=True):
        if not len(one):
            continue
        for part in who.split(_ROWS):
            distances = _squares(y[part], x[one])
            near, place = distances.topk(min(k, len(one)), dim=1, largest=False, sorted=False)
            both = torch.cat([best[part], near], dim=1)
            names = torch.cat([found[part], one[place]], dim=1)
            best[part], chosen = both.topk(k, dim=1, largest=False, sorted=False)
            found[part] = names.gather(1, chosen)
    return found.numpy()


def _centres(points: Tensor, seed: int) -> Tensor:
    """Return the centres of about one list for every 500 points."""
    n_lists = max(1, round(len(points) / _LIST))
    order = np.random.default_rng(seed).permutation(len(points))[: _TRAINED * n_lists]
    model = KMeans(n_lists, init="random", n_init=1, max_iter=10, random_state=seed % 2**32)
    return torch.from_numpy(model.fit(points[order].numpy()).cluster_centers_)


def _closest(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """Return the numbers of the ``k`` nearest centres of each point, (points, k)."""
    parts = [
        _squares(part, centres).topk(k, dim=1, largest=False, sorted=False)[1]
        for part in points.split(_ROWS)
    ]
    return torch.cat(parts)


def _inverted(lists: Tensor, n_lists: int) -> tuple[Tensor, ...]:
    """Return the rows of ``lists``, (rows, any), that name each list."""
    order = lists.flatten().argsort(stable=True)
    sizes = torch.bincount(lists.flatten(), minlength=n_lists)
    return (order // lists.shape[1]).split(sizes.tolist())


def _squares(rows: Tensor, columns: Tensor) -> Tensor:
    """Return squared distances, up to a constant for each row."""
    return columns.square().sum(dim=1) - 2 * rows @ columns.T
