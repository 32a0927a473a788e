"""Matching of RNA and ATAC profiles: metrics of pairs of unseen cells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from bench.contract import MetricResult, PairedTasks, UndefinedMetric

from ._ranking import PR, ROC, RankingMeasure, average_precisions, ranking_metrics, roc_areas

if TYPE_CHECKING:
    import numpy as np

Negatives = Literal["all", "easy", "hard"]
_FALSE_PAIRS: dict[Negatives, str] = {
    "all": "false", "easy": "false pair of two types", "hard": "false pair of one type",
}  # fmt: skip


def match_ranking(
    tasks: PairedTasks, *, measure: RankingMeasure, against: Negatives = "all"
) -> MetricResult:
    """Return how well true pairs rank above false ones.

    As area under the ROC curve (the probability that a true pair scores above a false one) or
    average precision. False pairs are all, only those of two types (``easy``), or only those of
    one type (``hard``).

    Notes
    -----
    Ties count half in the area. Average precision by chance is the fact ``prevalence``, the share
    of true pairs. Fact ``pairs`` is the number of pairs.

    Raises
    ------
    UndefinedMetric
        If no pairs were scored, or unseen cells have no true or no such false pair.
    """
    same, score = _select_pairs(tasks, against)
    return float(measure(same[None], score[None])[0]), _facts(same)


def match_accuracy(tasks: PairedTasks) -> MetricResult:
    """Return the share of pairs on the right side of the median score.

    There are as many false pairs as true ones, so a pair above the median of all scores counts as
    predicted true. The rule needs no labels and is the same for any scale of scores.

    Notes
    -----
    A score equal to the median counts half; constant scores give 0.5.

    Raises
    ------
    UndefinedMetric
        If no pairs were scored.
    """
    import numpy as np

    same, score = _select_pairs(tasks, "all")
    median = np.median(score)
    predicted = np.where(score == median, 0.5, score > median)
    return float(np.where(same, predicted, 1.0 - predicted).mean()), _facts(same)


def _select_pairs(tasks: PairedTasks, against: Negatives) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each selected pair is true, and its score."""
    pairs = tasks.pairs
    if pairs is None:
        raise UndefinedMetric(tasks.missing.get("pairs", "no pairs were scored"))
    negative = ~pairs.same
    if against != "all":
        kind = pairs.easy if against == "easy" else pairs.hard
        if kind is None:
            raise UndefinedMetric("the types of the cells are unknown")
        negative &= kind
    selected = pairs.same | negative
    same = pairs.same[selected]
    if same.all() or not same.any():
        lacking = _FALSE_PAIRS[against] if same.any() else "true"
        raise UndefinedMetric(f"no {lacking} pair among unseen cells")
    return same, pairs.score[selected]


def _facts(same: np.ndarray) -> dict[str, str | float]:
    return {"pairs": float(len(same)), "prevalence": float(same.mean())}


_FALSE_PROFILES: dict[Negatives, str] = {
    "all": "a random other cell's",
    "easy": "that of a cell of another type",
    "hard": "that of a cell of the same type",
}


def _for_each_negatives(
    name: str, measure: RankingMeasure, reference: str, summary: str
) -> dict[str, tuple[partial[MetricResult], str, str]]:
    """Return the declarations of a measure; ``{}`` in ``summary`` is the false profile."""
    return {
        name if against == "all" else f"{name}_{against}": (
            partial(match_ranking, measure=measure, against=against),
            reference,
            summary.format(false_profile),
        )
        for against, false_profile in _FALSE_PROFILES.items()
    }


METRICS = ranking_metrics(
    "match",
    _for_each_negatives(
        "auroc",
        roc_areas,
        ROC,
        "RNA of unseen cells: own chromatin scored above {} (chance 0.5)",
    )
    | _for_each_negatives(
        "ap", average_precisions, PR, "Average precision of own chromatin against {}"
    )
    | {
        "accuracy": (
            match_accuracy,
            "none; balanced by construction",
            "Pairs on the right side of the median score (chance 0.5)",
        )
    },
)
