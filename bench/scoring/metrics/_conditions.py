"""Conditions under which several metrics are undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import UndefinedMetric

if TYPE_CHECKING:
    import numpy as np


def require_distinct_points(embedding: np.ndarray) -> None:
    """Raise ``UndefinedMetric`` if all points of an embedding are equal."""
    if (embedding == embedding[0]).all():
        raise UndefinedMetric("all points of the embedding are equal")
