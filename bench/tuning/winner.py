"""The best trial of a study, and its gain over the default on the report seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import rankdata, t

from .objective import uses_mean_rank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .objective import Objective
    from .study import Trial


def best_trial(trials: Sequence[Trial], objectives: Sequence[Objective]) -> Trial | None:
    """Return the finished trial with the best value of the first objective.

    Ties are decided by the next objective, then for the earliest trial. With several objectives it
    is on the Pareto front. If :func:`.objective.uses_mean_rank`, it is the trial with the best
    mean rank over all objectives; equal values have equal ranks.
    """
    losses = _losses(trials, objectives)
    order = {number: tuple(values) for number, values in losses.items()}
    if uses_mean_rank(objectives) and losses:
        ranks = rankdata(list(losses.values()), axis=0).mean(axis=1)
        order = {n: (rank, *order[n]) for n, rank in zip(order, ranks, strict=True)}
    best = min(order, key=lambda number: (order[number], number), default=None)
    return next((trial for trial in trials if trial.number == best), None)


def pareto_front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the finished trials of the Pareto front, the best in the first objective first.

    A trial is on it if no other is better in one objective and at least equal in all others.
    """
    losses = _losses(trials, objectives)
    front = {
        number: mine
        for number, mine in losses.items()
        if not any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True))
            for other in losses.values()
        )
    }
    by_number = {trial.number: trial for trial in trials}
    return [by_number[number] for number in sorted(front, key=lambda n: (front[n], n))]


def _losses(
    trials: Sequence[Trial], objectives: Sequence[Objective]
) -> dict[int, tuple[float, ...]]:
    """Return the values of each finished trial by number, negated if higher is better."""
    signs = [-1.0 if objective.maximize else 1.0 for objective in objectives]
    return {
        trial.number: tuple(s * v for s, v in zip(signs, trial.values, strict=True))
        for trial in trials
        if trial.status == "done" and trial.values
    }


@dataclass(frozen=True)
class TuningGain:
    """Gain of the tuned over the default configuration, paired by seed."""

    key: str
    """Score key of the metric."""
    higher_is_better: bool
    default: float
    """Mean of the default over the seeds."""
    tuned: float
    gain: float
    """Mean of the differences, positive if the tuned configuration is better."""
    half_width: float
    """Half width of the 95 % t-interval of the mean difference; NaN with one seed."""
    seeds: int

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``unclear``, or ``same`` if every difference is zero."""
        if self.gain == 0 and (self.half_width == 0 or math.isnan(self.half_width)):
            return "same"
        if math.isnan(self.half_width) or abs(self.gain) <= self.half_width:
            return "unclear"
        return "better" if self.gain > 0 else "worse"


def tuning_gain(
    key: str, default: Mapping[int, float], tuned: Mapping[int, float], *, higher_is_better: bool
) -> TuningGain | None:
    """Return the gain from values by seed; ``None`` if no seed has both.

    The interval is Student's t for paired differences over the seeds.
    """
    seeds = sorted(set(default) & set(tuned))
    n = len(seeds)
    if not n:
        return None
    sign = 1 if higher_is_better else -1
    differences = [sign * (tuned[seed] - default[seed]) for seed in seeds]
    mean = sum(differences) / n
    half_width = math.nan
    if n > 1:
        spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
        half_width = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    mean_default, mean_tuned = (
        sum(scores[seed] for seed in seeds) / n for scores in (default, tuned)
    )
    return TuningGain(key, higher_is_better, mean_default, mean_tuned, mean, half_width, n)


def gain_sentence(
    gain: TuningGain | None, *, is_default: bool, n_trials: int, protocol: str
) -> str:
    """Return the gain as a sentence."""
    if is_default:
        return (
            f"Tuning did not help: none of {n_trials} trials was better than the default "
            f"({protocol})."
        )
    if gain is None:
        return f"Not decided: no report seed has a score of both ({protocol})."
    head = f"{gain.key} {gain.default:.3f} → {gain.tuned:.3f}, gain {gain.gain:+.3f}"
    if math.isnan(gain.half_width):
        return (
            f"Not decided: {head} with one report seed, so without interval; give more --seeds "
            f"({protocol})."
        )
    low, high = gain.gain - gain.half_width, gain.gain + gain.half_width
    tail = f"(95 % interval {low:+.3f} to {high:+.3f}, {gain.seeds} report seeds; {protocol})."
    words = {
        "better": "Tuning helped",
        "worse": "Tuning did harm",
        "unclear": "Tuning did not help beyond what seeds explain",
        "same": "Tuning changed nothing",
    }
    return f"{words[gain.verdict]}: {head} {tail}"
