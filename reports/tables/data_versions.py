"""Results of different data under one dataset name, named apart so that nothing mixes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

OTHER = " (other data: "
"""What stands between the name of a dataset and the digest of older content."""
_DIGESTS = ("counts_digest", "labels_digest")
_LETTERS = 6


def apart(table: pd.DataFrame) -> pd.Series:
    """Return the dataset of each row, marked where its content is not the newest of that name.

    Rows are sorted from the oldest to the newest. What is in the newest row with digests keeps
    the plain name; rows without digests go with it. Without columns of digests nothing changes.
    """
    names = table["dataset"].copy()
    if not set(_DIGESTS) <= set(table):
        return names
    digests = table[list(_DIGESTS)]
    digests = digests.where(digests.notna(), "").astype(str)
    digests = digests[digests["counts_digest"] != ""]
    for name, rows in digests.groupby(names, sort=False):
        contents = [(str(counts), str(labels)) for counts, labels in rows.to_numpy()]
        ends = _ends(contents)
        names.loc[rows.index] = [f"{name}{ends[content]}" for content in contents]
    return names


def _ends(contents: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return what is added to the name for each content, the newest being the last."""
    newest = contents[-1]
    labels: dict[str, set[str]] = {}
    for counts, types in contents:
        labels.setdefault(counts, set()).add(types)
    found = {}
    for counts, types in dict.fromkeys(contents):
        same = counts == newest[0] and (types == newest[1] or not types or not newest[1])
        parts = [counts[:_LETTERS]] if counts != newest[0] else []
        if len(labels[counts]) > 1:
            parts.append(f"labels {types[:_LETTERS] or 'unknown'}")
        found[counts, types] = "" if same else f"{OTHER}{', '.join(parts)})"
    return found


def current(names: Iterable[str]) -> list[str]:
    """Return the names of the newest data; all, if all are of older data."""
    known = [str(name) for name in names]
    return [name for name in known if OTHER not in name] or known


def several(table: pd.DataFrame) -> dict[str, int]:
    """Return the number of versions of each dataset that has more than one."""
    number = table.groupby("dataset_name")["dataset"].nunique()
    return {str(name): int(n) for name, n in number[number > 1].items()}
