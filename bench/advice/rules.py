"""Rules that choose a method for a dataset from results on other datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .evidence import LABEL_FREE, AdviceEvidence

if TYPE_CHECKING:
    from .data_profile import DataProfile

NEAREST = 3
"""Number of nearest datasets that a rule and the table of nearest datasets take."""
BASELINE = "baseline"
_LABEL_FREE = "label_free:"


@dataclass(frozen=True)
class AdviceCase:
    """A dataset to choose a method for."""

    profile: DataProfile
    methods: frozenset[str]
    """Candidates."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Label-free scores of light candidates on this dataset, by score and method."""


Rule = Callable[[AdviceEvidence, AdviceCase], str]
"""Function from the evidence on other datasets and a case to the name of a method."""


def rules() -> dict[str, Rule]:
    """Return all rules by name; the baseline comes first."""
    return {
        BASELINE: baseline,
        "best_mean": best_mean,
        "nearest": nearest,
        **{_LABEL_FREE + score: partial(label_free, score) for score in LABEL_FREE},
    }


def required_score(rule: str) -> str:
    """Return the label-free score that a rule needs on the dataset itself; empty if none."""
    return rule.removeprefix(_LABEL_FREE) if rule.startswith(_LABEL_FREE) else ""


def baseline(evidence: AdviceEvidence, case: AdviceCase) -> str:
    """Return the baseline of the modality."""
    return evidence.baseline


def best_mean(evidence: AdviceEvidence, case: AdviceCase) -> str:
    """Return the candidate with the highest mean ARI, of those with a score on every dataset."""
    return _highest_mean(evidence, range(len(evidence.profiles)), case)


def nearest(evidence: AdviceEvidence, case: AdviceCase) -> str:
    """Return the candidate with the highest mean ARI on the nearest datasets."""
    return _highest_mean(evidence, nearest_rows(evidence, case.profile)[:NEAREST], case)


def label_free(score: str, evidence: AdviceEvidence, case: AdviceCase) -> str:
    """Return the light candidate with the highest score on the dataset itself."""
    values = case.scores.get(score, {})
    return max(values, key=lambda method: values[method], default=evidence.baseline)


def nearest_rows(evidence: AdviceEvidence, profile: DataProfile) -> list[int]:
    """Return the rows of all datasets, the nearest first.

    The distance is Euclidean on log cells, log depth, share of zeros and presence of several
    batches, each divided by its standard deviation over the datasets.
    """
    features = np.array([_features(one) for one in evidence.profiles]).reshape(-1, 4)
    spread = features.std(axis=0) if len(features) else np.ones(4)
    scaled = (features - _features(profile)) / np.where(spread > 0, spread, np.inf)
    order = np.argsort(np.linalg.norm(scaled, axis=1), kind="stable")
    return [int(row) for row in order]


def _features(profile: DataProfile) -> list[float]:
    return [
        float(np.log10(max(profile.n_cells, 1))),
        float(np.log10(max(profile.median_counts, 1))),
        profile.zeros,
        float(profile.n_batches > 1),
    ]


def _highest_mean(evidence: AdviceEvidence, rows: Sequence[int], case: AdviceCase) -> str:
    """Return the candidate with the highest mean on some datasets.

    Candidates have a score on every dataset: how good it is to advise others was not measured.
    """
    if not len(rows):
        return evidence.baseline
    complete = np.isfinite(evidence.ari).all(axis=0)
    means = np.where(complete, evidence.ari[list(rows)].mean(axis=0), np.nan)
    candidates = [
        number
        for number, method in enumerate(evidence.methods)
        if method in case.methods and np.isfinite(means[number])
    ]
    if not candidates:
        return evidence.baseline
    return evidence.methods[max(candidates, key=lambda number: means[number])]
