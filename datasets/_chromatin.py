"""Readers of the chromatin sets."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.data.formats import read_labels
from bench.errors import DataError

from ._labelled_counts import labelled_counts, read_labelled_file, text_column

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ._published import Published


def read_peaks(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return one ``.h5ad`` file of cells × peaks without the cells labelled ``without``."""
    (path,) = files.values()
    without = dataset.options.get("without", ())
    return read_labelled_file(path, "celltype", dataset, peaks=True, without=without)


def read_progenitors(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the fragments in peaks of the cells that a benchmark labels (GSE96769).

    Files: counts as triplets, a BED file of peaks, and a table of labels.
    """
    counts_path, peaks_path, labels_path = files.values()
    bed = pd.read_csv(peaks_path, sep="\t", header=None, usecols=[0, 1, 2])
    peaks = [f"{chromosome}:{start}-{end}" for chromosome, start, end in bed.to_numpy()]
    cells, counts = _read_triplets(counts_path, len(peaks))
    table = read_labels(labels_path)
    known = pd.Series(text_column(table, "label", labels_path), table.index)
    labels = known.reindex(cells).fillna("")
    if not (labels != "").any():
        raise DataError(
            f"{labels_path}: none of its {len(known)} cells (such as {known.index[0]}) is in "
            f"{counts_path} (such as {cells[0]}); expected the files of GSE96769 and of the "
            "benchmark, fetch them again.",
            code="unknown_cells",
        )
    return labelled_counts(
        counts,
        cells=cells,
        features=peaks,
        labels=labels.to_numpy(),
        label_key="cell_type",
        where=str(counts_path),
    )


def _read_triplets(path: Path, n_peaks: int) -> tuple[list[str], sp.csr_matrix]:
    """Return cell names and counts (cells × peaks) from triplets of peak, cell and count.

    The first line is ``#``, a tab and the names joined by ``;``. Numbers start at 1. Raises
    ``DataError`` for another first line, or a number without a name.
    """
    with gzip.open(path, "rt") as stream:
        mark, _, names = stream.readline().rstrip("\n").partition("\t")
        if not mark.startswith("#") or ";" not in names:
            raise DataError(
                f"{path}: line 1 starts with '{(mark + ' ' + names)[:40]}'; expected '#', a tab "
                "and the names of the cells joined by ';'; fetch the file again.",
                code="unreadable",
            )
        cells = names.split(";")
        table = pd.read_csv(stream, sep="\t", header=None, dtype=np.int32)
    peak, cell, count = (table[column].to_numpy() for column in range(3))
    for noun, numbers, limit in (("peak", peak, n_peaks), ("cell", cell, len(cells))):
        if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= limit):
            raise DataError(
                f"{path}: {noun} numbers from {numbers.min()} to {numbers.max()}; expected 1 to "
                f"{limit}: the files do not belong together, fetch them again.",
                code="size_mismatch",
            )
    shape = (len(cells), n_peaks)
    return cells, sp.csr_matrix((count.astype(np.float32), (cell - 1, peak - 1)), shape=shape)
