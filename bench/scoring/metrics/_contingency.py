"""Contingency tables of types and clusters."""

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


def batch_codes(batch: Any) -> np.ndarray:
    """Return :func:`label_codes` of batches; raises ``UndefinedMetric`` for a single batch."""
    codes = label_codes(batch)
    if codes.max() < 1:
        raise UndefinedMetric("only one batch")
    return codes


def contingency(true: Any, predicted: Any) -> np.ndarray:
    """Return the number of cells of each type (rows) in each cluster (columns), int64.

    Raises ``UndefinedMetric`` without cells and ``ValueError`` if the lengths differ.
    """
    rows, columns = _paired_codes(true, predicted)
    n_rows, n_columns = rows.max() + 1, columns.max() + 1
    table = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns)
    return table.reshape(n_rows, n_columns)


def _paired_codes(true: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return both labelings as codes, of the same number of cells (at least one)."""
    rows, columns = label_codes(true), label_codes(predicted)
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} true labels, but {len(columns)} predicted ones")
    if not len(rows):
        raise UndefinedMetric("no cells")
    return rows, columns


def comparable_codes(true: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return both labelings as codes; raises ``UndefinedMetric`` for a single true type.

    With a single true type every chance-corrected or entropy-based score is 0/0; libraries return
    0 or 1 by convention, which would look like a result.
    """
    rows, columns = _paired_codes(true, predicted)
    if rows.max() == 0:
        raise UndefinedMetric("all cells have the same true type")
    return rows, columns


def best_matching(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the one-to-one matching of types and clusters with most cells in matched pairs.

    Kuhn 1955 (doi:10.1002/nav.3800020109), by ``scipy.optimize.linear_sum_assignment``. Of several
    such matchings it is the one with the largest sum of F1, so scores do not depend on the names
    or the order of the clusters. One cell more always outweighs the F1 values, whose sum is at
    most the number of pairs.
    """
    weight = table * float(min(table.shape) + 1) + f1_table(table)
    rows, columns = linear_sum_assignment(weight, maximize=True)
    return rows, columns


def f1_table(table: np.ndarray) -> np.ndarray:
    """Return F1 of each type with each cluster: 2 |T ∩ C| / (|T| + |C|), types × clusters."""
    return 2.0 * table / (table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True))
