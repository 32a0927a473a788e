"""Delimited text with counts, read row by row into a sparse matrix."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import log_note, option_hint, printable_line

from .assemble import build_anndata
from .delimited import NUMBER, DelimitedRows, open_rows, refuse_duplicate_columns
from .guards import require_memory
from .metadata import is_metadata_name
from .orientation import OrientationFinding, find_orientation

if TYPE_CHECKING:
    from anndata import AnnData


Orientation = Literal["auto", "cells", "genes"]
_ZEROS = frozenset(["0", "0.0", "0.00", "0.000"])
_MISSING = frozenset(["", "NA", "NaN", "nan", "N/A", "null", "None"])
_CORNERS = frozenset(
    ["barcode", "barcodes", "cell", "cells", "cell_id", "entrez", "feature", "gene", "gene_id",
     "geneid", "gene_name", "genes", "id", "index", "name", "names", "peak", "symbol"]
)  # fmt: skip
_MANY = 20
"""This many counts of one row are hardly ever all different."""
_HEAD = 50
_SHOWN = 8
_LARGEST = 3e38
"""Largest sum of a row in float32; a comparison with it also finds NaN."""
_EVERY = 256


@dataclass
class _Table:
    """The names, counts and metadata of a text, in the layout of the file."""

    rows: list[str]
    columns: list[str]
    corner: str
    matrix: sp.csr_matrix
    extra: dict[str, list[str]] = field(default_factory=dict)
    """Columns of metadata."""


def read_text(
    path: Path,
    *,
    orientation: Orientation = "auto",
    obs_columns: Sequence[str] = (),
    sep: str | None = None,
) -> AnnData:
    """Return counts (CSR float32, cells × features) of a delimited text with a header line.

    The first column holds names. The header may have one name fewer than there are columns, as R
    writes it. ``orientation`` names the rows: ``cells``, ``genes`` (any features), or ``auto`` to
    decide by names, columns of text and totals. Metadata go to ``obs`` if cells are in rows, else
    to ``var``: the ``obs_columns``, columns of text, and columns with a usual name of metadata.
    The matrix stays sparse in memory, with 8 bytes for each count above zero. Raises ``DataError``
    with the line if the text is no table of counts, or if memory does not suffice.
    """
    with open_rows(path, sep) as reader:
        table = _read_table(path, reader, frozenset(obs_columns))
    _name_rows(path, table, frozenset(obs_columns))
    finding = _determine_orientation(path, table, orientation, obs_columns)
    _note_metadata(path, table, frozenset(obs_columns))
    extra = pd.DataFrame(table.extra, index=pd.Index(table.rows, dtype=object), dtype=object)
    other = pd.DataFrame(index=pd.Index(table.columns, dtype=object))
    if finding.features_in_rows:
        counts, obs, var = table.matrix.T.tocsr(), other, extra
        hint = f"if the header holds features, {option_hint(path, transpose=False)}"
    else:
        counts, obs, var = table.matrix, extra, other
        hint = f"if the first column holds features, {option_hint(path, transpose=True)}"
    return build_anndata(path, counts, obs, var, hint=hint)


def _name_rows(path: Path, table: _Table, metadata: frozenset[str]) -> None:
    """Name the rows of tables whose first column holds intervals, labels or counts."""
    lower = {name.lower(): name for name in table.extra}
    if table.corner.lower() in ("chr", "chrom", "chromosome") and {"start", "end"} <= set(lower):
        start, end = table.extra.pop(lower["start"]), table.extra.pop(lower["end"])
        table.rows = [f"{c}:{s}-{e}" for c, s, e in zip(table.rows, start, end, strict=True)]
        log_note(f"{path}: rows are named by their first three columns, as in {table.rows[0]}")
    elif len(set(table.rows)) == len(table.rows):
        return
    elif table.corner in metadata or is_metadata_name(table.corner):
        table.extra = {table.corner: table.rows, **table.extra}
        table.rows = [f"cell{number}" for number in range(1, len(table.rows) + 1)]
        log_note(f"{path}: the first column, '{table.corner}', holds no names; cells are numbered")
    elif all(NUMBER.match(name) for name in table.rows):
        raise DataError(
            f"{path}: the first column ('{table.corner}') holds numbers that repeat "
            f"({', '.join(table.rows[:3])}, ...), not names; expected names of rows; add them.",
            code="missing_names",
        )


def _note_metadata(path: Path, table: _Table, metadata: frozenset[str]) -> None:
    """Note the columns of numbers that are metadata by their names only."""
    columns = [
        f"'{name}'"
        for name, values in table.extra.items()
        if name not in metadata
        and is_metadata_name(name)
        and all(NUMBER.match(value) or value in _MISSING for value in values[:_HEAD])
    ]
    if columns:
        shown = ", ".join(columns[:_SHOWN]) + (", ..." if len(columns) > _SHOWN else "")
        log_note(
            f"{path}: read as metadata by name, not as counts: {shown}; rename a column that "
            "holds counts"
        )


def _determine_orientation(
    path: Path, table: _Table, orientation: Orientation, obs_columns: Sequence[str]
) -> OrientationFinding:
    if orientation != "auto":
        return OrientationFinding(features_in_rows=orientation == "genes", reason="by transpose=")
    named = [name for name in obs_columns if name in table.extra]
    if named:
        finding = OrientationFinding(
            features_in_rows=False, reason=f"column '{named[0]}' describes cells"
        )
    else:
        finding = find_orientation(table.rows, table.columns, list(table.extra), table.matrix)
    layout = "features in rows" if finding.features_in_rows else "cells in rows"
    other = option_hint(path, transpose=not finding.features_in_rows)
    word = "read with" if finding.sure else "assumed"
    log_note(f"{path}: {word} {layout} ({finding.reason}); if that is wrong, {other}")
    return finding


def _read_table(path: Path, reader: DelimitedRows, metadata: frozenset[str]) -> _Table:
    """Read all rows; the columns ``metadata`` stay text."""
    source = iter(reader)
    head = list(islice(source, _HEAD + 1))
    if len(head) < 2:
        raise DataError(
            f"{path}: {len(head)} lines; expected a header line and rows of counts.",
            code="empty_file",
        )
    (_, top), *head = head
    header = _header(path, top, head[0])
    text = _text_columns(header, [fields for _, fields in head], metadata)
    numeric = [i for i in range(1, len(header)) if i not in text]
    if not numeric:
        raise DataError(
            f"{path}: no column of counts after the first (columns: {', '.join(header[:5])}); "
            "expected names in the first column and counts in the others; give a table of counts.",
            code="no_counts",
        )
    refuse_duplicate_columns(path, header, [header[i] for i in text])
    return _read_rows(path, reader, chain(head, source), header, text)


def _read_rows(
    path: Path,
    reader: DelimitedRows,
    lines: Iterable[tuple[int, list[str]]],
    header: list[str],
    text: list[int],
) -> _Table:
    """Read the columns ``text`` as text and all others as counts."""
    numeric = [i for i in range(1, len(header)) if i not in text]
    pick = _picker(numeric, len(header))
    names: list[str] = []
    extra: dict[str, list[str]] = {header[i]: [] for i in text}
    data, indices, ends = array("f"), array("i"), array("q", [0])
    for line, fields in lines:
        if len(fields) != len(header):
            raise DataError(
                f"{path}: line {line}: {len(fields)} fields, expected {len(header)} as on the "
                "lines before; a separator inside a name (quote it) or an incomplete file?",
                code="invalid_line",
            )
        names.append(fields[0])
        for i in text:
            extra[header[i]].append(fields[i])
        values = pick(fields)
        places = [i for i, value in enumerate(values) if value not in _ZEROS]
        try:
            numbers = [float(values[i]) for i in places]
        except ValueError:
            numbers = [math.nan]
        if not abs(sum(numbers)) < _LARGEST or "_" in "".join([values[i] for i in places]):
            raise _count_error(path, line, header, fields, numeric)
        data.extend(numbers)
        indices.extend(places)
        ends.append(len(data))
        if len(names) % _EVERY == 0:
            # 8 bytes a count, and once more for the transposed matrix.
            require_memory(path, 16 * len(data) * (1 / max(reader.consumed(), 1e-3) - 1))
    columns = [header[i] for i in numeric]
    return _Table(names, columns, header[0], _matrix(data, indices, ends, len(columns)), extra)


def _matrix(
    data: array[float], indices: array[int], ends: array[int], width: int
) -> sp.csr_matrix:
    arrays = (
        np.frombuffer(data, dtype=np.float32),
        np.frombuffer(indices, dtype=np.int32),
        np.frombuffer(ends, dtype=np.int64),
    )
    matrix = sp.csr_matrix(arrays, shape=(len(ends) - 1, width))
    matrix.eliminate_zeros()
    return matrix


def _picker(numeric: list[int], width: int) -> Callable[[list[str]], Sequence[str]]:
    if numeric == list(range(numeric[0], width)):
        start = numeric[0]
        return lambda fields: fields[start:]
    if len(numeric) == 1:
        only = numeric[0]
        return lambda fields: (fields[only],)
    return itemgetter(*numeric)


def _header(path: Path, header: list[str], first: tuple[int, list[str]]) -> list[str]:
    """Return one name for each column; the first is that of the column of names."""
    line, fields = first
    if len(fields) < 2:
        raise DataError(
            f"{path}: line {line}: one field; expected names and counts between commas, tabs, "
            "semicolons, bars or spaces.",
            code="invalid_line",
        )
    if len(header) not in (len(fields), len(fields) - 1):
        raise DataError(
            f"{path}: line 1 has {len(header)} fields, line {line} has {len(fields)}; expected a "
            "header line with a name for each column (or, as R writes it, one fewer).",
            code="invalid_line",
        )
    names = header[len(header) - len(fields) + 1 :]
    corner = header[0] if len(header) == len(fields) else ""
    if all(NUMBER.match(name) for name in names) and not _may_be_names(names, corner):
        raise DataError(
            f"{path}: line 1 holds counts, not names ({', '.join(header[:4])}, ...); expected a "
            "header line; add one.",
            code="missing_header",
        )
    return [corner, *names]


def _may_be_names(names: list[str], corner: str) -> bool:
    """Return whether numbers in the first line are names: identifiers, or numbered cells.

    Identifiers are all different, below a first field that is empty or a usual header of names.
    """
    counted = [[str(i) for i in range(start, start + len(names))] for start in (0, 1)]
    distinct = len(set(names)) == len(names)
    known = not corner or corner.lower() in _CORNERS or len(names) >= _MANY
    return names in counted or (distinct and known and all(name.isdigit() for name in names))


def _text_columns(header: list[str], head: list[list[str]], metadata: frozenset[str]) -> list[int]:
    """Return the numbers of the columns of metadata: given, of a usual name, or mostly text."""
    columns = []
    for i, name in enumerate(header[1:], start=1):
        values = [fields[i] for fields in head if i < len(fields)]
        text = sum(not NUMBER.match(value) and value not in _MISSING for value in values)
        if name in metadata or is_metadata_name(name) or text > len(values) / 2:
            columns.append(i)
    return columns


def _count_error(
    path: Path, line: int, header: list[str], fields: list[str], numeric: list[int]
) -> DataError:
    if len(numeric) > 1 and not any(NUMBER.match(fields[i]) for i in numeric):
        return DataError(
            f"{path}: line {line} ('{fields[0]}') holds text ('{fields[numeric[0]]}', ...) where "
            "counts are expected; labels of cells in a row go to a second file: "
            f"{option_hint(path, labels='FILE')}.",
            code="not_a_number",
        )
    for i in numeric:
        if not NUMBER.match(fields[i]):
            what = f"'{printable_line(fields[i])}'" if fields[i].strip() else "nothing"
            return DataError(
                f"{path}: line {line}, column '{header[i]}': {what} where a number is expected; "
                "write 0 for no count; a column that describes cells is named as label_key or "
                "batch_key.",
                code="not_a_number",
            )
    return DataError(
        f"{path}: line {line}: a number is too large for a count.", code="not_a_number"
    )
