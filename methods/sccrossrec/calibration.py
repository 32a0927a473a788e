"""Calibration on held-out cells."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

_MIN_DEPTH = 0.05
"""Smallest relative depth."""


def blend_weights(network: np.ndarray, evidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return constant and weights of network and evidence in the log odds of pairs.

    The network has weight 0 unless both weights are positive and it raises the log likelihood by
    more than half the logarithm of the number of pairs (Schwarz 1978, doi:10.1214/aos/1176344136).
    """
    _, without_network = _logistic_fit(evidence[:, None], right)
    weights, with_network = _logistic_fit(np.column_stack([network, evidence]), right)
    gain = with_network - without_network
    if gain > 0.5 * np.log(len(right)) and (weights[1:] > 0).all():
        return weights
    # The weights of the evidence come from more pairs than these: it keeps weight 1.
    return np.array([0.0, 0.0, 1.0])


def _logistic_fit(inputs: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """Return constant and weights of a logistic regression, and its log likelihood."""
    spread = inputs.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    model = LogisticRegression().fit(inputs / spread, right)
    weights = np.concatenate([model.intercept_, model.coef_[0] / spread])
    probability = model.predict_proba(inputs / spread)[:, 1]
    return weights, -float(log_loss(right, probability, normalize=False))


def detection_slopes(
    rate: np.ndarray, expected: np.ndarray, depth: np.ndarray, detected: np.ndarray
) -> np.ndarray:
    """Return the slopes of detection by expected expression and by log depth, at least 0.

    Logistic regression by Newton's method; the offset is the log odds of each gene's rate.
    ``expected`` and ``detected`` are cells × genes.
    """
    log_depth = np.log(np.maximum(depth, _MIN_DEPTH))[:, None] * np.ones(len(rate))
    inputs = np.stack([expected.ravel(), log_depth.ravel()], axis=1)
    offset, outcome = np.tile(_logit(rate), len(depth)), detected.ravel()
    slopes = np.zeros(2)
    for _ in range(20):
        share = 0.5 * (1 + np.tanh(0.5 * (offset + inputs @ slopes)))
        curvature = (inputs * (share * (1 - share))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, inputs.T @ (outcome - share))
        slopes += np.clip(step, -1.0, 1.0)
    return np.maximum(slopes, [1e-3, 0.0])


def detection_log_odds(
    rate: np.ndarray, slopes: np.ndarray, expected: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Return log odds of detection, (cells, genes)."""
    log_depth = np.log(np.maximum(depth, _MIN_DEPTH))[:, None]
    odds: np.ndarray = _logit(rate) + slopes[0] * expected + slopes[1] * log_depth
    return odds


def _logit(share: np.ndarray) -> np.ndarray:
    bounded = np.clip(share, 1e-3, 1 - 1e-3)
    return np.log(bounded / (1 - bounded))
