"""A MatrixMarket file with its names beside it, and the folder that Cell Ranger writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import log_note, option_hint, quote_names

from ..file_names import find_matrix_file, find_name_files
from .assemble import build_anndata
from .delimited import NUMBER, open_rows
from .guards import read_errors, require_memory
from .unpack import open_unpacked

if TYPE_CHECKING:
    from anndata import AnnData

    from .text import Orientation

FEATURE_TYPES = {"rna": "Gene Expression", "atac": "Peaks", "protein": "Antibody Capture"}
"""Parts of a 10x file with several kinds of features."""
_NAME_COLUMNS = ("gene_name", "gene_names", "gene_symbol", "symbol", "feature_name", "name")
"""Usual names of the column of names below a header line."""


def read_10x_mtx(folder: Path, *, part: str | None = None) -> AnnData:
    """Return counts (CSR float32, cells × features) of a folder written by Cell Ranger.

    Version 2 (``genes.tsv``) and 3 (``features.tsv.gz``), compressed or not, with or without a
    prefix before the three names. Feature names are the symbols; ``var["gene_ids"]`` holds the
    identifiers and ``var["feature_types"]`` the kinds. ``part`` (``rna``, ``atac``, ``protein``)
    selects one of several kinds; the default is gene expression. Raises ``DataError`` for a folder
    without exactly one matrix and its names.
    """
    adata = read_market(*find_name_files(find_matrix_file(folder)), orientation="genes")
    return select_features(adata, part, folder)


def read_market(
    matrix: Path,
    barcodes: Path,
    features: Path,
    identifiers: Path | None = None,
    *,
    orientation: Orientation = "auto",
) -> AnnData:
    """Return counts (CSR float32, cells × features) of a MatrixMarket file with their names.

    ``barcodes``: one name a line. ``features``: a name; or identifier, symbol and kind (10x); or
    chromosome, start and end. ``identifiers``: a second list, of the identifiers of the features.
    Below a header line further fields are columns of cells or features. The shape of the matrix
    shows whether a file has a header line, and whether features are in rows. ``orientation``
    decides for a square matrix; the default is features in rows. Raises ``DataError`` if sizes do
    not fit or a file cannot be read.
    """
    shape = _read_shape(matrix)
    cell_rows, feature_rows = (_read_names(path, max(shape)) for path in (barcodes, features))
    in_rows = _find_layout(matrix, shape, (cell_rows, feature_rows), orientation)
    if in_rows is None:
        raise DataError(
            f"{matrix}: {shape[0]} × {shape[1]}, but {barcodes.name} has "
            f"{len(cell_rows)} lines and {features.name} {len(feature_rows)}; expected one line "
            "for each row and column.",
            code="size_mismatch",
        )
    counts = _read_matrix(matrix)
    counts = (counts.T if in_rows else counts).tocsr()
    obs = _cell_table(cell_rows, counts.shape[0])
    var = _feature_table(feature_rows, counts.shape[1])
    if identifiers is not None:
        ids = [fields[0] for fields in _read_names(identifiers, max(shape))][-counts.shape[1] :]
        if len(ids) == len(var):
            var["gene_ids"] = ids
        else:
            log_note(f"{identifiers}: {len(ids)} lines for {len(var)} features; not used")
    return build_anndata(matrix, counts, obs, var, hint=f"look at {barcodes.name}")


def _find_layout(
    matrix: Path,
    shape: tuple[int, int],
    names: tuple[list[list[str]], list[list[str]]],
    orientation: Orientation,
) -> bool | None:
    """Return whether features are in rows, ``None`` if neither layout fits.

    ``names`` are those of cells and features, possibly with a header line.
    """
    cells, features = (len(rows) for rows in names)
    layouts = [
        in_rows
        for in_rows, (n_features, n_cells) in ((True, shape), (False, shape[::-1]))
        if features - n_features in (0, 1) and cells - n_cells in (0, 1)
    ]
    if len(layouts) == 2:
        if orientation == "auto":
            log_note(
                f"{matrix}: as many cells as features: assumed features in rows, as 10x writes "
                f"them; if that is wrong, {option_hint(matrix, transpose=False)}"
            )
        return orientation != "cells"
    if layouts and orientation != "auto" and layouts[0] != (orientation == "genes"):
        side = "features" if layouts[0] else "cells"
        log_note(f"{matrix}: {side} in rows, by the number of names beside it")
    return layouts[0] if layouts else None


def select_features(adata: AnnData, part: str | None, where: Path) -> AnnData:
    """Return the features of one kind, if a 10x file holds several kinds."""
    kinds = list(dict.fromkeys(adata.var.get("feature_types", [])))
    if part is None:
        if len(kinds) < 2:
            return adata
        part = "rna" if FEATURE_TYPES["rna"] in kinds else str(kinds[0])
        log_note(
            f"{where}: holds {', '.join(kinds)}; took {FEATURE_TYPES.get(part, part)}; for "
            f"another, {option_hint(where, part='atac')} or {option_hint(where, part='protein')}"
        )
    kind = FEATURE_TYPES.get(part, part)
    if kind not in kinds:
        raise DataError(
            f"{where}: no features of the kind '{kind}' (part={part}); its kinds: "
            f"{quote_names(kinds) or 'none'}.",
            code="unknown_part",
        )
    return adata[:, (adata.var["feature_types"] == kind).to_numpy()].copy()


@contextlib.contextmanager
def _open_matrix(path: Path) -> Iterator[_Forward]:
    with read_errors(path, "MatrixMarket file"), path.open("rb") as raw:
        if not raw.read(1):
            raise EOFError("the file is empty")
        raw.seek(0)
        with open_unpacked(path, raw) as stream:
            yield _Forward(stream)


class _Forward:
    """A stream without ``seek``: SciPy seeks to wrong positions in streams that allow it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read


def _read_shape(path: Path) -> tuple[int, int]:
    """Return the numbers of rows and columns; raises ``DataError`` if memory does not suffice."""
    with _open_matrix(path) as stream:
        height, width, entries, layout, _, _ = scipy.io.mminfo(stream)
    # Row, column and value of each entry as read, then the compressed matrix.
    require_memory(path, entries * (32 if layout == "coordinate" else 16))
    return int(height), int(width)


def _read_matrix(path: Path) -> sp.coo_matrix:
    with _open_matrix(path) as stream:
        return sp.coo_matrix(scipy.io.mmread(stream)).astype(np.float32)


def _read_names(path: Path, most: int) -> list[list[str]]:
    """Return the fields of each line; tabs separate them, or commas in a .csv.

    At most ``most`` + 2 lines are read, enough to see that there are too many.
    """
    sep = "," if ".csv" in path.suffixes else "\t"
    with open_rows(path, sep) as reader:
        lines = [fields for _, fields in islice(reader, most + 2)]
    numbers = [str(number) for number in range(1, len(lines))]
    if lines and len(lines[0]) > 1 and [fields[0] for fields in lines[1:]] == numbers:
        return [fields[1:] for fields in lines]  # row numbers of R, below a header
    return lines


def _cell_table(lines: list[list[str]], n_cells: int) -> pd.DataFrame:
    """Return the table of cells: names as index; if there is a header, other fields as columns."""
    header, rows = lines[:-n_cells], lines[-n_cells:]
    columns = {}
    if header and all(len(fields) == len(header[0]) for fields in rows):
        columns = {name: [fields[i] for fields in rows] for i, name in enumerate(header[0]) if i}
    return pd.DataFrame(columns, index=pd.Index([fields[0] for fields in rows], dtype=object))


def _feature_table(lines: list[list[str]], n_features: int) -> pd.DataFrame:
    """Return the table of features: names as index, their other fields as columns."""
    header, lines = lines[:-n_features], lines[-n_features:]
    width = min((len(fields) for fields in lines), default=1)
    if header and len(header[0]) == width:
        usual = {name.lower(): i for i, name in enumerate(header[0])}
        place = next((usual[name] for name in _NAME_COLUMNS if name in usual), 0)
        columns = {
            "gene_ids" if name.lower() == "gene_id" else name: [fields[i] for fields in lines]
            for i, name in enumerate(header[0])
            if i != place
        }
        return pd.DataFrame(columns, index=pd.Index([one[place] for one in lines], dtype=object))
    if width >= 3 and all(NUMBER.match(value) for value in lines[0][1:3]):
        return pd.DataFrame(index=[f"{chrom}:{start}-{end}" for chrom, start, end, *_ in lines])
    if width == 1:
        return pd.DataFrame(index=pd.Index([fields[0] for fields in lines], dtype=object))
    table = {"gene_ids": [fields[0] for fields in lines]}
    if width >= 3:
        table["feature_types"] = [fields[2] for fields in lines]
    return pd.DataFrame(table, index=pd.Index([fields[1] for fields in lines], dtype=object))
