"""Do this RNA and this ATAC profile come from one cell? Pairs of cells unseen in the fit."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np

from bench.contract import Metric, MetricResult, PairedTasks, PairScores, UndefinedMetric
from bench.scoring.metrics._ranking import areas, precisions

Negatives = Literal["all", "easy", "hard"]
_LACK: dict[Negatives, str] = {
    "all": "false pair", "easy": "false pair of two types", "hard": "false pair of one type",
}  # fmt: skip


def match_auroc(tasks: PairedTasks, *, against: Negatives = "all") -> MetricResult:
    """Return the chance that a true pair scores above a false one; ties count half.

    ``against`` keeps the false pairs of two types (``easy``) or of one type (``hard``).
    Facts: ``pairs``, ``prevalence`` (the share that is true).
    """
    same, score = _kept(tasks, against)
    return float(areas(same[None], score[None])[0]), _facts(same)


def match_ap(tasks: PairedTasks, *, against: Negatives = "all") -> MetricResult:
    """Return the average precision of the true pairs; chance is the fact ``prevalence``."""
    same, score = _kept(tasks, against)
    return float(precisions(same[None], score[None])[0]), _facts(same)


def match_accuracy(tasks: PairedTasks) -> MetricResult:
    """Return the share of pairs on the right side of the median score.

    There are as many false pairs as true ones, so a pair above the median of all scores is called
    true: the same rule for every method, whatever the scale of its scores, and nothing is learned
    from labels. A score equal to the median counts half; constant scores give 0.5.
    """
    same, score = _kept(tasks, "all")
    middle = np.median(score)
    called = np.where(score == middle, 0.5, score > middle)
    return float(np.where(same, called, 1.0 - called).mean()), _facts(same)


def _kept(tasks: PairedTasks, against: Negatives) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each kept pair is true, and its score."""
    pairs = tasks.pairs
    if pairs is None:
        raise UndefinedMetric(tasks.missing.get("pairs", "no pairs were scored"))
    kept = pairs.same | _wanted(pairs, against)
    same = pairs.same[kept]
    if same.all() or not same.any():
        kind = {
            "all": "false",
            "easy": "false pair of two types",
            "hard": "false pair of one type",
        }
        raise UndefinedMetric(f"no {'true' if not same.any() else kind[against]} pair among unseen cells")
    return same, pairs.score[kept]


def _wanted(pairs: PairScores, against: Negatives) -> np.ndarray:
    """Return the mask of the false pairs to compare with."""
    if against == "all":
        return ~pairs.same
    kind = pairs.easy if against == "easy" else pairs.hard
    if kind is None:
        raise UndefinedMetric("the types of the cells are not known")
    return ~pairs.same & kind


def _facts(same: np.ndarray) -> dict[str, str | float]:
    return {"pairs": float(len(same)), "prevalence": float(same.mean())}


_ROC = "Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747"
_PR = "Davis and Goadrich 2006, doi:10.1145/1143844.1143874"
_AGAINST: dict[Negatives, str] = {
    "all": "a random other cell's",
    "easy": "that of a cell of another type",
    "hard": "that of a cell of the same type",
}
METRICS = (
    *(
        Metric(
            name="match_auroc" if against == "all" else f"match_auroc_{against}",
            kind="paired",
            version=1,
            higher_is_better=True,
            bounds=(0.0, 1.0),
            summary=f"RNA of unseen cells: own chromatin scored above {other} (chance 0.5)",
            reference=_ROC,
            function=partial(match_auroc, against=against),
        )
        for against, other in _AGAINST.items()
    ),
    *(
        Metric(
            name="match_ap" if against == "all" else f"match_ap_{against}",
            kind="paired",
            version=1,
            higher_is_better=True,
            bounds=(0.0, 1.0),
            summary=f"Average precision of own chromatin against {other}",
            reference=_PR,
            function=partial(match_ap, against=against),
        )
        for against, other in _AGAINST.items()
    ),
    Metric(
        name="match_accuracy",
        kind="paired",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Pairs on the right side of the median score (chance 0.5)",
        reference="none; balanced by construction",
        function=match_accuracy,
    ),
)
