"""A MatrixMarket file with its names beside it, and the folder that Cell Ranger writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

from bench.errors import DataError
from bench.messages import log_note

from ..file_names import find_matrix, find_names
from .assemble import assemble
from .delimited import NUMBER, rows
from .memory_guard import require
from .orientation import instead
from .text import Orientation

if TYPE_CHECKING:
    from anndata import AnnData


TYPES = {"rna": "Gene Expression", "atac": "Peaks", "protein": "Antibody Capture"}
"""Parts of a 10x file with several kinds of features."""


def read_10x_mtx(folder: Path, *, part: str | None = None) -> AnnData:
    """Return counts (CSR float32, cells × features) of a folder written by Cell Ranger.

    Version 2 (``genes.tsv``) and 3 (``features.tsv.gz``), compressed or not, with or without a
    prefix before the three names. Feature names are the symbols; ``var["gene_ids"]`` keeps the
    identifiers and ``var["feature_types"]`` the kinds. Of several kinds ``part`` (``rna``,
    ``atac``, ``protein``) is taken, else gene expression, which is said.
    Raises ``DataError`` for a folder without exactly one matrix and the names for it.
    """
    matrix, barcodes, features = find_names(find_matrix(Path(folder)))
    adata = read_market(matrix, barcodes, features, orientation="genes")
    return pick_features(adata, part, matrix.parent)


def read_market(
    matrix: Path, barcodes: Path, features: Path, *, orientation: Orientation = "auto"
) -> AnnData:
    """Return counts (CSR float32, cells × features) of a MatrixMarket file and its names.

    ``barcodes``: one name a line. ``features``: a name; or identifier, symbol and kind (10x); or
    chromosome, start and end. A header line in either is recognised by the size of the matrix,
    which also says whether features are in rows; a square one is taken as ``orientation`` says,
    else features in rows. Raises ``DataError`` if sizes do not fit or a file cannot be read.
    """
    counts = _read_matrix(Path(matrix))
    cell_rows, feature_rows = _read_names(Path(barcodes)), _read_names(Path(features))
    cells_fit = _fits(len(cell_rows), counts.shape)
    features_fit = _fits(len(feature_rows), counts.shape)
    layouts = [
        in_rows
        for in_rows in (True, False)
        if features_fit[0 if in_rows else 1] and cells_fit[1 if in_rows else 0]
    ]
    if not layouts:
        raise DataError(
            f"{matrix}: {counts.shape[0]} × {counts.shape[1]}, but {Path(barcodes).name} has "
            f"{len(cell_rows)} lines and {Path(features).name} {len(feature_rows)}; expected one "
            "line for each row and column."
        )
    in_rows = layouts[0]
    if len(layouts) == 2:
        in_rows = orientation != "cells"
        if orientation == "auto":
            log_note(
                f"{matrix}: as many cells as features: assumed features in rows, as 10x writes "
                f"them; if that is wrong, {instead(False)}"
            )
    elif orientation != "auto" and in_rows != (orientation == "genes"):
        side = "features" if in_rows else "cells"
        log_note(f"{matrix}: {side} in rows, by the number of names, not as told")
    cell_rows = cell_rows[-counts.shape[1 if in_rows else 0] :]
    feature_rows = feature_rows[-counts.shape[0 if in_rows else 1] :]
    var = _describe(feature_rows)
    obs = pd.DataFrame(index=pd.Index([fields[0] for fields in cell_rows], dtype=object))
    return assemble(
        Path(matrix),
        (counts.T if in_rows else counts).tocsr(),
        obs,
        var,
        hint=f"look at {Path(barcodes).name}",
    )


def pick_features(adata: AnnData, part: str | None, where: Path) -> AnnData:
    """Return the features of one kind of a 10x file that holds several."""
    kinds = list(dict.fromkeys(adata.var.get("feature_types", [])))
    if part is None:
        if len(kinds) < 2:
            return adata
        part = "rna" if TYPES["rna"] in kinds else str(kinds[0])
        log_note(
            f"{where}: holds {', '.join(kinds)}; took {TYPES.get(part, part)}; for another pass "
            "part=atac or part=protein"
        )
    kind = TYPES.get(part, part)
    if kind not in kinds:
        there = ", ".join(f"'{name}'" for name in kinds) or "none"
        raise DataError(
            f"{where}: no features of the kind '{kind}' (part={part}); kinds there: {there}."
        )
    return adata[:, (adata.var["feature_types"] == kind).to_numpy()].copy()


def _fits(lines: int, shape: tuple[int, int]) -> tuple[bool, bool]:
    """Say for rows and columns whether there are as many names, or one more (a header)."""
    return lines - shape[0] in (0, 1), lines - shape[1] in (0, 1)


def _read_matrix(path: Path) -> sp.coo_matrix:
    try:
        _, _, entries, layout, _, _ = scipy.io.mminfo(path)
        # Row, column and value of each entry as read, then the compressed matrix.
        require(path, entries * (32 if layout == "coordinate" else 16))
        matrix = sp.coo_matrix(scipy.io.mmread(path))
    except DataError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: not a readable MatrixMarket file: {text}; an incomplete or damaged file?"
        ) from None
    return matrix.astype(np.float32)


def _read_names(path: Path) -> list[list[str]]:
    """Return the fields of each line; names are separated by tabs, or commas in a .csv."""
    sep = "," if ".csv" in path.suffixes else "\t"
    with rows(path, sep) as reader:
        lines = [fields for _, fields in reader]
    numbers = [str(number) for number in range(1, len(lines))]
    if lines and len(lines[0]) > 1 and [fields[0] for fields in lines[1:]] == numbers:
        return [fields[1:] for fields in lines]  # row numbers of R, below a header
    return lines


def _describe(lines: list[list[str]]) -> pd.DataFrame:
    """Return the table of features: names as index, what else the file says as columns."""
    width = min((len(fields) for fields in lines), default=1)
    if width >= 3 and all(NUMBER.match(value) for value in lines[0][1:3]):
        return pd.DataFrame(index=[f"{chrom}:{start}-{end}" for chrom, start, end, *_ in lines])
    if width == 1:
        return pd.DataFrame(index=pd.Index([fields[0] for fields in lines], dtype=object))
    table = {"gene_ids": [fields[0] for fields in lines]}
    if width >= 3:
        table["feature_types"] = [fields[2] for fields in lines]
    return pd.DataFrame(table, index=pd.Index([fields[1] for fields in lines], dtype=object))
