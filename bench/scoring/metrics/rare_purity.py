"""Share of the nearest neighbours of rare cells that are rare too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import Metric, RareTask

from ._rare import held_out, purity

if TYPE_CHECKING:
    import numpy as np


def rare_purity(embedding: np.ndarray, task: RareTask, *, seed: int) -> float:
    """Return the kNN purity of the rare type alone: ``knn_purity`` before the mean over types.

    Of a type with m cells the min(15, m - 1) nearest other cells of each are asked.
    """
    return purity(embedding, task.rare, None, seed=seed)


def rare_purity_held_out(embedding: np.ndarray, task: RareTask, *, seed: int) -> float:
    """Return the same for held-out rare cells among the min(15, m) nearest training cells."""
    return purity(embedding, task.rare, held_out(task), seed=seed)


_REFERENCE = "neighbourhood hit of Paulovich et al. 2008, doi:10.1109/TVCG.2007.70443"
METRICS = (
    Metric(
        name="rare_purity",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Share of the 15 nearest neighbours of rare cells that are rare",
        reference=_REFERENCE,
        function=rare_purity,
    ),
    Metric(
        name="rare_purity_held_out",
        kind="rare",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="The same for held-out rare cells among training cells",
        reference=_REFERENCE,
        function=rare_purity_held_out,
    ),
)
