"""Which methods are compared: those told the same, no controls, one setting of each method."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.contract.precomputed import PRECOMPUTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

FAILED = ("failed", "timeout", "oom", "diverged", "interrupted")
NOT_RUN = ("skipped", "unavailable", "pruned")
CONTROL = "control"
ORACLE = " (oracle ⚠)"
"""End of the names of methods that were tuned on the labels they are scored on."""
TUNED = "·tuned"
"""In the names of methods whose parameters a search has chosen."""
GUIDED = " (guided)"
"""End of the names of methods that were told something about the types of the cells."""
K_GIVEN = " (k given)"
"""End of the names of methods that were told the number of types."""
TELLING = frozenset({"n_clusters", "labels", "markers", "proteins"})
"""What tells a method about the types; the batches do not count."""
_WORDS = {"n_clusters": "the number of types", "markers": "marker genes"}


def told_text(uses: Iterable[str]) -> str:
    """Return what fits were told about the types, such as ``markers,n_clusters``.

    ``uses`` are texts of inputs separated by commas.
    """
    return ",".join(sorted(TELLING & {name for text in uses for name in text.split(",")}))


def told_words(told: str) -> str:
    """Return what a group of methods was told, in words."""
    return " and ".join(_WORDS.get(name, name) for name in told.split(",")) or "counts only"


def told_groups(table: pd.DataFrame) -> list[str]:
    """Return what the methods that are ranked with each other were told, counts only first.

    Methods compete with those that were told the same. One that was told something nobody else
    was is not ranked, unless there is no other method.
    """
    ran = _unaided(table[~table["status"].isin(NOT_RUN)])
    found = {str(told) for told in ran["told"].unique()}
    groups = sorted(found, key=lambda told: (told != "", told != "n_clusters", told))
    shared = [g for g in groups if not g or competing(table, g)["method"].nunique() > 1]
    return shared or groups[:1] or [""]


def competing(table: pd.DataFrame, told: str = "") -> pd.DataFrame:
    """Return the rows that are compared: no controls, nothing tuned on what it is scored on.

    Only methods that were told the same about the types are compared: ``told``, by default
    nothing. Of several hand-set configurations of a method one is compared (:func:`variants`): the
    best of many would win by chance. Where some methods are scored on the report cells (holdout)
    and some on all, the kind with more methods is compared; of as many of both, those scored on
    all.
    """
    kept = _compared((one for _, one in _settings(table)), told)
    held = table["protocol"] == "holdout"
    # As an array: an empty list would choose no column instead of no row.
    return table[np.array([one in kept for one in zip(table["method"], held, strict=True)], bool)]


def competing_by_dataset(table: pd.DataFrame, told: str | None = None) -> pd.DataFrame:
    """Return the rows that are compared on their own dataset; by default those of all groups."""
    groups = table["told"].unique() if told is None else [told]
    by_dataset: dict[str, list[_Setting]] = {}
    for dataset, one in _settings(table):
        by_dataset.setdefault(dataset, []).append(one)
    fair = {
        (dataset, method)
        for dataset, settings in by_dataset.items()
        for group in groups
        for method, _ in _compared(settings, group)
    }
    places = zip(table["dataset"], table["method"], strict=True)
    return table[np.array([place in fair for place in places], bool)]


class _Setting(NamedTuple):
    """A configuration of a method in a table."""

    method: str
    method_name: str
    told: str
    held: bool
    """It was scored on the report cells of a hold-out."""
    ran: bool


def _settings(table: pd.DataFrame) -> list[tuple[str, _Setting]]:
    """Return each dataset and configuration once, without controls and what knows its score."""
    fair = _unaided(table)
    held, ran = fair["protocol"] == "holdout", ~fair["status"].isin(NOT_RUN)
    columns = (fair["method"], fair["method_name"], fair["told"], held, ran)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return list(
        dict.fromkeys(zip(fair["dataset"].tolist(), map(_Setting._make, rows), strict=True))
    )


def _compared(settings: Iterable[_Setting], told: str) -> set[tuple[str, bool]]:
    """Return the methods that are compared, and whether they are scored on the report cells."""
    same = [one for one in settings if one.told == told]
    left = _variants(same)
    same = [one for one in same if one.method not in left]
    ran = {(one.method, one.held) for one in same if one.ran}
    some = sum(held for _, held in ran)
    return {(one.method, one.held) for one in same if one.held == (some > len(ran) - some)}


def _unaided(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["family"].isin([CONTROL, PRECOMPUTED]) & (table["protocol"] != "oracle")]


def variants(table: pd.DataFrame) -> dict[str, str]:
    """Return why further hand-set configurations of a method are not ranked, by their names.

    Ranked is the default, else the one that stands first in the table; where settings change what
    a method is told, one of each group. Configurations that a search has chosen are no variants:
    their protocol says how they were chosen.
    """
    return _variants(one for _, one in _settings(table))


def _variants(settings: Iterable[_Setting]) -> dict[str, str]:
    groups: dict[tuple[bool, str, str], list[str]] = {}
    for one in settings:
        own = groups.setdefault((one.held, one.told, one.method_name), [])
        if TUNED not in one.method and one.method not in own:
            own.append(one.method)
    reasons: dict[str, str] = {}
    for (_, _, name), own in groups.items():
        default = [one for one in own if one.partition(" (")[0] == name]
        main = (default or own or [""])[0]
        why = f"not ranked: one of {len(own)} settings of {name}; {main} is ranked"
        reasons |= {one: why for one in own if one != main}
    return reasons


def exclusion_reasons(table: pd.DataFrame) -> dict[str, str]:
    """Return why methods are not compared: what they were told, further settings, other cells."""
    unaided = _unaided(table)
    reasons = variants(table)
    done = unaided[unaided["status"] == "done"]
    held = "not ranked: protocol holdout scores 80 % of the cells, the ranked methods all"
    all_cells = "not ranked: scored on all cells, the ranked methods (holdout) on 80 %"
    groups = told_groups(table)
    for told, rows in done.groupby("told"):
        names = set(rows["method"]) - set(reasons)
        if told not in groups:
            why = f"not ranked: told {told_words(str(told))}, which no other method was"
            reasons |= dict.fromkeys(names, why)
            continue
        apart = names - set(competing(table, str(told))["method"])
        by_cells = rows.groupby("method")["protocol"].first()
        reasons |= {n: held if by_cells[n] == "holdout" else all_cells for n in apart}
    return reasons
