"""Checks of a dataset before anything is computed: one line for each fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import psutil

from bench.contract import ATAC, MULTIOME, RNA, DatasetInfo
from bench.contract.multiome import check_parts
from bench.errors import DataError
from bench.messages import MAX_NAMES, option_hint, quote_names
from bench.prepare.blocks import row_blocks

from .count_layers import count_hint
from .name_patterns import find_common_genes, is_barcode, is_gene_id, is_interval, share_of_names
from .values import ValueSummary, missing_values

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

_NO_TYPE = frozenset(["nan", "na", "n/a", "none", "null", "unknown", "unassigned", "?", "-"])
_MIN_CELLS = 10
_RARE = 5
_SCALED_GENES = 2000
_SAMPLE = 200


@dataclass
class CheckReport:
    """The result of passed checks."""

    warnings: list[str] = field(default_factory=list)
    """One line for each finding that is unusual but no error."""


def check_data(
    data: AnnData | MuData,
    *,
    where: str,
    label_key: str,
    batch_key: str | None,
    modality: str,
    orientation_given: bool = False,
) -> CheckReport:
    """Check a dataset of one modality (see :func:`check_counts`) or both parts of paired data.

    Labels and batch of paired data are those of ``rna``.
    """
    if modality != MULTIOME:
        return check_counts(
            data, where=where, label_key=label_key, batch_key=batch_key, modality=modality,
            orientation_given=orientation_given,
        )  # fmt: skip
    check_parts(data, where)
    genes = check_counts(
        data[RNA], where=where, label_key=label_key, batch_key=batch_key, modality=RNA
    )
    peaks = check_counts(
        data[ATAC], where=f"{where} (atac)", label_key="", batch_key=None, modality=ATAC
    )
    return CheckReport(genes.warnings + peaks.warnings)


def check_counts(
    adata: AnnData,
    *,
    where: str,
    label_key: str,
    batch_key: str | None,
    modality: str,
    orientation_given: bool = False,
) -> CheckReport:
    """Check counts (cells × features), names, labels and batch of one dataset.

    ``X`` may be CSR, CSC or dense, in memory or backed; it stays unchanged. ``where`` is the name
    or file in messages. An empty ``label_key`` means cells without labels. With
    ``orientation_given`` the orientation is not checked against the names. Raises ``DataError``
    with one line that names the fault and its fix.
    """
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise DataError(
            f"{where}: {adata.n_obs} cells × {adata.n_vars} features; expected "
            "counts in X, cells × features; look for a filter that removed everything.",
            code="no_counts",
        )
    _check_names(adata.obs_names, "cell", where)
    _check_names(adata.var_names, "feature", where)
    if not orientation_given:
        _check_orientation(adata, where)
    _check_values(adata, where)
    types = check_labels(adata, where, label_key) if label_key else None
    if batch_key is not None:
        check_batch(adata, where, batch_key)
    lines = [] if types is None else _label_warnings(where, types)
    empty = _count_empty_cells(adata)
    if empty:
        lines.append(f"{where}: {empty} cells have no counts at all.")
    if batch_key is not None and label_key:
        lines += _batch_warnings(adata, where, label_key, batch_key)
    if modality == RNA and share_of_names(adata.var_names[:_SAMPLE], is_interval) > 0.9:
        lines.append(f"{where}: features are named like genome intervals, but modality is rna.")
    return CheckReport(lines)


def _check_names(names: pd.Index, what: str, where: str) -> None:
    text = names.astype(str)
    empty = int(np.sum(text.str.strip() == "") + np.sum(names.isna()))
    if empty:
        raise DataError(
            f"{where}: {empty} {what} names are empty; name them or drop them.",
            code="missing_names",
        )
    if not text.is_unique:
        duplicates = list(dict.fromkeys(text[text.duplicated()]))
        raise DataError(
            f"{where}: {len(duplicates)} {what} names occur more than once "
            f"({quote_names(duplicates)}); give each its own name.",
            code="duplicate_names",
        )


def _check_orientation(adata: AnnData, where: str) -> None:
    """Refuse cells named like genes or peaks, and features named like barcodes."""
    cells, features = adata.obs_names[:_SAMPLE], adata.var_names[:_SAMPLE]
    fault = ""
    for matches, what in ((is_gene_id, "genes"), (is_interval, "genome intervals")):
        if share_of_names(cells, matches) > 0.9 and share_of_names(features, matches) < 0.1:
            fault = f"cells are named like {what} ({quote_names(list(cells))})"
    if share_of_names(features, is_barcode) > 0.9 and share_of_names(cells, is_barcode) < 0.1:
        fault = f"features are named like cell barcodes ({quote_names(list(features))})"
    genes = find_common_genes(adata.obs_names)
    if len(genes) >= 3 and not find_common_genes(adata.var_names):
        fault = f"cells are named like genes ({quote_names(genes)})"
    if fault:
        raise DataError(
            f"{where}: {fault}: the matrix looks transposed; expected cells × features; "
            f"{option_hint(where, transpose=True)} swaps them, "
            f"{option_hint(where, transpose=False)} takes them as they are.",
            code="transposed",
        )


def _check_values(adata: AnnData, where: str) -> None:
    if adata.X is None:
        raise DataError(
            f"{where}: X is missing; expected raw counts.{count_hint(adata)}", code="no_counts"
        )
    if adata.X.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: X holds values of type {adata.X.dtype}; expected counts (numbers), cells × "
            "features; save X as numbers.",
            code="not_a_number",
        )
    values = ValueSummary(adata.X)
    if values.not_finite:
        raise DataError(
            f"{where}: X has {values.not_finite} NaN or infinite values; expected raw counts."
            f"{count_hint(adata)}",
            code="not_finite",
        )
    if values.smallest < 0:
        raise DataError(
            f"{where}: X has negative values (smallest {values.smallest:.4g}); expected raw "
            f"counts, this looks scaled.{count_hint(adata)}",
            code="negative_values",
        )
    if values.fraction is not None:
        raise DataError(
            f"{where}: X has values that are not whole numbers (such as {values.fraction:.4g}); "
            "expected raw counts, this looks normalised or log-transformed, and every method "
            f"here starts from counts.{count_hint(adata)}",
            code="not_counts",
        )
    if not values.any:
        raise DataError(
            f"{where}: every value of X is zero; expected raw counts.", code="no_counts"
        )


def check_labels(adata: AnnData, where: str, label_key: str) -> pd.Series:
    """Return the number of cells of each type, largest first.

    Raises ``DataError`` for missing labels, for a single type, and for too few cells.
    """
    labels = _complete_column(adata, where, label_key, "label")
    sizes = labels.value_counts()
    if len(sizes) == 1:
        raise DataError(
            f"{where}: column '{label_key}' has one type only ('{sizes.index[0]}'); a comparison "
            "of clusterings needs at least two.",
            code="single_type",
        )
    if adata.n_obs < _MIN_CELLS or adata.n_obs <= len(sizes):
        raise DataError(
            f"{where}: {adata.n_obs} cells of {len(sizes)} types in '{label_key}'; expected at "
            f"least {_MIN_CELLS} cells and more cells than types (a column of identifiers?).",
            code="too_few_cells",
        )
    return sizes


def check_batch(adata: AnnData, where: str, batch_key: str) -> None:
    """Raise ``DataError`` if the batch of any cell is missing."""
    _complete_column(adata, where, batch_key, "batch")


def _complete_column(adata: AnnData, where: str, key: str, what: str) -> pd.Series:
    """Return a column of ``obs`` as text; raises ``DataError`` for missing values."""
    if key not in adata.obs:
        columns = ", ".join(map(str, adata.obs.columns)) or "none"
        raise DataError(
            f"{where}: no column '{key}' in obs; its columns: {columns}.", code="missing_column"
        )
    column = adata.obs[key]
    gaps = missing_values(column)
    if gaps:
        raise DataError(
            f"{where}: {gaps} of {adata.n_obs} cells have no {what} in column '{key}'; "
            "remove these cells from the file, or name another column with "
            f"{option_hint(where, **{f'{what}_key': 'COLUMN'})}.",
            code="missing_values",
        )
    return column.astype(str)


def _label_warnings(where: str, types: pd.Series) -> list[str]:
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


def _count_empty_cells(adata: AnnData) -> int:
    blocks = (block for _, block in row_blocks(adata.X))
    return sum(int(np.count_nonzero(np.diff(block.indptr) == 0)) for block in blocks)


def memory_warnings(info: DatasetInfo) -> list[str]:
    """Return a warning if the scaled matrix and the counts exceed the available memory.

    A standard recipe keeps at most 2,000 genes, dense float32; counts take 8 bytes a nonzero
    value.
    """
    genes = min(info.n_features, _SCALED_GENES)
    scaled = 4 * info.n_cells * genes
    counts = 8 * info.density * info.n_cells * info.n_features
    available = psutil.virtual_memory().available
    if scaled + counts <= available:
        return []
    return [
        f"{info.n_cells} cells need about {scaled / 2**30:.1f} GiB of memory as a scaled matrix "
        f"of {genes} features and {counts / 2**30:.1f} GiB as counts, {available / 2**30:.1f} "
        "GiB are available: run one job at a time (--jobs 1) or take fewer cells; other jobs may "
        "end as out of memory."
    ]


def _batch_warnings(adata: AnnData, where: str, label_key: str, batch_key: str) -> list[str]:
    lines = []
    batches, types = adata.obs[batch_key].astype(str), adata.obs[label_key].astype(str)
    if batches.nunique() == 1:
        lines.append(f"{where}: column '{batch_key}' has one batch only ('{batches.iloc[0]}').")
    elif types.groupby(batches).nunique().max() == 1:
        lines.append(
            f"{where}: every batch in column '{batch_key}' has cells of one type only: batch and "
            "type cannot be separated."
        )
    return lines
