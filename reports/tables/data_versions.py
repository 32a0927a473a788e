"""Names that keep results of older data of a dataset apart from those of the newest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

OLDER_MARK = " (other data: "
"""Between the name of a dataset and the digest of its older content."""
_DIGESTS = ("counts_digest", "labels_digest")
_LETTERS = 6


def version_names(table: pd.DataFrame) -> pd.Series:
    """Return the dataset name of each row, with a mark unless its content is the newest.

    Rows must be sorted from the oldest to the newest. The last row with digests holds the newest
    content. Rows without digests keep the plain name, and so does a table without such columns.
    """
    names = table["dataset"].copy()
    if not set(_DIGESTS) <= set(table):
        return names
    digests = table[list(_DIGESTS)]
    digests = digests.where(digests.notna(), "").astype(str)
    digests = digests[digests["counts_digest"] != ""]
    for name, rows in digests.groupby(names, sort=False):
        contents = [(str(counts), str(labels)) for counts, labels in rows.to_numpy()]
        suffixes = _suffixes(contents)
        names.loc[rows.index] = [f"{name}{suffixes[content]}" for content in contents]
    return names


def _suffixes(contents: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the suffix of each content (digests of counts and labels); the last is the newest."""
    newest_counts, newest_labels = contents[-1]
    labels: dict[str, set[str]] = {}
    for counts, types in contents:
        labels.setdefault(counts, set()).add(types)
    suffixes = {}
    for counts, types in dict.fromkeys(contents):
        same_labels = types == newest_labels or not types or not newest_labels
        parts = [counts[:_LETTERS]] if counts != newest_counts else []
        if len(labels[counts]) > 1:
            parts.append(f"labels {types[:_LETTERS] or 'unknown'}")
        newest = counts == newest_counts and same_labels
        suffixes[counts, types] = "" if newest else f"{OLDER_MARK}{', '.join(parts)})"
    return suffixes


def newest_names(names: Iterable[str]) -> list[str]:
    """Return the names of the newest data; all names if all are of older data."""
    texts = [str(name) for name in names]
    return [name for name in texts if OLDER_MARK not in name] or texts


def version_counts(table: pd.DataFrame) -> dict[str, int]:
    """Return the number of versions of each dataset with more than one."""
    number = table.groupby("dataset_name")["dataset"].nunique()
    return {str(name): int(n) for name, n in number[number > 1].items()}
