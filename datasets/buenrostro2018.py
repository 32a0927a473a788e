"""Human blood progenitors sorted by surface markers, single-cell chromatin (GSE96769)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import ATAC, Card, RemoteFile

from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

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
        from ._buenrostro2018 import read_files

        return read_files(files[_COUNTS], files[_PEAKS], files[_LABELS])
