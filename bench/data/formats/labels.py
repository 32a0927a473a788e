"""Metadata of cells in a second file, joined by barcode or, if the user chooses, by position."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.errors import DataError
from bench.messages import log_note, option_hint, quote_names

from ..name_patterns import DEFAULT_LABEL_KEY
from .delimited import open_rows, refuse_duplicate_columns
from .guards import read_errors

if TYPE_CHECKING:
    from anndata import AnnData


_MISSING = ["", "NA", "NaN", "nan"]
_NAMES = ("barcode", "barcodes", "cell", "cells", "cell_id", "cellid", "cell_barcode")


def read_labels(path: Path) -> pd.DataFrame:
    """Return a delimited table of cell metadata as text: one row a cell, index = barcodes.

    The file may be compressed; its header may have one name fewer than there are columns, as R
    writes it. The index is the first column, unless it has another name and a column is named
    ``barcode``, ``cell_id`` or similar. Empty fields, NA and NaN become missing values. Raises
    ``DataError`` with the line for a ragged table, for a single column, and for a table without
    rows.
    """
    with open_rows(path) as reader:
        lines = list(reader)
    if len(lines) < 2 or len(lines[1][1]) < 2:
        columns = len(lines[-1][1]) if lines else 0
        raise DataError(
            f"{path}: {len(lines)} lines with {columns} columns; expected a header line and at "
            "least two columns, barcodes and labels; labels are joined by barcode; if the lines "
            f"have the order of the cells, add {option_hint('FILE', labels_by_position=True)}.",
            code="missing_column",
        )
    header, width = lines[0][1], len(lines[1][1])
    if len(header) == width - 1:
        header = ["", *header]
    for line, fields in lines[1:]:
        if len(fields) != len(header):
            raise DataError(
                f"{path}: line {line}: {len(fields)} fields, expected {len(header)} as in the "
                "header; a separator inside a name (quote it) or an incomplete file?",
                code="invalid_line",
            )
    refuse_duplicate_columns(path, header, header)
    table = pd.DataFrame([fields for _, fields in lines[1:]], columns=header, dtype=object)
    table = table.mask(table.isin(_MISSING))
    place = 0
    if header[0] and header[0].lower() not in _NAMES:
        place = next((i for i, name in enumerate(header) if name.lower() in _NAMES), 0)
    table.index = pd.Index(table.iloc[:, place].astype(str), dtype=object, name=header[place])
    return table.drop(columns=header[place]) if header[place] else table.iloc[:, 1:]


def read_parquet_table(path: Path) -> pd.DataFrame:
    """Return the table in a parquet file, its index as :func:`read_labels` finds it."""
    with read_errors(path, "parquet file"):
        table = pd.read_parquet(path)
    if isinstance(table.index, pd.RangeIndex) and len(table.columns):
        names = [name for name in table.columns if str(name).lower() in _NAMES]
        table = table.set_index(names[0] if names else table.columns[0])
    return table.set_axis(table.index.astype(str).rename(table.index.name))


def join_labels(
    adata: AnnData, table: pd.DataFrame, *, where: str, all_cells: bool = False
) -> AnnData:
    """Return the cells of ``adata`` that are in ``table`` (index = barcodes) with its columns.

    Cells are matched by name, never by position; notes count unmatched cells and barcodes. With
    ``all_cells`` cells that are not in ``table`` stay, without values. The first line of a table
    without a header is one of its rows. A column of ``table`` replaces one of the same name.
    Raises ``DataError`` if no barcode matches (with a hint if only a suffix differs), and for a
    barcode that occurs twice in ``table``.
    """
    cells = adata.obs_names.astype(str)
    table = index_by_cell(cells, table, where)
    matched = cells.isin(table.index)
    if not matched.any():
        raise DataError(f"{where}: {_no_match_text(cells, table)}", code="unknown_cells")
    duplicates = table.index[table.index.duplicated()].intersection(cells)
    if len(duplicates):
        raise DataError(
            f"{where}: {len(duplicates)} barcodes occur on more than one line "
            f"({quote_names(list(duplicates))}); expected one line for each cell.",
            code="duplicate_names",
        )
    unmatched = cells[~matched]
    unused = table.index.difference(cells, sort=False)
    if len(unmatched):
        outcome = "have no values" if all_cells else "were dropped"
        log_note(
            f"{where}: {len(unmatched)} of {len(cells)} cells are not in it and {outcome} "
            f"({quote_names(list(unmatched))})"
        )
    if len(unused):
        log_note(
            f"{where}: {len(unused)} of {len(table)} barcodes in it are not in the counts "
            f"({quote_names(list(unused))})"
        )
    joined = adata[matched].copy() if len(unmatched) and not all_cells else adata
    rows = table.loc[~table.index.duplicated()].reindex(joined.obs_names.astype(str))
    for name in rows.columns:
        joined.obs[str(name)] = rows[name].to_numpy()
    return joined


def index_by_cell(cells: pd.Index, table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a table of cells with their names as index; without a header its first line is a row.

    If no index value is the name of a cell, the column with most names becomes the index, and the
    index becomes a column.
    """
    table = _restore_first_row(cells, table, where)
    table = table.set_axis(table.index.astype(str).rename(table.index.name))
    if cells.isin(table.index).any():
        return table
    hits = {name: int(cells.isin(table[name].astype(str)).sum()) for name in table.columns}
    best = max(hits, key=hits.__getitem__, default=None)
    if best is None or not hits[best]:
        return table
    log_note(f"{where}: joined by its column '{best}'")
    index = pd.Index(table[best].astype(str), dtype=object)
    rest = table.drop(columns=best)
    if table.index.name:
        rest.insert(0, str(table.index.name), table.index, allow_duplicates=True)
    return rest.set_axis(index)


def _restore_first_row(cells: pd.Index, table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table with its first line as a row if the file has no header.

    The first line is no header if one of its fields is the name of a cell, or if every field but
    the first occurs below it in its own column.
    """
    first = [str(table.index.name or ""), *map(str, table.columns)]
    repeated = len(table.columns) > 0 and all(
        str(name) in set(table[name].astype(str)) for name in table.columns
    )
    known = set(cells)
    place = next((i for i, field in enumerate(first) if field in known), 0 if repeated else None)
    if not first[0] or place is None:
        return table
    other = int(place == 0)
    names = [DEFAULT_LABEL_KEY, *(f"column{n}" for n in range(3, len(first) + 1))]
    below = zip(table.index, table.to_numpy().tolist(), strict=True)
    lines = [first, *([str(name), *row] for name, row in below)]
    log_note(
        f"{where}: no header line; its {'second' if other else 'first'} column is taken as "
        f"'{DEFAULT_LABEL_KEY}'"
    )
    rows = [[field for i, field in enumerate(line) if i != place] for line in lines]
    index = pd.Index([line[place] for line in lines], dtype=object)
    return pd.DataFrame(rows, columns=names, index=index, dtype=object)


def read_labels_by_position(path: Path, cells: pd.Index) -> pd.DataFrame:
    """Return the columns of a text with a line for each cell, in order; index = ``cells``.

    A single column without a header is named ``cell_type``. Raises ``DataError`` unless there is
    one line for each cell, and perhaps a header line.
    """
    with open_rows(path) as reader:
        separated = reader.sep != " "
        lines = [fields for _, fields in reader]
    if not separated:  # one label a line, with spaces inside
        with open_rows(path, "\t") as reader:
            lines = [fields for _, fields in reader]
    n_header, width = len(lines) - len(cells), len(lines[-1])
    if n_header not in (0, 1) or any(len(fields) != width for fields in lines):
        raise DataError(
            f"{path}: {len(lines)} lines for {len(cells)} cells; expected one line for "
            "each cell, all with as many fields, and perhaps a header line.",
            code="size_mismatch",
        )
    names = lines[0] if n_header else [f"column{number + 1}" for number in range(width)]
    if width == 1 and not n_header:
        names = [DEFAULT_LABEL_KEY]
    refuse_duplicate_columns(path, names, names)
    table = pd.DataFrame(lines[n_header:], columns=names, dtype=object)
    log_note(
        f"{path}: labels are taken by position, as asked: line {n_header + 1} is cell "
        f"'{cells[0]}', the last line is '{cells[-1]}'"
    )
    return table.mask(table.isin(_MISSING)).set_axis(cells.astype(str))


def _no_match_text(cells: pd.Index, table: pd.DataFrame) -> str:
    text = (
        f"none of its {len(table)} barcodes is the name of a cell (cells: "
        f"{quote_names(list(cells))}; barcodes: {quote_names(list(table.index))}); expected the "
        "same names"
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
        # Without their numbers, names such as "cell_1" are all equal.
        if left.isin(right).mean() > 0.5 and left.nunique() > len(left) / 2:
            return f"{text}; {what}: change the names in one of the files."
    return f"{text}."
