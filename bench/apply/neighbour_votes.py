"""Clusters and types of new cells by the votes of their nearest training cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

if TYPE_CHECKING:
    from bench.store.saved_model import FittedCells

N_NEIGHBORS = 15


def vote(fitted: FittedCells, embedding: np.ndarray, cells: pd.Index) -> pd.DataFrame:
    """Return the clusters and the type of most neighbours on the embedding.

    The 15 nearest training cells (Euclidean distance) have one vote each. Ties are decided by the
    nearest cell. Training cells without a type do not vote on the type.

    Parameters
    ----------
    fitted
        Embedding and labels of the training cells.
    embedding
        Embedding of the new cells, shape (n_cells, n_dimensions).
    cells
        Names of the new cells.

    Returns
    -------
    DataFrame
        One row a cell. Columns for each clustering, and for ``type`` if types are known: the
        label, and its share of the votes (``<name>_share``).
    """
    columns: dict[str, np.ndarray] = {}
    for name, labels in fitted.labels.items():
        known = labels != ""
        if known.any():
            winners, shares = _winners(fitted.embedding[known], labels[known], embedding)
            columns |= {name: winners, f"{name}_share": shares}
    return pd.DataFrame(columns, index=cells)


def _winners(
    reference: np.ndarray, labels: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the label with the most votes for each point, and its share of the votes."""
    k = min(N_NEIGHBORS, len(reference))
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference)
    names, codes = np.unique(labels, return_inverse=True)
    votes = codes[search.kneighbors(points, return_distance=False)]  # nearest first
    counts = np.zeros((len(points), len(names)))
    for place in range(k):
        # A nearer vote counts a little more than all that are farther: it decides among equals.
        counts[np.arange(len(points)), votes[:, place]] += 1 + 1e-6 * 0.5**place
    winners = counts.argmax(axis=1)
    return names[winners], np.floor(counts.max(axis=1)) / k
