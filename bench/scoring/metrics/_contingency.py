"""The table of types × clusters that agreement metrics start from."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from bench.contract import UndefinedMetric


def label_codes(labels: Any) -> np.ndarray:
    """Return labels as codes 0 … n_labels - 1, shape (n_cells,), numbered in sorted order."""
    labels = np.asarray(labels)
    if labels.dtype == object:
        labels = labels.astype(str)
    return np.unique(labels, return_inverse=True)[1].ravel()


def contingency(true: Any, predicted: Any) -> np.ndarray:
    """Return the number of cells of each type (rows) in each cluster (columns), int64.

    Raises ``UndefinedMetric`` without cells and ``ValueError`` if the lengths differ.
    """
    rows, columns = label_codes(true), label_codes(predicted)
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} true labels, but {len(columns)} predicted ones")
    if not len(rows):
        raise UndefinedMetric("no cells")
    n_rows, n_columns = rows.max() + 1, columns.max() + 1
    table = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns)
    return table.reshape(n_rows, n_columns)


def comparable_codes(true: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return both labelings as codes; ``UndefinedMetric`` if there is nothing to tell apart.

    With a single true type every chance-corrected or entropy-based score is 0/0; libraries fill
    in 0 or 1 by convention, which would read as a result.
    """
    rows, columns = label_codes(true), label_codes(predicted)
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} true labels, but {len(columns)} predicted ones")
    if not len(rows):
        raise UndefinedMetric("no cells")
    if rows.max() == 0:
        raise UndefinedMetric("all cells have the same true type")
    return rows, columns


def best_matching(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return types and clusters matched one to one so that most cells lie in matched pairs.

    Kuhn 1955 (doi:10.1002/nav.3800020109), by ``scipy.optimize.linear_sum_assignment``. Several
    matchings can hold equally many cells. Among those the one with the largest sum of F1 is
    taken, so that scores do not depend on the names or the order of the clusters: F1 values of a
    matching sum to at most the number of pairs, and one cell more outweighs that.
    """
    weight = table * float(min(table.shape) + 1) + f1_table(table)
    rows, columns = linear_sum_assignment(weight, maximize=True)
    return rows, columns


def f1_table(table: np.ndarray) -> np.ndarray:
    """Return F1 of each type with each cluster: 2 |T ∩ C| / (|T| + |C|), types × clusters."""
    return 2.0 * table / (table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True))
