"""Which methods are compared: not controls, guided methods, or further settings of a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FAILED = ("failed", "timeout", "oom", "diverged")
NOT_RUN = ("skipped", "unavailable", "pruned")
CONTROL = "control"
ORACLE = " (oracle ⚠)"
"""End of the names of methods that were tuned on the labels they are scored on."""
HELD = " (holdout)"
"""End of the names of methods that are scored on the report cells only."""
TUNED = "·tuned"
"""In the names of methods whose parameters a search has chosen."""
GUIDED = " (guided)"
"""End of the names of methods that were told something about the types of the cells."""
TELLING = frozenset({"labels", "markers", "proteins"})
"""What tells a method about types; a number of clusters and the batches do not."""


def competing(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are compared: no controls, nothing tuned on what it is scored on.

    Nor guided methods: to be told about types is an advantage over those that were not. Of several
    hand-set configurations of a method one is compared (:func:`variants`): the best of many would
    win by chance. Where some methods are scored on the report cells (holdout) and some on all, the
    kind with more methods is compared; of as many of both, those scored on all.
    """
    fair = _unaided(table)
    fair = fair[~fair["method"].isin(variants(fair))]
    held = fair["method"].str.endswith(HELD)
    ran = ~fair["status"].isin(NOT_RUN) if "status" in fair else ~held | held
    some, all_cells = (fair.loc[one & ran, "method"].nunique() for one in (held, ~held))
    return fair[held if some > all_cells else ~held]


def competing_by_dataset(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are compared on their own dataset."""
    fair = {
        (dataset, method)
        for dataset, rows in table.groupby("dataset", sort=False)
        for method in competing(rows)["method"].unique()
    }
    places = zip(table["dataset"], table["method"], strict=True)
    # As an array: an empty list would choose no column instead of no row.
    return table[np.array([place in fair for place in places], dtype=bool)]


def _unaided(table: pd.DataFrame) -> pd.DataFrame:
    names = table["method"]
    apart = names.str.endswith(ORACLE) | names.str.endswith(GUIDED)
    return table[(table["family"] != CONTROL) & ~apart]


def variants(table: pd.DataFrame) -> dict[str, str]:
    """Return why further hand-set configurations of a method are not ranked, by their names.

    Ranked is the default, else the one that stands first in the table. Configurations that a
    search has chosen are no variants: their protocol says how they were chosen.
    """
    reasons: dict[str, str] = {}
    for scored in (True, False):
        rows = table[table["method"].str.endswith(HELD) == scored]
        for name, part in rows.groupby("method_name", sort=False):
            settings = [one for one in part["method"].unique() if TUNED not in one]
            default = [one for one in settings if one.partition(" (")[0] == name]
            main = (default or settings or [""])[0]
            why = f"not ranked: one of {len(settings)} settings of {name}; {main} is ranked"
            reasons |= {one: why for one in settings if one != main}
    return reasons


def exclusion_reasons(table: pd.DataFrame) -> dict[str, str]:
    """Return why methods are not compared: further settings, or scored on other cells."""
    done = _unaided(table[table["status"] == "done"])
    further = variants(_unaided(table))
    apart = set(done["method"]) - set(competing(table)["method"]) - set(further)
    held = "not ranked: protocol holdout scores 80 % of the cells, the ranked methods all"
    all_cells = "not ranked: scored on all cells, the ranked methods (holdout) on 80 %"
    return further | {name: held if name.endswith(HELD) else all_cells for name in map(str, apart)}
