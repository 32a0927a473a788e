"""Patterns of the names of cells, genes and peaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from bench.contract.genome import parse_interval

is_barcode = re.compile(r"^([A-Za-z0-9]+[_#:.-])?[ACGT]{10,}([_#:.-][A-Za-z0-9]+)*$").match
"""Match a cell barcode, with or without a prefix or suffix."""
is_gene_id = re.compile(r"^ENS[A-Z]{0,4}[GT][0-9]{6,}(\.[0-9]+)?$").match
"""Match an Ensembl identifier of a gene or transcript."""
DEFAULT_LABEL_KEY = "cell_type"
"""Column of the types where the user names none."""
_LARGEST_WELL = 1000
COMMON_GENES = frozenset(
    ["ACTB", "B2M", "EEF1A1", "FTH1", "FTL", "GAPDH", "MALAT1", "PPIA", "RPLP0", "TMSB4X"]
)
"""Expressed in almost every cell of human and, in other capitals, of mouse."""


def is_interval(name: str) -> bool:
    """Return whether a name is a genome interval, as in ``chr1:10-20``.

    A short name such as ``1_2_96`` is the well of a plate, not an interval.
    """
    site = parse_interval(name)
    return site is not None and (site[2] > _LARGEST_WELL or "chr" in str(name)[:40].lower())


def share_of_names(names: Sequence[Any], matches: Callable[[str], Any]) -> float:
    """Return the share of the names for which ``matches`` is true."""
    return sum(bool(matches(str(name))) for name in names) / max(len(names), 1)


def find_common_genes(names: Sequence[Any]) -> list[str]:
    """Return the common genes among the names, in capitals."""
    return sorted(COMMON_GENES & {str(name).upper() for name in names})
