"""Area under the ROC curve of the neighbour vote for the rare type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._ranking import ROC
from ._rare import rare_metrics, rare_neighbours

if TYPE_CHECKING:
    import numpy as np


def rare_auroc(
    embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, *, seed: int
) -> float:
    """Return the probability that a rare cell has a larger share of rare neighbours than another.

    Neighbours are the 15 nearest other cells. The held-out form compares held-out cells by their
    neighbours among the training cells.

    Notes
    -----
    Ties count half. An uninformative embedding has 0.5 at any prevalence. Cells without a rare
    neighbour share one rank: compare the average precision, too.

    Raises
    ------
    UndefinedMetric
        If all cells or none are rare, or if all points are equal.
    """
    from sklearn.metrics import roc_auc_score

    neighbours, is_rare = rare_neighbours(embedding, rare, train, seed=seed)
    return float(roc_auc_score(is_rare, neighbours.mean(axis=1)))


METRICS = rare_metrics(
    "rare_auroc",
    rare_auroc,
    reference=ROC,
    summary="Area under the ROC curve of the 15-neighbour vote for the rare type",
    held_out_summary="The same for held-out cells, by the vote of training cells",
)
