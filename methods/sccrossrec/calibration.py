"""What held-out cells say of a fit: whether the network helps, and how detection follows."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

_SHALLOW = 0.05
"""Smallest relative depth whose logarithm is taken."""


def blend(network: np.ndarray, evidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return constant, weight of the network's log odds and of the evidence, for pairs of cells.

    The network takes part if both weights are positive and the log likelihood of the pairs rises
    by more than half the logarithm of their number (Schwarz 1978, doi:10.1214/aos/1176344136).
    """
    _, without = _logistic(evidence[:, None], right)
    both, with_it = _logistic(np.column_stack([network, evidence]), right)
    if with_it - without > 0.5 * np.log(len(right)) and (both[1:] > 0).all():
        return both
    # What the folds said of the evidence rests on more pairs than these: its weight stays.
    return np.array([0.0, 0.0, 1.0])


def _logistic(inputs: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """Return constant and weights of a logistic regression, and its log likelihood."""
    spread = inputs.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    fitted = LogisticRegression().fit(inputs / spread, right)
    weights = np.concatenate([fitted.intercept_, fitted.coef_[0] / spread])
    chances = fitted.predict_proba(inputs / spread)[:, 1]
    return weights, -float(log_loss(right, chances, normalize=False))


def slopes(
    rate: np.ndarray, expected: np.ndarray, depth: np.ndarray, detected: np.ndarray
) -> np.ndarray:
    """Return the slopes of detection by expected expression and by log depth of the chromatin.

    Logistic regression with the log odds of each gene's rate as offset, by Newton's method;
    ``expected`` and ``detected`` are cells × genes. Neither slope is negative.
    """
    known = np.log(np.maximum(depth, _SHALLOW))[:, None] * np.ones(len(rate))
    inputs = np.stack([expected.ravel(), known.ravel()], axis=1)
    offset, wanted = np.tile(_logit(rate), len(depth)), detected.ravel()
    found = np.zeros(2)
    for _ in range(20):
        share = 0.5 * (1 + np.tanh(0.5 * (offset + inputs @ found)))
        curvature = (inputs * (share * (1 - share))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        found += np.clip(np.linalg.solve(curvature, inputs.T @ (wanted - share)), -1.0, 1.0)
    return np.maximum(found, [1e-3, 0.0])


def detection(
    rate: np.ndarray, slopes: np.ndarray, expected: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Return the log odds that genes are detected, (cells, genes)."""
    log_depth = np.log(np.maximum(depth, _SHALLOW))[:, None]
    odds: np.ndarray = _logit(rate) + slopes[0] * expected + slopes[1] * log_depth
    return odds


def _logit(share: np.ndarray) -> np.ndarray:
    bounded = np.clip(share, 1e-3, 1 - 1e-3)
    return np.log(bounded / (1 - bounded))
