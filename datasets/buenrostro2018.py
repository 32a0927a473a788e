"""Human blood progenitors sorted by surface markers, single-cell chromatin (GSE96769)."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from bench.contract import ATAC, Card, RemoteFile
from bench.errors import DataError

from ._chromatin import assemble, column
from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    import scipy.sparse as sp
    from anndata import AnnData

_GEO = "https://ftp.ncbi.nlm.nih.gov/geo/series/GSE96nnn/GSE96769/suppl/"
_BENCHMARK = (
    "pinellolab/scATAC-benchmarking",
    "5e1e21689745e2f797c2f42788a0ed7cd6372503",
    "Real_Data/Buenrostro_2018/input/metadata.tsv",
)
_COUNTS, _PEAKS = "GSE96769_scATACseq_counts.txt.gz", "GSE96769_PeakFile_20160207.bed.gz"
_LABELS = "Buenrostro_2018_metadata.tsv"
"""Called metadata.tsv there, a name that other sets have too."""


class Buenrostro2018(Published):
    """Ten populations of human bone marrow and blood, sorted, then measured on Fluidigm C1.

    The counts are the authors' own (2,953 cells × 491,437 peaks of 500 bases); the cells and
    their types are those of the benchmark of Chen et al. 2019, which dropped the rest. The labels
    are sorting gates, independent of the chromatin, but progenitors form a continuum: neighbouring
    gates (HSC, MPP, LMPP, CMP) overlap, UNK is a gate without a known population, and donors and
    plates differ between gates.
    """

    name = "buenrostro2018"
    card = Card(
        modality=ATAC,
        summary="2,034 sorted human blood progenitors in ten populations",
        label_key="cell_type",
        n_cells=2034,
        n_features=491437,
        n_types=10,
        organism="human",
        reference="Buenrostro et al. 2018, Cell 173:1535, doi 10.1016/j.cell.2018.03.074; "
        "cells as in Chen et al. 2019, Genome Biology 20:241, doi 10.1186/s13059-019-1854-5",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE96769",
        licence="none stated (GEO, and the repository of the benchmark)",
        labels_from="cell sorting by surface markers",
        tags=("blood", "sorted"),
        files=(
            RemoteFile(_COUNTS, _GEO + _COUNTS),
            RemoteFile(_PEAKS, _GEO + _PEAKS),
            RemoteFile(_LABELS, "https://raw.githubusercontent.com/" + "/".join(_BENCHMARK)),
        ),
        documented="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE96769 (files); "
        "https://github.com/zakieh-tayyebi/CellSpace, examples of human haematopoiesis (first "
        "line and columns of the counts); "
        f"https://github.com/{_BENCHMARK[0]}/blob/{'/'.join(_BENCHMARK[1:])} (column label)",
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the fragments in peaks (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        import pandas as pd

        from bench.data.formats import read_labels

        bed = pd.read_csv(files[_PEAKS], sep="\t", header=None, usecols=[0, 1, 2])
        peaks = [f"{chromosome}:{start}-{end}" for chromosome, start, end in bed.to_numpy()]
        cells, counts = _triplets(files[_COUNTS], len(peaks))
        table = read_labels(files[_LABELS])
        known = pd.Series(column(table, "label", f"{self.name}: {files[_LABELS]}"), table.index)
        labels = known.reindex(cells).fillna("")
        if not (labels != "").any():
            raise DataError(
                f"{self.name}: none of the {len(known)} cells of {files[_LABELS]} (such as "
                f"{known.index[0]}) is in {files[_COUNTS]} (such as {cells[0]}); expected the "
                "files of GSE96769 and of the benchmark, fetch them again."
            )
        return assemble(
            counts,
            cells=cells,
            features=peaks,
            labels=labels.to_numpy(),
            label_key=self.card.label_key,
            where=self.name,
        )


def _triplets(path: Path, n_peaks: int) -> tuple[list[str], sp.csr_matrix]:
    """Return cell names and counts (cells × peaks) of a file of peak, cell and count.

    The first line is ``#``, a tab and the names joined by ``;``; numbers start at 1. Raises
    ``DataError`` for another first line, or a number beyond the names or peaks.
    """
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    with gzip.open(path, "rt") as stream:
        mark, _, names = stream.readline().rstrip("\n").partition("\t")
        if not mark.startswith("#") or ";" not in names:
            raise DataError(
                f"{path}: line 1 starts with '{(mark + ' ' + names)[:40]}'; expected '#', a tab "
                "and the names of the cells joined by ';'; fetch the file again."
            )
        cells = names.split(";")
        table = pd.read_csv(stream, sep="\t", header=None, dtype=np.int32)
    peak, cell, count = (table[number].to_numpy() for number in range(3))
    for what, found, limit in (("peak", peak, n_peaks), ("cell", cell, len(cells))):
        if len(found) and not (found.min() >= 1 and found.max() <= limit):
            raise DataError(
                f"{path}: {what} numbers from {found.min()} to {found.max()}; expected 1 to "
                f"{limit}: the files do not belong together, fetch them again."
            )
    shape = (len(cells), n_peaks)
    return cells, sp.csr_matrix((count.astype(np.float32), (cell - 1, peak - 1)), shape=shape)
