"""Paired data: genes and peaks of the same cells, as a ``MuData`` with ``rna`` and ``atac``.

Facts of features that a method may see (``FACTS``) travel in ``var`` of each part; nothing else
of ``var`` does.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from bench.contract.genome import peak_intervals, ucsc_chromosome
from bench.contract.recipe import (
    ATAC,
    RNA,
)
from bench.errors import DataError

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
    """Return both parts as one object, cells in the order of ``rna``; columns stay with the parts.

    Raises ``DataError`` if the cells are not the same in the same order.
    """
    import mudata

    check_cells(rna, atac, "paired data")
    with warnings.catch_warnings(), mudata.set_options(pull_on_update=False):
        warnings.simplefilter("ignore")
        return mudata.MuData({RNA: rna, ATAC: atac})


def select_cells(data: AnnData | MuData, rows: np.ndarray | slice) -> Any:
    """Return the cells of a mask, slice or row numbers, copied; of both parts if paired."""
    if is_paired(data):
        return pair_data(*(data[part][rows].copy() for part in PARTS))
    chosen = data[rows]
    return chosen.to_memory() if chosen.isbacked else chosen.copy()


def write_pair(data: MuData, path: Path) -> None:
    """Write paired data as ``.h5mu``; raises ``DataError`` if the disk refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces changes of its defaults
        try:
            data.write_h5mu(path, compression="gzip")
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}.") from None


def is_paired(data: Any) -> bool:
    """Return whether data are a ``MuData``."""
    return hasattr(data, "mod")


def cells_of(data: AnnData | MuData) -> AnnData:
    """Return what holds the columns of cells: the genes of paired data, else the data."""
    found: AnnData = data[RNA] if is_paired(data) else data
    return found


def matrices_of(data: AnnData | MuData) -> list[AnnData]:
    """Return both parts of paired data, else the data alone."""
    return [data[part] for part in PARTS] if is_paired(data) else [cells_of(data)]


def check_parts(data: Any, where: str) -> None:
    """Raise ``DataError`` unless data are genes and peaks of the same cells in the same order."""
    there = sorted(data.mod) if is_paired(data) else []
    if there != sorted(PARTS):
        held = f"the modalities {', '.join(there)}" if there else "one matrix"
        raise DataError(
            f"{where}: holds {held}; paired data are a MuData with exactly 'rna' and 'atac'."
        )
    check_cells(data[RNA], data[ATAC], where)


def check_cells(rna: AnnData, atac: AnnData, where: str) -> None:
    """Raise ``DataError`` unless both parts have the same cells in the same order."""
    import numpy as np

    one, other = rna.obs_names, atac.obs_names
    if one.equals(other):
        return
    lost = [name for mine, theirs in ((one, other), (other, one))
            for name in mine[~mine.isin(theirs)]]  # fmt: skip
    if lost:
        raise DataError(
            f"{where}: barcodes of rna ({len(one)} cells) and atac ({len(other)} cells) are not "
            f"equal: {len(lost)} are in one of them only, the first is '{lost[0]}'; keep the "
            "cells of both, in one order."
        )
    shared = min(len(one), len(other))
    apart = np.flatnonzero(one[:shared] != other[:shared])
    first = f"'{one[apart[0]]}' and '{other[apart[0]]}'" if len(apart) else "repeated barcodes"
    raise DataError(
        f"{where}: the cells of rna and atac are in another order: {len(apart)} places differ, "
        f"first {first}; bring them into one order, for example atac = atac[rna.obs_names]."
    )


def decode_bases(values: np.ndarray) -> np.ndarray:
    """Return bases, kept as one byte each, as text."""
    return values.astype("U") if values.dtype.kind == "S" else values


def read_feature_columns(var: pd.DataFrame, part: str, where: str) -> dict[str, np.ndarray]:
    """Return the facts of a part's features that are known, each (features,), in plain types.

    Positions of peaks that ``var`` does not say are taken from the names, if all say them.
    Raises ``DataError`` for a column that is not what ``FACTS`` says.
    """
    table = var
    if part == ATAC and not {"chrom", "start", "end"} <= set(var.columns):
        sites, bad = peak_intervals(var.index)
        if not bad:
            table = var.drop(columns=["chrom", "start", "end"], errors="ignore").join(sites)
    return {
        name: _plain(table[name], kind, f"{where}: var['{name}'] of {part}")
        for name, kind in FACTS[part].items()
        if name in table
    }


def _plain(column: pd.Series, kind: str, what: str) -> np.ndarray:
    import numpy as np
    import pandas as pd

    if kind == "number":
        numbers = pd.to_numeric(column, errors="coerce").fillna(-1).to_numpy(dtype=float)
        if (numbers != np.rint(numbers)).any():
            raise DataError(f"{what} has values that are no positions; expected whole numbers.")
        return numbers.astype(np.int64)
    text = column.astype(object).where(column.notna(), "").astype(str)
    if kind == "bases":
        windows = text.str.upper()
        widths = windows.str.len().unique()
        if len(widths) != 1 or widths[0] == 0 or not all(map(str.isascii, windows)):
            raise DataError(
                f"{what} has texts of {len(widths)} lengths ({', '.join(map(str, widths[:3]))}); "
                "expected DNA of one window: bench data annotate --genome FASTA."
            )
        return windows.to_numpy().astype(np.bytes_)
    if column.name == "chrom":
        names = {name: ucsc_chromosome(name) for name in text.unique()}
        return text.map(names).to_numpy().astype(np.str_)
    signs = text.where(text.isin(["+", "-"]), ".")
    return signs.to_numpy().astype(np.str_)
