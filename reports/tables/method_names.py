"""Names of methods in tables: with profile, protocol and what they were told."""

from __future__ import annotations

import pandas as pd

from .eligible import CONTROL, GUIDED, K_GIVEN, ORACLE, told_text


def with_protocol(method: str, protocol: str) -> str:
    """Return the name with the protocol of a search; a name that has it stays."""
    if protocol in ("", "default"):
        return method
    suffix = ORACLE if protocol == "oracle" else f" ({protocol})"
    return method if method.endswith(suffix) else method + suffix


def told_by_method(table: pd.DataFrame) -> pd.Series:
    """Return what each method was told about the types in any fit; nothing for controls."""
    by_method = table.groupby("method")["uses"].agg(told_text)
    return table["method"].map(by_method).where(table["family"] != CONTROL, "")


def with_guidance(table: pd.DataFrame) -> pd.Series:
    """Return the names, marked where a method was told about the types; a marked name stays."""
    marks = table["told"].map(
        lambda told: (K_GIVEN if told == "n_clusters" else GUIDED) * bool(told)
    )
    pairs = zip(table["method"], marks, strict=True)
    return pd.Series([n if n.endswith(m) else n + m for n, m in pairs], table.index, dtype=object)


def fill_gaps(table: pd.DataFrame, column: str, by: str) -> pd.Series:
    """Return a column whose gaps are filled from other rows with the same ``by``.

    A combination that was left out has neither family nor modality of its own.
    """
    first = table[table[column] != ""].groupby(by)[column].first()
    own = table[column]
    return own.where(own != "", table[by].map(first).fillna(""))


def with_profile(table: pd.DataFrame) -> pd.Series:
    """Return the names, with the profile where a method was run under several."""
    profile = table["profile"]
    several = table[profile != ""].groupby("method")["profile"].nunique()
    mixed = table["method"].map(several).fillna(0) > 1
    return table["method"].where(
        ~(mixed & (profile != "")), table["method"] + " (" + profile + ")"
    )
