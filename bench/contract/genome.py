"""Names of chromosomes and genome intervals (peaks): the one place that reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_INTERVAL = re.compile(
    r"""^(?P<chrom>
          (?:[A-Za-z][A-Za-z0-9.]*_+)?                        # genome, as in GRCh38_chr1
          chr_?(?:[0-9]{1,3}|[A-Z]{1,5}[0-9]{0,2}|Un)(?:[LRABD]|Het)*
          (?:[_.][A-Za-z][A-Za-z0-9]*)*?(?:[.v][0-9]+)?(?:_(?:random|alt|fix|hap[0-9]+))?
        | (?-i:[1-9][0-9]?[LRABD]?|[XYWZM]|MT|X[1-9][0-9]?|[IVX]{1,5})
        | [A-Z]{1,6}_?[0-9]{5,}[.v][0-9]+                     # a contig with its version
        | (?:scaffold|contig|ctg|tig|Un)_?[0-9]+ | hs3[78]d[0-9]+
       )
       (?:[:_|\s-]|\.(?!\.))(?P<start>[0-9][0-9,]*)
       (?:[:_|\s-]|\.\.?)(?P<end>[0-9][0-9,]*)
       (?:[:(][+.-]\)?)?$                                     # strand
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LONGEST_NAME = 200
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
        Such as ``chr1:100-200``, ``chr1_100_200``, ``chr1.100.200``, ``1-100-200`` or
        ``GRCh38_chr1:100-200``; the first part is a chromosome or a contig with its version.

    Returns
    -------
    tuple or None
        ``None`` if the name is no interval, or one of length zero.
    """
    match = _INTERVAL.match(name) if len(name) < _LONGEST_NAME else None
    if match is None:
        return None
    start, end = (int(match[side].replace(",", "")) for side in ("start", "end"))
    chromosome = match["chrom"]
    if re.fullmatch(r"X[1-9][0-9]?", chromosome):  # R's make.names puts an X before a number
        chromosome = chromosome[1:]
    return (ucsc_chromosome(chromosome), start, end) if start < end else None


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
        Names that are no intervals; ``chrom`` of their rows is empty, ``start`` and ``end`` are
        -1.
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
    return [_format_interval(str(name)) for name in names]


def _format_interval(name: str) -> str:
    interval = parse_interval(name)
    return name if interval is None else "{}:{}-{}".format(*interval)
