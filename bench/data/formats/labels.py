"""Metadata of cells in a second file, joined by barcode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.data.formats.delimited import rows
from bench.errors import DataError
from bench.messages import log_note

if TYPE_CHECKING:
    from anndata import AnnData


_MISSING = ["", "NA", "NaN", "nan"]
_NAMES = ("barcode", "barcodes", "cell", "cells", "cell_id", "cellid", "cell_barcode")
_SHOWN = 3


def read_labels(path: Path) -> pd.DataFrame:
    """Return a delimited table of cell metadata: one row a cell, index = barcodes, all text.

    The separator is found; the file may be compressed; a header with one name fewer than there
    are columns (R) is understood. The index is the first column, unless that has a name and
    another one is called barcode, cell or cell_id. Empty fields, NA and NaN become missing.
    Raises ``DataError`` with the line for a ragged table, one column only, or no rows.
    """
    path = Path(path)
    with rows(path) as reader:
        lines = list(reader)
    if len(lines) < 2 or len(lines[1][1]) < 2:
        columns = len(lines[-1][1]) if lines else 0
        raise DataError(
            f"{path}: {len(lines)} lines with {columns} columns; expected a header line "
            "and at least two columns, barcodes and labels; labels are joined by "
            "barcode, never by position."
        )
    header, width = lines[0][1], len(lines[1][1])
    if len(header) == width - 1:
        header = ["", *header]
    for line, fields in lines:
        if len(fields) != len(header) and fields is not lines[0][1]:
            raise DataError(
                f"{path}: line {line}: {len(fields)} fields, expected {len(header)} as in the "
                "header; a separator inside a name (quote it) or an incomplete file?"
            )
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}: two columns are named '{twice[0]}'; rename one.")
    table = pd.DataFrame([fields for _, fields in lines[1:]], columns=header, dtype=object)
    table = table.mask(table.isin(_MISSING))
    place = 0
    if header[0] and header[0].lower() not in _NAMES:
        place = next((i for i, name in enumerate(header) if name.lower() in _NAMES), 0)
    table.index = pd.Index(table.iloc[:, place].astype(str), dtype=object, name=header[place])
    return table.drop(columns=header[place]) if header[place] else table.iloc[:, 1:]


def join_labels(adata: AnnData, table: pd.DataFrame, *, where: str) -> AnnData:
    """Return the cells of ``adata`` that are in ``table`` (index = barcodes) with its columns.

    Never by position. How many are unmatched on either side is said, with the first names.
    A column of ``table`` replaces one of the same name. Raises ``DataError`` if no barcode matches
    (with a hint if only a suffix differs), or if a barcode stands twice in ``table``.
    """
    cells = adata.obs_names.astype(str)
    if table.index.name and str(table.index.name) in set(cells):
        raise DataError(
            f"{where}: the first line starts with '{table.index.name}', the name of a cell; "
            "expected a header line such as barcode,cell_type; add one."
        )
    table = _keyed(cells, table, where)
    known = cells.isin(table.index)
    if not known.any():
        raise DataError(f"{where}: {_no_match(cells, table)}")
    double = table.index[table.index.duplicated()].intersection(cells)
    if len(double):
        raise DataError(
            f"{where}: {len(double)} barcodes stand on more than one line ({_some(double)}); "
            "expected one line for each cell."
        )
    without = cells[~known]
    unused = table.index.difference(cells, sort=False)
    if len(without):
        log_note(
            f"{where}: {len(without)} of {len(cells)} cells are not in it and were dropped "
            f"({_some(without)})"
        )
    if len(unused):
        log_note(
            f"{where}: {len(unused)} of {len(table)} barcodes in it are not in the counts "
            f"({_some(unused)})"
        )
    joined = adata[known].copy() if len(without) else adata
    found = table.loc[cells[known]]
    for name in found.columns:
        joined.obs[str(name)] = found[name].to_numpy()
    return joined


def _keyed(cells: pd.Index, table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table with the column as index that holds the names of the cells."""
    table = table.set_axis(table.index.astype(str))
    if cells.isin(table.index).any():
        return table
    hits = {name: int(cells.isin(table[name].astype(str)).sum()) for name in table.columns}
    best = max(hits, key=lambda name: hits[name], default=None)
    if best is None or not hits[best]:
        return table
    log_note(f"{where}: joined by its column '{best}'")
    return table.drop(columns=best).set_axis(table[best].astype(str))


def _no_match(cells: pd.Index, table: pd.DataFrame) -> str:
    text = (
        f"none of its {len(table)} barcodes is the name of a cell (cells: {_some(cells)}; "
        f"barcodes: {_some(table.index)}); expected the same names"
    )
    suffix = r"[-_.][0-9A-Za-z]+$"
    bare = cells.str.replace(suffix, "", regex=True)
    other = table.index.str.replace(suffix, "", regex=True)
    for left, right, what in (
        (cells.str.replace(".", "-"), table.index.str.replace(".", "-"), "dots stand for dashes"),
        (bare, table.index, "cells have a suffix that the barcodes lack"),
        (cells, other, "barcodes have a suffix that the cells lack"),
        (bare, other, "the suffixes differ"),
    ):
        # Where the numbers were the names ("cell_1"), nothing tells the rest apart.
        if left.isin(right).mean() > 0.5 and left.nunique() > len(left) / 2:
            return f"{text}; {what}: change the names in one of the files."
    return f"{text}."


def _some(names: pd.Index) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")
