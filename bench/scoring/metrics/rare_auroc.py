"""How well the neighbours of a cell rank the rare type first: area under the ROC curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.metrics import roc_auc_score

from bench.contract import Metric, RareTask

from ._rare import held_out, votes

if TYPE_CHECKING:
    import numpy as np


def rare_auroc(embedding: np.ndarray, task: RareTask, *, seed: int) -> float:
    """Return the chance that a rare cell has a larger share of rare neighbours than another cell.

    Of the 15 nearest others; ties count half. 0.5 for a useless embedding, at any prevalence.
    Cells without a rare neighbour are not told apart, so read it beside the average precision.
    """
    return _area(embedding, task.rare, None, seed)


def rare_auroc_held_out(embedding: np.ndarray, task: RareTask, *, seed: int) -> float:
    """Return the same for held-out cells, whose neighbours are the training cells."""
    return _area(embedding, task.rare, held_out(task), seed)


def _area(embedding: np.ndarray, rare: np.ndarray, train: np.ndarray | None, seed: int) -> float:
    neighbours, truly = votes(embedding, rare, train, seed=seed)
    return float(roc_auc_score(truly, neighbours.mean(axis=1)))


_REFERENCE = "Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747"
METRICS = (
    Metric(
        name="rare_auroc",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Area under the ROC curve of the 15-neighbour vote for the rare type",
        reference=_REFERENCE,
        function=rare_auroc,
    ),
    Metric(
        name="rare_auroc_held_out",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="The same for held-out cells, by the vote of training cells",
        reference=_REFERENCE,
        function=rare_auroc_held_out,
    ),
)
