"""Names of chromosomes and genome intervals (peaks): the one place that reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_INTERVAL = re.compile(r"^(.+)[:_-](\d+)[-_](\d+)$")
_BARE_CHROMOSOME = re.compile(r"^(\d{1,2}[LR]?|[IVX]+|[XYWZM])$")


def ucsc_chromosome(name: str) -> str:
    """Return the UCSC name of a chromosome: ``1`` becomes ``chr1`` and ``MT`` becomes ``chrM``.

    Parameters
    ----------
    name
        Name in any common spelling, such as ``1``, ``chr1``, ``Chr1`` or ``MT``.

    Returns
    -------
    str
        The UCSC name. Names of scaffolds are returned unchanged.
    """
    bare = re.sub(r"^chr", "", name.strip(), flags=re.IGNORECASE)
    if bare in ("MT", "M"):
        return "chrM"
    has_prefix = name.strip()[:3].lower() == "chr"
    return f"chr{bare}" if has_prefix or _BARE_CHROMOSOME.match(bare) else bare


def parse_interval(name: str) -> tuple[str, int, int] | None:
    """Return chromosome (UCSC name), start and end of a peak's name.

    Parameters
    ----------
    name
        Such as ``chr1:100-200``, ``chr1_100_200`` or ``1-100-200``. The chromosome may contain
        ``_``, ``.`` and ``-``.

    Returns
    -------
    tuple or None
        ``None`` if the name is no interval, or one of length zero.
    """
    match = _INTERVAL.match(name)
    if match is None or int(match[2]) >= int(match[3]):
        return None
    return ucsc_chromosome(match[1]), int(match[2]), int(match[3])


def peak_intervals(names: Iterable[Any]) -> tuple[pd.DataFrame, list[str]]:
    """Return the intervals of peaks by their names.

    Parameters
    ----------
    names
        Names of peaks.

    Returns
    -------
    pandas.DataFrame
        Columns ``chrom``, ``start`` and ``end``, one row a peak, indexed by name.
    list of str
        The names that are no intervals; their rows have an empty ``chrom`` and -1.
    """
    import pandas as pd

    texts = [str(name) for name in names]
    intervals = [parse_interval(text) for text in texts]
    invalid = [text for text, interval in zip(texts, intervals, strict=True) if interval is None]
    rows = [interval or ("", -1, -1) for interval in intervals]
    return pd.DataFrame(rows, index=texts, columns=["chrom", "start", "end"]), invalid


def format_peak_names(names: Iterable[Any]) -> list[str]:
    """Return names of peaks in the form ``chr1:100-200``.

    Parameters
    ----------
    names
        Names of peaks in any form that :func:`parse_interval` reads.

    Returns
    -------
    list of str
        In the order of ``names``. A name that is no interval is returned unchanged.
    """
    return [_INTERVAL.sub(_format_interval, str(name)) for name in names]


def _format_interval(match: re.Match[str]) -> str:
    chromosome, start, end = match.groups()
    prefix = "chr" if _BARE_CHROMOSOME.match(chromosome) else ""
    return f"{prefix}{chromosome}:{start}-{end}"
