"""Delimited text with counts, read row by row into a sparse matrix."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import DataError

from .lines import NUMBER, Rows, Say, rows, silent
from .memory import require
from .orientation import Decision, decide

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData

Orientation = Literal["auto", "cells", "genes"]
_ZEROS = frozenset(["0", "0.0", "0.00", "0.000"])
_MISSING = frozenset(["", "NA", "NaN", "nan", "N/A", "null", "None"])
_HEAD = 50
_EVERY = 256
_METADATA = frozenset(
    [
        "barcode", "barcodes", "batch", "cell_type", "celltype", "cell_types", "cluster",
        "clusters", "assigned_cluster", "donor", "label", "labels", "leiden", "louvain", "sample",
        "chr", "chrom", "chromosome", "start", "end", "strand",
    ]
)  # fmt: skip
"""Columns that describe cells or features even where they hold numbers."""


@dataclass
class _Table:
    """A text as it lies in the file."""

    rows: list[str]
    columns: list[str]
    corner: str
    matrix: sp.csr_matrix
    extra: dict[str, list[str]] = field(default_factory=dict)
    """Columns that are no counts."""


def read_text(
    path: Path,
    *,
    orientation: Orientation = "auto",
    obs_columns: Sequence[str] = (),
    sep: str | None = None,
    say: Say = silent,
) -> AnnData:
    """Return counts (CSR float32, cells × features) out of a delimited text with a header line.

    The text may be compressed (gzip, zip with one file, bzip2, xz). The first column holds names;
    a header with one name fewer than there are columns (R) is understood. ``orientation`` says
    what is in rows: ``cells``, ``genes`` (any features), or ``auto``, which looks at names,
    columns of text and totals and says through ``say`` what it found. Columns of text, those
    named in ``obs_columns`` and those with a usual name of metadata go to ``obs`` if cells are in
    rows, else to ``var``; one that is not there is no error here. The dense matrix is never in
    memory: 8 bytes for each count above zero.

    Raises ``DataError`` with the line for anything that is no table of counts, and if the counts
    need more memory than there is.
    """
    import pandas as pd
    from anndata import AnnData

    path = Path(path)
    with rows(path, sep) as reader:
        table = _read(path, reader, frozenset(obs_columns))
    decision = _decide(path, table, orientation, obs_columns, say)
    extra = pd.DataFrame(table.extra, index=pd.Index(table.rows, dtype=object), dtype=object)
    other = pd.DataFrame(index=pd.Index(table.columns, dtype=object))
    if decision.features_in_rows:
        adata = AnnData(table.matrix.T.tocsr(), obs=other, var=extra)
    else:
        adata = AnnData(table.matrix, obs=extra, var=other)
    _unique_cells(path, adata, "the header" if decision.features_in_rows else "the first column")
    unique_features(path, adata, say)
    return adata


def unique_features(where: Path, adata: AnnData, say: Say) -> None:
    """Make feature names unique by a suffix and say how many were not."""
    names = adata.var_names
    twice = names[names.duplicated()].unique()
    if len(twice):
        shown = ", ".join(f"'{name}'" for name in twice[:3]) + (", ..." if len(twice) > 3 else "")
        say(
            f"{where}: {len(twice)} feature names occur more than once ({shown}); the later ones "
            "got a suffix (-1, -2, ...)"
        )
        adata.var_names_make_unique()


def _unique_cells(path: Path, adata: AnnData, place: str) -> None:
    names = adata.obs_names
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{path}: {len(twice)} names of cells occur more than once (first '{twice[0]}'); "
            f"expected different names in {place}; if features are there, pass transpose="
            f"{'false' if place == 'the header' else 'true'}."
        )


def _decide(
    path: Path, table: _Table, orientation: Orientation, obs_columns: Sequence[str], say: Say
) -> Decision:
    if orientation != "auto":
        return Decision(orientation == "genes", "as told")
    named = [name for name in obs_columns if name in table.extra]
    if named:
        decision = Decision(False, f"column '{named[0]}' describes cells")
    else:
        decision = decide(table.rows, table.columns, list(table.extra), table.matrix)
    layout = "features in rows" if decision.features_in_rows else "cells in rows"
    force = "false" if decision.features_in_rows else "true"
    word = "read with" if decision.sure else "assumed"
    say(f"{path}: {word} {layout} ({decision.reason}); if that is wrong, pass transpose={force}")
    return decision


def _read(path: Path, reader: Rows, wanted: frozenset[str]) -> _Table:
    """Read all rows; ``wanted`` columns are kept as text."""
    source = iter(reader)
    top = next(source, None)
    if top is None:
        raise DataError(f"{path}: no lines; expected a header line and rows of counts.")
    head = [row for _, row in zip(range(_HEAD), source, strict=False)]
    if not head:
        raise DataError(f"{path}: one line only; expected a header line and rows of counts.")
    header = _header(path, top[1], head[0])
    kept = _text_columns(header, [fields for _, fields in head], wanted)
    numeric = [i for i in range(1, len(header)) if i not in kept]
    if not numeric:
        raise DataError(
            f"{path}: no column of numbers after the first; expected counts (columns: "
            f"{', '.join(header[:5])})."
        )
    pick = _picker(numeric, len(header))
    names: list[str] = []
    extra: dict[str, list[str]] = {header[i]: [] for i in kept}
    data, indices, ends = array("f"), array("i"), array("q", [0])
    for line, fields in chain(head, source):
        if len(fields) != len(header):
            raise DataError(
                f"{path}: line {line}: {len(fields)} fields, expected {len(header)} as on the "
                "lines before; a separator inside a name (quote it) or an incomplete file?"
            )
        names.append(fields[0])
        for i in kept:
            extra[header[i]].append(fields[i])
        values = pick(fields)
        places = [i for i, value in enumerate(values) if value not in _ZEROS]
        try:
            numbers = [float(values[i]) for i in places]
        except ValueError:
            numbers = [math.nan]
        if not math.isfinite(sum(numbers)) or "_" in "".join([values[i] for i in places]):
            raise _bad_cell(path, line, header, fields, numeric)
        data.extend(numbers)
        indices.extend(places)
        ends.append(len(data))
        if len(names) % _EVERY == 0:
            # 8 bytes a count, and once more for the transposed matrix.
            require(path, 16 * len(data) * (1 / max(reader.consumed(), 1e-3) - 1))
    columns = [header[i] for i in numeric]
    return _Table(names, columns, header[0], _matrix(data, indices, ends, len(columns)), extra)


def _matrix(
    data: array[float], indices: array[int], ends: array[int], width: int
) -> sp.csr_matrix:
    import numpy as np
    import scipy.sparse as sp

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
            "semicolons, bars or spaces."
        )
    if len(header) not in (len(fields), len(fields) - 1):
        raise DataError(
            f"{path}: line 1 has {len(header)} fields, line {line} has {len(fields)}; expected a "
            "header line with a name for each column (or, as R writes it, one fewer)."
        )
    names = header[len(header) - len(fields) + 1 :]
    if len(names) > 1 and all(NUMBER.match(n) for n in names) and len(set(names)) < len(names):
        raise DataError(
            f"{path}: line 1 holds counts, not names ({', '.join(header[:4])}, ...); expected a "
            "header line; add one."
        )
    corner = header[0] if len(header) == len(fields) else ""
    return [corner, *names]


def _text_columns(header: list[str], head: list[list[str]], wanted: frozenset[str]) -> list[int]:
    """Return the columns that hold no counts: wanted, usual names, or mostly text."""
    found = []
    for i, name in enumerate(header[1:], start=1):
        values = [fields[i] for fields in head if i < len(fields)]
        text = sum(not NUMBER.match(value) and value not in _MISSING for value in values)
        if name in wanted or name.lower() in _METADATA or text > len(values) / 2:
            found.append(i)
    return found


def _bad_cell(
    path: Path, line: int, header: list[str], fields: list[str], numeric: list[int]
) -> DataError:
    for i in numeric:
        if not NUMBER.match(fields[i]):
            what = f"'{fields[i]}'" if fields[i].strip() else "nothing"
            return DataError(
                f"{path}: line {line}, column '{header[i]}': {what} where a number is expected; "
                "write 0 for no count; a column that describes cells is named as label_key or "
                "batch_key."
            )
    return DataError(f"{path}: line {line}: a number is too large for a count.")
