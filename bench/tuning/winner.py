"""Which trial wins, and what the winner gains over the default on the report seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import t

from bench.tuning.objective import by_rank

if TYPE_CHECKING:
    from bench.tuning.objective import Objective
    from bench.tuning.study import Trial


def best(trials: Sequence[Trial], objectives: Sequence[Objective]) -> Trial | None:
    """Return the finished trial with the best value of the first objective.

    Of equals the best in the next objective, then the earliest. With several objectives it is
    one of the Pareto front. Where :func:`.objective.by_rank` says so, that with the best mean of
    its ranks in all objectives, equals sharing theirs.
    """
    done = [trial for trial in trials if trial.status == "done" and trial.values]
    losses = {trial.number: _losses(trial, objectives) for trial in done}
    order = dict(losses)
    if by_rank(objectives):
        columns = list(zip(*losses.values(), strict=True))
        for number, mine in losses.items():
            ranks = [_rank(value, column) for value, column in zip(mine, columns, strict=True)]
            order[number] = (sum(ranks), *mine)
    return min(done, key=lambda t: (order[t.number], t.number), default=None)


def _rank(value: float, among: Sequence[float]) -> float:
    """Return the place of a value, 1 for the lowest; equals share the mean of their places."""
    return sum(one < value for one in among) + (sum(one == value for one in among) + 1) / 2


def pareto(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the finished trials that no other beats in one objective and equals in the rest.

    Best in the first objective first.
    """
    done = [(t, _losses(t, objectives)) for t in trials if t.status == "done" and t.values]
    front = [
        (t, mine)
        for t, mine in done
        if not any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True))
            for _, other in done
        )
    ]
    return [t for t, mine in sorted(front, key=lambda pair: (pair[1], pair[0].number))]


def _losses(trial: Trial, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return the values turned so that lower is better."""
    return tuple(
        -value if one.maximize else value
        for value, one in zip(trial.values, objectives, strict=True)
    )


@dataclass(frozen=True)
class Gain:
    """Tuned against default, paired by seed."""

    key: str
    """Of the metric."""
    higher_is_better: bool
    default: float
    """Mean over the seeds."""
    tuned: float
    gain: float
    """Mean of the differences, positive if the tuned configuration is better."""
    half_width: float
    """Of the 95 % t-interval of the mean difference; NaN with one seed."""
    seeds: int

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``unclear``, or ``same`` if every seed gave the same."""
        if self.gain == 0 and (self.half_width == 0 or math.isnan(self.half_width)):
            return "same"
        if math.isnan(self.half_width) or abs(self.gain) <= self.half_width:
            return "unclear"
        return "better" if self.gain > 0 else "worse"


def gain(
    key: str, higher: bool, default: Mapping[int, float], tuned: Mapping[int, float]
) -> Gain | None:
    """Return the gain from values by seed; ``None`` if no seed has both.

    The interval is Student's t for paired differences over the seeds.
    """
    seeds = sorted(set(default) & set(tuned))
    n = len(seeds)
    if not n:
        return None
    sign = 1 if higher else -1
    differences = [sign * (tuned[seed] - default[seed]) for seed in seeds]
    mean = sum(differences) / n
    half = math.nan
    if n > 1:
        spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
        half = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return Gain(
        key, higher, sum(default[s] for s in seeds) / n, sum(tuned[s] for s in seeds) / n,
        mean, half, n,
    )  # fmt: skip


def statement(found: Gain | None, *, is_default: bool, n_trials: int, protocol: str) -> str:
    """Return what came of tuning in a plain sentence."""
    if is_default:
        return (
            f"Tuning did not help: none of {n_trials} trials was better than the default "
            f"({protocol})."
        )
    if found is None:
        return f"Nothing can be said: no report seed has a score of both ({protocol})."
    head = f"{found.key} {found.default:.3f} → {found.tuned:.3f}, gain {found.gain:+.3f}"
    if math.isnan(found.half_width):
        return (
            f"Not decided: {head} with one report seed, so without interval; give more --seeds "
            f"({protocol})."
        )
    low, high = found.gain - found.half_width, found.gain + found.half_width
    tail = f"(95 % interval {low:+.3f} to {high:+.3f}, {found.seeds} report seeds; {protocol})."
    words = {
        "better": "Tuning helped",
        "worse": "Tuning did harm",
        "unclear": "Tuning did not help beyond what seeds explain",
        "same": "Tuning changed nothing",
    }
    return f"{words[found.verdict]}: {head} {tail}"
