"""Checks of a dataset before anything is computed: one clear line for each thing that is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from bench.contract import ATAC, MULTIOME, RNA, DatasetInfo
from bench.contract.multiome import check_parts
from bench.errors import DataError
from bench.messages import MAX_NAMES, quote_names
from bench.prepare.blocks import row_blocks, stored_values

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

PEAK = re.compile(r"^(chr)?[0-9A-Za-z.]{1,25}[:_-][0-9]+[-_][0-9]+$")
"""Names of genome intervals: ``chr1:100-200``, ``chr1_100_200``, ``1-100-200``."""
BARCODE = re.compile(r"^([A-Za-z0-9]+[_#:.-])?[ACGT]{10,}([_#:.-][A-Za-z0-9]+)*$")
"""Cell barcodes, with or without a prefix or suffix."""
GENE_ID = re.compile(r"^ENS[A-Z]{0,4}[GT][0-9]{6,}(\.[0-9]+)?$")
"""Ensembl identifiers of genes and transcripts."""
COMMON_GENES = frozenset(
    ["ACTB", "B2M", "EEF1A1", "FTH1", "FTL", "GAPDH", "MALAT1", "PPIA", "RPLP0", "TMSB4X"]
)
"""Expressed in almost every cell of human and, in other capitals, of mouse."""
_NO_TYPE = frozenset(["nan", "na", "n/a", "none", "null", "unknown", "unassigned", "?", "-"])
_MIN_CELLS = 10
_RARE = 5
_SCALED_GENES = 2000
_SAMPLE = 200


@dataclass
class CheckReport:
    """A dataset that passed."""

    warnings: list[str] = field(default_factory=list)
    """One line each for what is odd but usable."""


def check_data(
    data: AnnData | MuData,
    *,
    where: str,
    label_key: str,
    batch_key: str | None,
    modality: str,
) -> CheckReport:
    """Check a dataset of one modality (see :func:`check_counts`) or paired: each part of it.

    Labels and batch of paired data are those of ``rna``.
    """
    if modality != MULTIOME:
        return check_counts(
            data, where=where, label_key=label_key, batch_key=batch_key, modality=modality
        )
    check_parts(data, where)
    genes = check_counts(
        data[RNA], where=where, label_key=label_key, batch_key=batch_key, modality=RNA
    )
    peaks = check_counts(
        data[ATAC], where=f"{where} (atac)", label_key="", batch_key=None, modality=ATAC
    )
    return CheckReport(genes.warnings + peaks.warnings)


def check_counts(
    adata: AnnData, *, where: str, label_key: str, batch_key: str | None, modality: str
) -> CheckReport:
    """Check counts (cells × features), names, labels and batch of one dataset.

    ``where`` is the dataset's name or file, for messages; an empty ``label_key`` means that the
    cells have no labels. ``X`` may be CSR, CSC or dense, in memory or backed, and is not changed.
    Raises ``DataError`` with one line that says what was found, what was expected and what to
    do.
    """
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise DataError(
            f"{where}: {adata.n_obs} cells × {adata.n_vars} features: nothing there; expected "
            "counts in X, cells × features; look for a filter that removed everything."
        )
    _check_names(adata.obs_names, "cell", where, "adata.obs_names_make_unique()")
    _check_names(adata.var_names, "feature", where, "adata.var_names_make_unique()")
    _check_orientation(adata, where)
    _check_values(adata, where)
    types = check_labels(adata, where, label_key) if label_key else None
    if batch_key is not None:
        check_batch(adata, where, batch_key)
    lines = _odd_counts(adata, where)
    if types is not None:
        lines = _odd_labels(where, types) + lines
    if batch_key is not None and label_key:
        lines += _odd_batches(adata, where, label_key, batch_key)
    peaks = _share(PEAK, adata.var_names[:_SAMPLE])
    if modality == RNA and peaks > 0.9:
        lines.append(f"{where}: features are named like genome intervals, but modality is rna.")
    return CheckReport(lines)


def _check_names(names: pd.Index, what: str, where: str, fix: str) -> None:
    text = names.astype(str)
    empty = int(np.sum(text.str.strip() == "") + np.sum(names.isna()))
    if empty:
        raise DataError(f"{where}: {empty} {what} names are empty; name them or drop them.")
    if not text.is_unique:
        twice = list(dict.fromkeys(text[text.duplicated()]))
        raise DataError(
            f"{where}: {len(twice)} {what} names occur more than once ({quote_names(twice)}); make them "
            f"unique, for example with {fix}."
        )


def _check_orientation(adata: AnnData, where: str) -> None:
    """Refuse cells named like genes or peaks, and features named like barcodes."""
    cells, features = adata.obs_names[:_SAMPLE], adata.var_names[:_SAMPLE]
    swapped = ""
    for pattern, what in ((GENE_ID, "genes"), (PEAK, "genome intervals")):
        if _share(pattern, cells) > 0.9 and _share(pattern, features) < 0.1:
            swapped = f"cells are named like {what} ({quote_names(list(cells))})"
    if _share(BARCODE, features) > 0.9 and _share(BARCODE, cells) < 0.1:
        swapped = f"features are named like cell barcodes ({quote_names(list(features))})"
    genes = sorted(COMMON_GENES & {str(name).upper() for name in adata.obs_names})
    if len(genes) >= 3 and not COMMON_GENES & {str(name).upper() for name in adata.var_names}:
        swapped = f"cells are named like genes ({quote_names(genes)})"
    if swapped:
        raise DataError(
            f"{where}: {swapped}: the matrix looks transposed; expected cells × features, pass "
            "adata.T."
        )


def _share(pattern: re.Pattern[str], names: pd.Index) -> float:
    return sum(bool(pattern.match(str(name))) for name in names) / max(len(names), 1)


def _check_values(adata: AnnData, where: str) -> None:
    if adata.X is None:
        raise DataError(f"{where}: X is missing; expected raw counts.{_elsewhere(adata)}")
    kind = adata.X.dtype.kind
    if kind not in "biuf":
        raise DataError(
            f"{where}: X holds values of type {adata.X.dtype}; expected counts (numbers), cells × "
            "features; convert it, for example with adata.X = adata.X.astype('float32')."
        )
    found = _Values()
    for values in stored_values(adata.X):
        found.add(values)
    if found.not_finite:
        raise DataError(
            f"{where}: X has {found.not_finite} NaN or infinite values; expected raw counts."
            f"{_elsewhere(adata)}"
        )
    if found.smallest < 0:
        raise DataError(
            f"{where}: X has negative values (smallest {found.smallest:.4g}); expected raw "
            f"counts, this looks scaled.{_elsewhere(adata)}"
        )
    if found.broken is not None:
        raise DataError(
            f"{where}: X has values that are not whole numbers (such as {found.broken:.4g}); "
            "expected raw counts, this looks normalised or log-transformed, and every method "
            f"here starts from counts.{_elsewhere(adata)}"
        )
    if not found.any:
        raise DataError(f"{where}: every value of X is zero; expected raw counts.")


@dataclass
class _Values:
    """What is found among the values of a matrix, piece by piece."""

    not_finite: int = 0
    smallest: float = 0.0
    broken: float | None = None
    """The first value that is no whole number."""
    any: bool = False
    """True if one is not zero."""

    def add(self, values: np.ndarray) -> None:
        if not values.size:
            return
        self.any = self.any or bool(np.any(values))
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                self.not_finite += int(finite.size - np.count_nonzero(finite))
                values = values[finite]
            off = values[values != np.rint(values)]
            if off.size and self.broken is None:
                self.broken = float(off[0])
        if values.dtype.kind in "if":
            self.smallest = min(self.smallest, float(values.min(initial=0)))

    @property
    def whole(self) -> bool:
        """True if all are counts."""
        return not self.not_finite and self.smallest >= 0 and self.broken is None


def _elsewhere(adata: AnnData) -> str:
    """Say where else in the file whole numbers are."""

    def whole(matrix: Any) -> bool:
        found = _Values()
        for values in stored_values(matrix) if matrix.dtype.kind in "biuf" else ():
            found.add(values)
            if not found.whole:
                return False
        return found.any

    for name in sorted(adata.layers, key=lambda name: name != "counts"):
        if whole(adata.layers[name]):
            return f" layers['{name}'] holds whole numbers: set adata.X = adata.layers['{name}']."
    if adata.raw is not None and whole(adata.raw.X):
        return " raw.X holds whole numbers: use adata.raw.to_adata()."
    return " No layer holds whole numbers: save the file with counts in X."


def check_labels(adata: AnnData, where: str, label_key: str) -> pd.Series:
    """Return the number of cells of each type, largest first.

    Raises ``DataError`` for labels that no clustering can be compared with.
    """
    if label_key not in adata.obs:
        there = ", ".join(map(str, adata.obs.columns)) or "none"
        raise DataError(f"{where}: no column '{label_key}' in obs; columns there: {there}.")
    labels = _no_gaps(adata, where, label_key, "label")
    sizes = labels.value_counts()
    if len(sizes) == 1:
        raise DataError(
            f"{where}: column '{label_key}' has one type only ('{sizes.index[0]}'); a comparison "
            "of clusterings needs at least two."
        )
    if adata.n_obs < _MIN_CELLS or adata.n_obs <= len(sizes):
        raise DataError(
            f"{where}: {adata.n_obs} cells of {len(sizes)} types in '{label_key}'; expected at "
            f"least {_MIN_CELLS} cells and more cells than types (a column of identifiers?)."
        )
    return sizes


def check_batch(adata: AnnData, where: str, batch_key: str) -> None:
    """Raise ``DataError`` if the batch of any cell is not known."""
    _no_gaps(adata, where, batch_key, "batch")


def _no_gaps(adata: AnnData, where: str, key: str, what: str) -> pd.Series:
    if key not in adata.obs:
        there = ", ".join(map(str, adata.obs.columns)) or "none"
        raise DataError(f"{where}: no column '{key}' in obs; columns there: {there}.")
    column = adata.obs[key]
    gaps = int((column.isna() | (column.astype(str).str.strip() == "")).sum())
    if gaps:
        raise DataError(
            f"{where}: {gaps} of {adata.n_obs} cells have no {what} in column '{key}'; remove "
            f"them first, for example adata[adata.obs['{key}'].notna()]."
        )
    return column.astype(str)


def _odd_labels(where: str, types: pd.Series) -> list[str]:
    lines = []
    rare = types[types < _RARE].sort_index().sort_values(kind="stable")
    if len(rare):
        shown = ", ".join(f"'{name}' {size}" for name, size in rare.iloc[:MAX_NAMES].items())
        more = ", ..." if len(rare) > MAX_NAMES else ""
        have = "1 type has" if len(rare) == 1 else f"{len(rare)} types have"
        lines.append(
            f"{where}: {have} fewer than {_RARE} cells ({shown}{more}); scores "
            "of single types rest on very few cells."
        )
    if len({str(name).strip() for name in types.index}) < len(types):
        lines.append(f"{where}: some types differ only in spaces at the ends of their names.")
    for name, size in types.items():
        if str(name).strip().lower() in _NO_TYPE:
            lines.append(f"{where}: {size} cells are of a type named '{name}'; if that means no "
                         "label, remove them.")  # fmt: skip
    return lines


def _odd_counts(adata: AnnData, where: str) -> list[str]:
    empty = 0
    for _, block in row_blocks(adata.X):
        empty += int(np.count_nonzero(np.diff(block.indptr) == 0))
    return [f"{where}: {empty} cells have no counts at all."] if empty else []


def memory_warnings(info: DatasetInfo) -> list[str]:
    """Return a line if a scaled matrix and the counts of a dataset exceed the available memory.

    A standard recipe keeps at most 2,000 genes, dense float32; counts take 8 bytes a value.
    """
    genes = min(info.n_features, _SCALED_GENES)
    scaled = 4 * info.n_cells * genes
    counts = 8 * info.density * info.n_cells * info.n_features
    there = psutil.virtual_memory().available
    if scaled + counts <= there:
        return []
    return [
        f"{info.n_cells} cells need about {scaled / 2**30:.1f} GiB of memory as a scaled matrix "
        f"of {genes} features and {counts / 2**30:.1f} GiB as counts, {there / 2**30:.1f} GiB "
        "are available: run one job at a time (--jobs 1) or take fewer cells; what does not fit "
        "ends as out of memory."
    ]


def _odd_batches(adata: AnnData, where: str, label_key: str, batch_key: str) -> list[str]:
    lines = []
    batches, types = adata.obs[batch_key].astype(str), adata.obs[label_key].astype(str)
    if batches.nunique() == 1:
        lines.append(f"{where}: column '{batch_key}' has one batch only ('{batches.iloc[0]}').")
    elif types.groupby(batches).nunique().max() == 1:
        lines.append(
            f"{where}: every batch in column '{batch_key}' has cells of one type only: batch and "
            "type cannot be told apart."
        )
    return lines
