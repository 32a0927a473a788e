"""Paired data: genes and peaks of the same cells, as a ``MuData`` with ``rna`` and ``atac``.

Facts of features that a method may see (``FACTS``) are columns of ``var`` of each part; other
columns of ``var`` do not reach it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.errors import DataError

from .genome import peak_intervals, ucsc_chromosome
from .recipe import ATAC, RNA

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

PARTS = (RNA, ATAC)
"""Names of the modalities, in their order."""
FACTS = {
    RNA: {"chrom": "text", "strand": "text", "tss": "number"},
    ATAC: {"chrom": "text", "start": "number", "end": "number", "sequence": "bases"},
}
"""Columns of ``var`` that reach a method. Genes: chromosome (empty: unknown), strand (``+``,
``-``, ``.``) and TSS (0-based, -1: unknown). Peaks: chromosome, start and end (0-based, the end
not included), and DNA of a fixed window, in capitals."""


def pair_data(rna: AnnData, atac: AnnData) -> MuData:
    """Return genes and peaks of the same cells as one ``MuData``.

    Parameters
    ----------
    rna, atac
        The parts, cells × genes and cells × peaks; columns of ``obs`` and ``var`` stay with them.

    Raises
    ------
    DataError
        Unless both have the same cells in the same order.
    """
    import mudata

    check_cells(rna, atac, "paired data")
    with warnings.catch_warnings(), columns_as_they_are():
        warnings.simplefilter("ignore")
        return mudata.MuData({RNA: rna, ATAC: atac})


@contextmanager
def columns_as_they_are() -> Iterator[None]:
    """Let mudata leave columns of parts where they are.

    Its own context manager sets up the log of the whole process.
    """
    import mudata

    options = mudata.set_options(pull_on_update=False)
    try:
        yield
    finally:
        mudata.set_options(**options.opts)


def select_cells(data: AnnData | MuData, rows: np.ndarray | slice) -> Any:
    """Return a copy of some cells, of paired data with both parts.

    Parameters
    ----------
    data
        One matrix, also backed by a file, or paired data.
    rows
        Mask, slice or numbers of the cells.
    """
    if is_paired(data):
        return pair_data(*(data[part][rows].copy() for part in PARTS))
    selected = data[rows]
    return selected.to_memory() if selected.isbacked else selected.copy()


def write_pair(data: MuData, path: Path) -> None:
    """Write paired data as ``.h5mu``; raises ``DataError`` if writing fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces changes of its defaults
        try:
            data.write_h5mu(path, compression="gzip")
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written: {error.strerror or error}.", code="not_writable"
            ) from None


def is_paired(data: Any) -> bool:
    """Return whether data are a ``MuData``."""
    return hasattr(data, "mod")


def cells_of(data: AnnData | MuData) -> AnnData:
    """Return the object whose ``obs`` describes the cells: ``rna`` of paired data, else the data.

    Parameters
    ----------
    data
        One matrix or paired data.
    """
    cells: AnnData = data[RNA] if is_paired(data) else data
    return cells


def matrices_of(data: AnnData | MuData) -> list[AnnData]:
    """Return ``rna`` and ``atac`` of paired data, else a list with the data alone."""
    return [data[part] for part in PARTS] if is_paired(data) else [cells_of(data)]


def check_parts(data: Any, where: str) -> None:
    """Raise ``DataError`` unless data are genes and peaks of the same cells in the same order."""
    parts = sorted(data.mod) if is_paired(data) else []
    if parts != sorted(PARTS):
        content = f"the modalities {', '.join(parts)}" if parts else "one matrix"
        raise DataError(
            f"{where}: holds {content}; paired data are a MuData with exactly 'rna' and 'atac'.",
            code="wrong_modality",
        )
    check_cells(data[RNA], data[ATAC], where)


def check_cells(rna: AnnData, atac: AnnData, where: str) -> None:
    """Check that both parts have the same cells in the same order.

    Parameters
    ----------
    rna, atac
        The parts.
    where
        Name of the data in messages.

    Raises
    ------
    DataError
        With the number of cells that differ and the first of them.
    """
    import numpy as np

    names, others = rna.obs_names, atac.obs_names
    if names.equals(others):
        return
    unmatched = [*names[~names.isin(others)], *others[~others.isin(names)]]
    if unmatched:
        raise DataError(
            f"{where}: barcodes of rna ({len(names)} cells) and atac ({len(others)} cells) are "
            f"not equal: {len(unmatched)} are in one of them only, the first is "
            f"'{unmatched[0]}'; keep the cells of both, in one order.",
            code="different_cells",
        )
    shared = min(len(names), len(others))
    apart = np.flatnonzero(names[:shared] != others[:shared])
    first = "repeated barcodes"
    if len(apart):
        first = f"'{names[apart[0]]}' and '{others[apart[0]]}'"
    raise DataError(
        f"{where}: the cells of rna and atac are in another order: {len(apart)} places differ, "
        f"first {first}; bring them into one order.",
        code="different_order",
    )


def decode_bases(values: np.ndarray) -> np.ndarray:
    """Return DNA stored as bytes as text; other values are returned unchanged."""
    return values.astype("U") if values.dtype.kind == "S" else values


def read_feature_columns(var: pd.DataFrame, part: str, where: str) -> dict[str, np.ndarray]:
    """Return the known facts of a part's features (see ``FACTS``), each of shape (n_features,).

    Without the columns ``chrom``, ``start`` and ``end``, positions of peaks are read from their
    names. Raises ``DataError`` for a column that is not what ``FACTS`` describes.
    """
    table = var
    if part == ATAC and not {"chrom", "start", "end"} <= set(var.columns):
        intervals, invalid = peak_intervals(var.index)
        if not invalid:
            table = var.drop(columns=["chrom", "start", "end"], errors="ignore").join(intervals)
    readers = {"number": _read_numbers, "bases": _read_bases, "text": _read_text}
    return {
        name: readers[kind](table[name], f"{where}: var['{name}'] of {part}")
        for name, kind in FACTS[part].items()
        if name in table
    }


def _read_numbers(column: pd.Series, where: str) -> np.ndarray:
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").fillna(-1).to_numpy(dtype=float)
    if (numbers != np.rint(numbers)).any():
        raise DataError(
            f"{where} has values that are not whole numbers; expected positions in bases.",
            code="invalid_column",
        )
    return numbers.astype(np.int64)


def _read_bases(column: pd.Series, where: str) -> np.ndarray:
    windows = _as_text(column).str.upper()
    widths = windows.str.len().unique()
    if len(widths) != 1 or widths[0] == 0 or not all(map(str.isascii, windows)):
        raise DataError(
            f"{where} has texts of {len(widths)} lengths ({', '.join(map(str, widths[:3]))}); "
            "expected DNA of one window: bench data annotate --genome FASTA.",
            code="invalid_column",
        )
    return windows.to_numpy().astype("S")


def _read_text(column: pd.Series, where: str) -> np.ndarray:
    """Return chromosomes by their UCSC names, or strands."""
    text = _as_text(column)
    if column.name == "chrom":
        names = {name: ucsc_chromosome(name) for name in text.unique()}
        return text.map(names).to_numpy().astype("U")
    return text.where(text.isin(["+", "-"]), ".").to_numpy().astype("U")


def _as_text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str)
