"""Names that keep results of different data apart, and put those of the same data together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

OLDER_MARK = " (other data: "
"""Between the name of a dataset and the digest of its older content."""
_PARTS = {
    "counts_digest": "", "labels_digest": "labels ", "batch_digest": "batch ",
    "train_digest": "hold-out ", "proteins_digest": "proteins ",
}  # fmt: skip
"""Digest of each part of a dataset, and the word for that part."""
_LETTERS = 6

Content = tuple[str, ...]
"""The digests of a dataset; one that a store of an earlier release lacks is empty."""


def newest_name_of_content(table: pd.DataFrame) -> pd.Series:
    """Return the dataset name of each row: that under which the same content was run last.

    Rows must be sorted from the oldest to the newest. A copy of a file under another name is the
    same dataset. Rows that lack a digest keep their name.
    """
    names = table["dataset"].copy()
    if not {*_PARTS, "rare_type"} <= set(table):
        return names
    contents = _contents(table)
    complete = contents.map(all)
    keys = contents[complete].index.map(
        lambda row: (*contents[row], str(table.at[row, "rare_type"]))
    )
    newest = dict(zip(keys, names[complete], strict=True))
    names.loc[complete] = [newest[key] for key in keys]
    return names


def version_names(table: pd.DataFrame) -> pd.Series:
    """Return the dataset name of each row, with a mark unless its content is the newest.

    Rows must be sorted from the oldest to the newest. The last row with digests holds the newest
    content. Rows without digests keep the plain name, and so does a table without such columns.
    """
    names = table["dataset"].copy()
    if "counts_digest" not in table:
        return names
    contents = _contents(table)
    contents = contents[contents.map(lambda content: content[0] != "")]
    for name, rows in contents.groupby(names, sort=False):
        suffixes = _suffixes(list(rows))
        names.loc[rows.index] = [f"{name}{suffixes[content]}" for content in rows]
    return names


def _contents(table: pd.DataFrame) -> pd.Series:
    """Return the content of each row."""
    digests = table.reindex(columns=list(_PARTS)).astype(object)
    digests = digests.where(digests.notna(), "").astype(str)
    return digests.apply(tuple, axis=1) if len(digests) else digests["counts_digest"]


def _suffixes(contents: list[Content]) -> dict[Content, str]:
    """Return the suffix of each content; the last one is the newest."""
    newest, suffixes = contents[-1], {}
    for content in dict.fromkeys(contents):
        same_counts = [other for other in contents if other[0] == content[0]]
        parts = [content[0][:_LETTERS]] if content[0] != newest[0] else []
        for number, word in enumerate(_PARTS.values()):
            if number and len({other[number] for other in same_counts}) > 1:
                parts.append(word + (content[number][:_LETTERS] or "unknown"))
        suffixes[content] = "" if _same(content, newest) else f"{OLDER_MARK}{', '.join(parts)})"
    return suffixes


def _same(one: Content, other: Content) -> bool:
    """Return whether two contents are the same as far as their digests are known."""
    pairs = zip(one[1:], other[1:], strict=True)
    return one[0] == other[0] and all(a == b or not a or not b for a, b in pairs)


def newest_names(names: Iterable[str]) -> list[str]:
    """Return the names of the newest data; all names if all are of older data."""
    texts = [str(name) for name in names]
    return [name for name in texts if OLDER_MARK not in name] or texts


def version_counts(table: pd.DataFrame) -> dict[str, int]:
    """Return the number of versions of each dataset with more than one."""
    number = table.groupby("dataset_name")["dataset"].nunique()
    return {str(name): int(n) for name, n in number[number > 1].items()}
