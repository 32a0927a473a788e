"""Retrieval of a cell's other profile among unseen cells: FOSCTTM and top-k."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.contract import Metric, MetricResult, PairedTasks, UndefinedMetric

if TYPE_CHECKING:
    import numpy as np


def foscttm(tasks: PairedTasks) -> MetricResult:
    """Return the mean fraction of cells scored closer than the true match: 0 best, 0.5 chance.

    For each cell it is the share of the n - 1 other cells with a higher score, averaged over cells
    and both directions (RNA to chromatin and back). Liu et al. 2019 use distances and divide by n.

    Notes
    -----
    Ties count half. Fact ``cells``.

    Raises
    ------
    UndefinedMetric
        For fewer than 2 unseen cells, or if the method ranks none.
    """
    higher, ties, n_cells = _ranks(tasks)
    return float(((higher + ties / 2) / (n_cells - 1)).mean()), {"cells": float(n_cells)}


def top_k(tasks: PairedTasks, *, k: int) -> MetricResult:
    """Return the share of cells whose true match is among the ``k`` best of all cells.

    Averaged over both directions (from RNA to chromatin and back).

    Notes
    -----
    For tied scores, the probability in a random order of the ties. Chance is k / n. Facts:
    ``cells``, ``chance``.

    Raises
    ------
    UndefinedMetric
        For k unseen cells or fewer, or if the method ranks none.
    """
    higher, ties, n_cells = _ranks(tasks)
    if n_cells <= k:
        raise UndefinedMetric(f"only {n_cells} unseen cells")
    shares = ((k - higher) / (ties + 1)).clip(0.0, 1.0)
    return float(shares.mean()), {"cells": float(n_cells), "chance": k / n_cells}


def _ranks(tasks: PairedTasks) -> tuple[np.ndarray, np.ndarray, int]:
    """Return how many others score above and equal to the true match, each (2, n), and n."""
    import numpy as np

    score = tasks.retrieval
    if score is None:
        raise UndefinedMetric(tasks.missing.get("retrieval", "no cells were ranked"))
    if len(score) < 2:
        raise UndefinedMetric(f"only {len(score)} unseen cells")
    both = np.stack([score, score.T])
    true = np.diagonal(score)[None, :, None]
    return (both > true).sum(axis=2), (both == true).sum(axis=2) - 1, len(score)


METRICS = (
    Metric(
        name="foscttm",
        kind="paired",
        version=1,
        higher_is_better=False,
        bounds=(0.0, 1.0),
        summary="Fraction of unseen cells scored closer than the true match (chance 0.5)",
        reference="Liu et al. 2019, doi:10.4230/LIPIcs.WABI.2019.10",
        function=foscttm,
    ),
    *(
        Metric(
            name=f"retrieval_top{k}",
            kind="paired",
            version=1,
            higher_is_better=True,
            bounds=(0.0, 1.0),
            summary=f"Unseen cells whose other profile is among the {k} best (chance {k} in all)",
            reference="Liu et al. 2019, doi:10.4230/LIPIcs.WABI.2019.10",
            function=partial(top_k, k=k),
        )
        for k in (1, 5, 10)
    ),
)
