"""genome."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


_INTERVAL = re.compile(r"^(.+)[:_-](\d+)[-_](\d+)$")


_BARE = re.compile(r"^(\d{1,2}[LR]?|[IVX]+|[XYWZM])$")


def ucsc_chromosome(name: str) -> str:
    """Return the name of a chromosome in UCSC's spelling: ``1`` is ``chr1``, ``MT`` ``chrM``.

    Names of scaffolds stay as they are.
    """
    bare = re.sub(r"^chr", "", name.strip(), flags=re.IGNORECASE)
    if bare in ("MT", "M"):
        return "chrM"
    named = name.strip()[:3].lower() == "chr"
    return f"chr{bare}" if named or _BARE.match(bare) else bare


def parse_interval(name: str) -> tuple[str, int, int] | None:
    """Return chromosome, start and end that a peak's name says, ``None`` if it says none.

    Understood are ``chr1:100-200``, ``chr1_100_200``, ``1-100-200`` and their mixtures; a
    chromosome may itself hold ``_``, ``.`` or ``-``. An interval must not be empty.
    """
    match = _INTERVAL.match(name)
    if match is None or int(match[2]) >= int(match[3]):
        return None
    return ucsc_chromosome(match[1]), int(match[2]), int(match[3])


def peak_intervals(names: Iterable[Any]) -> tuple[pd.DataFrame, list[str]]:
    """Return ``chrom``, ``start`` and ``end`` by peak name, and the names that say none."""
    import pandas as pd

    texts = [str(name) for name in names]
    found = [parse_interval(text) for text in texts]
    bad = [text for text, one in zip(texts, found, strict=True) if one is None]
    rows = [one or ("", -1, -1) for one in found]
    return pd.DataFrame(rows, index=texts, columns=["chrom", "start", "end"]), bad


def format_peak_names(names: Iterable[Any]) -> list[str]:
    """Return genome intervals as ``chr1:100-200``; a name that is none stays as it is."""
    return [_peak(str(name)) for name in names]


def _peak(name: str) -> str:
    match = _INTERVAL.match(name)
    if match is None:
        return name
    ucsc_chromosome, start, end = match.groups()
    return f"{'chr' if _BARE.match(ucsc_chromosome) else ''}{ucsc_chromosome}:{start}-{end}"
