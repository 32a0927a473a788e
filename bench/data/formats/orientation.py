"""Are features in rows or in columns? By names, then by columns of text, then by totals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.data.checks import BARCODE, COMMON_GENES, GENE_ID, PEAK

if TYPE_CHECKING:
    import scipy.sparse as sp

_CELL = re.compile(r"^(cell|barcode|nucleus|nuc|c)s?[ _.:-]?[0-9]+$", re.IGNORECASE)
_FEATURE = re.compile(r"^(gene|feature|peak|region|bin|g)s?[ _.:-]?[0-9]+$", re.IGNORECASE)
_RIKEN = re.compile(r"^[0-9A-Z]{10}Rik$")
_SAMPLE = 2000
_RATIO = 1.5
"""Standard deviations of log totals, features : cells, were 1.6 to 5.7 on 15 sets of RNA counts;
filtered peaks can lie below 1, but peaks are known by their names."""
_FEATURE_COLUMNS = frozenset(
    [
        "gene", "gene_id", "gene_ids", "gene_name", "gene_names", "gene_symbol", "genesymbol",
        "symbol", "description", "biotype", "gene_biotype", "feature", "feature_id", "chr",
        "chrom", "chromosome", "strand", "peak",
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """Where the features are, and what says so."""

    features_in_rows: bool
    reason: str
    sure: bool = True
    """False if it is an assumption."""


def instead(features_in_rows: bool) -> str:
    """Return what a user passes to have the features in rows, or the cells."""
    if features_in_rows:
        return "pass transpose=true (bench fit: --transpose)"
    return "pass transpose=false (bench fit: --no-transpose)"


def decide(
    rows: Sequence[str],
    columns: Sequence[str],
    text_columns: Sequence[str] = (),
    matrix: sp.csr_matrix | None = None,
) -> Decision:
    """Decide by the names of rows and columns, columns of text beside them, and the counts.

    Names: Ensembl identifiers, genome intervals, genes of almost every cell, barcodes. Totals,
    the last resort: those of genes spread over more orders of magnitude than those of cells.
    """
    for names, others, in_rows in ((rows, columns, True), (columns, rows, False)):
        side = "rows" if in_rows else "columns"
        what = _feature_names(names, others)
        if what:
            return Decision(in_rows, f"{side} are named like {what}")
        what = _cell_names(names, others)
        if what:
            return Decision(not in_rows, f"{side} are named like {what}")
    if text_columns:
        about_features = [name for name in text_columns if name.lower() in _FEATURE_COLUMNS]
        names_shown = ", ".join(f"'{name}'" for name in text_columns[:3])
        if about_features:
            return Decision(True, f"columns of text ({names_shown}) that describe features")
        return Decision(False, f"columns of text ({names_shown}) that describe cells")
    return _by_totals(matrix)


def _feature_names(names: Sequence[str], others: Sequence[str]) -> str:
    for patterns, what in (
        ((GENE_ID,), "Ensembl identifiers"),
        ((PEAK,), "genome intervals"),
        ((_FEATURE,), "numbered features"),
    ):
        if _share(patterns, names) > 0.5 and _share(patterns, others) < 0.1:
            return what
    upper = {str(name).upper() for name in names}
    genes = COMMON_GENES & upper
    if len(genes) >= 3 and len(COMMON_GENES & {str(name).upper() for name in others}) == 0:
        return f"genes ({', '.join(sorted(genes)[:3])})"
    if sum(bool(_RIKEN.match(str(name))) for name in names) >= 3:
        return "mouse genes (…Rik)"
    return ""


def _cell_names(names: Sequence[str], others: Sequence[str]) -> str:
    for pattern, what in ((BARCODE, "cell barcodes"), (_CELL, "numbered cells")):
        if _share((pattern,), names) > 0.5 and _share((pattern,), others) < 0.1:
            return what
    return ""


def _share(patterns: Sequence[re.Pattern[str]], names: Sequence[str]) -> float:
    sample = names[:_SAMPLE]
    hits = sum(any(pattern.match(str(name)) for pattern in patterns) for name in sample)
    return hits / max(len(sample), 1)


def _by_totals(matrix: sp.csr_matrix | None) -> Decision:
    if matrix is not None and min(matrix.shape) >= 10:
        spread = []
        for axis in (1, 0):
            totals = np.asarray(matrix.sum(axis=axis, dtype=np.float64)).ravel()
            totals = totals[totals > 0]
            spread.append(float(np.std(np.log(totals))) if totals.size > 1 else 0.0)
        if max(spread) > _RATIO * min(spread):
            in_rows = spread[0] > spread[1]
            side, other = ("rows", "columns") if in_rows else ("columns", "rows")
            reason = f"totals of {side} differ more than those of {other}, as those of features do"
            return Decision(in_rows, reason, sure=False)
    return Decision(True, "nothing in the names tells, and most tables are so", sure=False)
