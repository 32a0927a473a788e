"""Which method to use: one sentence, and the methods that are tied for first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .claims import Standing, over_datasets
from .inference import LEAST_DATASETS
from .labels import interval_text, label
from .leaderboard import complete_block
from .statistics import mean_of_means, t_interval

if TYPE_CHECKING:
    import pandas as pd

_LEAST_SECONDS = 0.01
_CLEARLY_SLOWER = 2.0
_SHORT_SECONDS = 1.0
"""Fits below this time are equally fast to a user."""
_NAMED = 4


@dataclass(frozen=True)
class Advice:
    """What to use of methods that were told the same, on one dataset or several."""

    text: str
    tied: tuple[str, ...] = ()
    """Methods than which no other is reliably better, from the best on; empty without a claim."""
    letters: Mapping[str, str] = field(default_factory=dict)
    """Letters by method: those that share one do not reliably differ."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """Seeds that a method failed and another finished; it ranks behind, and is not compared."""


def advise(
    rows: pd.DataFrame,
    within: Mapping[str, Standing],
    metric: str,
    *,
    told: str = "",
    n_modalities: int = 1,
) -> Advice:
    """Return the advice on data of one modality; ``within`` are the standings on its datasets.

    Over fewer than six datasets nothing is claimed: tied are then the methods that no other one
    reliably beats on any dataset.
    """
    block = complete_block(rows, metric, told)
    if not within or block.empty:
        return Advice(f"No method that may be ranked has a value of {label(metric)}.")
    names = [str(name) for name in block.columns]
    if len(names) == 1:
        return advise_by_standing(within[names[0]], rows, metric, names)
    standing = over_datasets(rows, block, metric, told=told, n_modalities=n_modalities)
    if standing.comparisons is not None or len(standing.order) == 1:
        return advise_by_standing(standing, rows, metric, names)
    few = f"{len(names)} datasets are too few for a claim over datasets ({LEAST_DATASETS} needed)."
    beaten = _beaten([within[name] for name in names if name in within])
    tied = [name for name in standing.order if name not in beaten | set(standing.failed)]
    if not tied:
        return Advice(f"No method is the best everywhere; {few}", failed=standing.failed)
    if all(within[name].comparisons is None for name in names if name in within):
        return Advice(f"{_one_seed(standing.order[0], metric, _where(names))} {few}")
    reason = "no other method is reliably better on any of them"
    return Advice(
        f"{_use(tied, rows, metric, names, reason)} {few}", tuple(tied), failed=standing.failed
    )


def advise_by_standing(
    standing: Standing, rows: pd.DataFrame, metric: str, names: Sequence[str]
) -> Advice:
    """Return the advice of a standing on the dataset, or over the datasets, of these names."""
    first = standing.order[0]
    if len(standing.order) == 1:
        return Advice(f"Only {first} has a value of {label(metric)} {_where(names)}.")
    if standing.comparisons is None or first not in standing.comparisons.methods:
        return Advice(_one_seed(first, metric, _where(names)))
    beaten = _beaten([standing])
    tied = [n for n in standing.order if n in standing.comparisons.methods and n not in beaten]
    alone = all(standing.beats(tied[0], n) for n in standing.comparisons.methods if n != tied[0])
    reason = "no method is reliably better"
    if alone and not standing.failed:
        reason = "it is reliably better than every other method"
    text = _use(tied, rows, metric, names, reason)
    return Advice(text, tuple(tied), standing.letters, standing.failed)


def _one_seed(first: str, metric: str, where: str) -> str:
    return f"{first} has the best mean {label(metric)} {where}; one seed, so nothing is claimed."


def _where(names: Sequence[str]) -> str:
    return f"on {names[0]}" if len(names) == 1 else f"over {len(names)} datasets"


def _use(
    tied: Sequence[str], rows: pd.DataFrame, metric: str, names: Sequence[str], reason: str
) -> str:
    """Return advice for the best of the tied methods that take less than twice the least time.

    Times below a second count as equal.
    """
    done = rows[(rows["status"] == "done") & rows["method"].isin(tied)]
    seconds = done.groupby("method")["seconds"].median().dropna().clip(lower=_LEAST_SECONDS)
    fast = seconds.index[seconds < _CLEARLY_SLOWER * max(seconds.min(), _SHORT_SECONDS)]
    choice = next((name for name in tied if name in fast), tied[0])
    text = (
        f"Use {choice}: mean {label(metric)} {mean_text(rows, choice, metric, names)} "
        f"{_where(names)}; {reason}."
    )
    others = [name for name in tied if name != choice]
    if not others:
        return text
    listed = []
    for name in others[: _NAMED if len(others) > _NAMED + 1 else len(others)]:
        parts = [mean_text(rows, name, metric, names)]
        ratio = seconds.get(name, 0.0) / seconds.get(choice, 1.0)
        if ratio >= _CLEARLY_SLOWER:
            parts.append(f"{ratio:,.0f} times slower")
        listed.append(f"{name} ({', '.join(parts)})")
    if len(listed) < len(others):
        listed.append(f"and {len(others) - len(listed)} more")
    return f"{text} Tied with it: {', '.join(listed)}."


def mean_text(rows: pd.DataFrame, method: str, metric: str, names: Sequence[str]) -> str:
    """Return the mean over datasets of a method with its interval over seeds."""
    own = rows[rows["method"] == method]
    parts = [t_interval(own.loc[own["dataset"] == name, metric]) for name in names]
    return interval_text(*mean_of_means(parts), 3)


def _beaten(standings: Sequence[Standing]) -> set[str]:
    """Return the methods that another one reliably beats on a dataset."""
    return {
        name
        for standing in standings
        if standing.comparisons is not None
        for name in standing.comparisons.methods
        if any(standing.beats(other, name) for other in standing.comparisons.methods)
    }
