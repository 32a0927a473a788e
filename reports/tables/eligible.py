"""Which methods are compared: those told the same, no controls, one setting of each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    fair = _unaided(table)
    fair = fair[fair["told"] == told]
    fair = fair[~fair["method"].isin(variants(fair))]
    held = fair["protocol"] == "holdout"
    ran = ~fair["status"].isin(NOT_RUN)
    some, all_cells = (fair.loc[one & ran, "method"].nunique() for one in (held, ~held))
    return fair[held if some > all_cells else ~held]


def competing_by_dataset(table: pd.DataFrame, told: str | None = None) -> pd.DataFrame:
    """Return the rows that are compared on their own dataset; by default those of all groups."""
    groups = table["told"].unique() if told is None else [told]
    fair = {
        (dataset, method)
        for dataset, rows in table.groupby("dataset", sort=False)
        for group in groups
        for method in competing(rows, group)["method"].unique()
    }
    places = zip(table["dataset"], table["method"], strict=True)
    # As an array: an empty list would choose no column instead of no row.
    return table[np.array([place in fair for place in places], dtype=bool)]


def _unaided(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["family"] != CONTROL) & (table["protocol"] != "oracle")]


def variants(table: pd.DataFrame) -> dict[str, str]:
    """Return why further hand-set configurations of a method are not ranked, by their names.

    Ranked is the default, else the one that stands first in the table; where settings change what
    a method is told, one of each group. Configurations that a search has chosen are no variants:
    their protocol says how they were chosen.
    """
    reasons: dict[str, str] = {}
    groups = [table["protocol"] == "holdout", table["told"], table["method_name"]]
    for (_, _, name), part in table.groupby(groups, sort=False):
        settings = [one for one in part["method"].unique() if TUNED not in one]
        default = [one for one in settings if one.partition(" (")[0] == name]
        main = (default or settings or [""])[0]
        why = f"not ranked: one of {len(settings)} settings of {name}; {main} is ranked"
        reasons |= {one: why for one in settings if one != main}
    return reasons


def exclusion_reasons(table: pd.DataFrame) -> dict[str, str]:
    """Return why methods are not compared: what they were told, further settings, other cells."""
    unaided = _unaided(table)
    reasons = variants(unaided)
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
