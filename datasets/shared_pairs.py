"""Two small paired sets, each read from two .h5ad files and a table of TSS of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import RNA, Card, RemoteFile, format_peak_names

from ._chromatin import assemble, column, raw
from ._paired import Measured, Paired, Part

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


def _by_hand(name: str, page: str) -> tuple[RemoteFile, ...]:
    return (RemoteFile(name, "", by_hand=page),)


_GENES = "https://www.gencodegenes.org"
"""Where a person gets the genes of a genome, to make a BED of: one line a transcript, its TSS."""


class SharedPair(Paired):
    """Base: counts in ``X``, types in ``obs["cell_type"]``, no sequence of the peaks."""

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from bench.data.formats import read_counts

        (path,) = (files[file.name] for file in self.parts[part].files)
        source = read_counts(path)
        names = source.var_names
        return assemble(
            raw(source),
            cells=list(source.obs_names),
            features=format_peak_names(names) if part == "atac" else list(names),
            labels=column(source.obs, "cell_type", f"{self.name}: {path}"),
            label_key=self.card.label_key,
            where=self.name,
        )


class PairedTag(SharedPair):
    """Nuclei of mouse brain, expression and the histone mark H3K27ac of each (Paired-Tag, mm10).

    The chromatin is a histone mark in wide regions, not accessibility. Nine of the 20 types have
    fewer than 14 nuclei: scores rest on few cells.
    """

    name = "pairedtag"
    _page = "https://github.com/vallotlab/IDclust"
    parts: ClassVar = {
        "rna": Measured(2000, _by_hand("pairedtag_rna.h5ad", _page)),
        "atac": Measured(5000, _by_hand("pairedtag_h3k27ac.h5ad", _page)),
    }
    positions = _by_hand("mm10_tss.bed.gz", _GENES)
    card = Card(
        modality=RNA,
        summary="327 nuclei of mouse brain, expression and H3K27ac (Paired-Tag), mm10",
        label_key="cell_type",
        n_cells=327,
        n_types=20,
        organism="mouse",
        reference="Zhu et al. 2021, Nature Methods 18:283, doi 10.1038/s41592-021-01060-3",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE152020",
        licence="GPL-3 (the repository that carries the counts)",
        labels_from="the authors' clustering, named by marker genes",
        tags=("paired", "brain"),
        documented="https://github.com/vallotlab/IDclust (counts of both parts by barcode)",
        verified=True,
    )


class SciCarA549(SharedPair):
    """A549 cells after 0, 1 or 3 hours of dexamethasone, both parts of each (sci-CAR, hg19).

    The labels are hours of treatment, not cell types, and the chromatin, of which only open or
    closed is left, hardly tells them apart.
    """

    name = "scicar_a549"
    _page = "https://github.com/sqjin/scAI"
    parts: ClassVar = {
        "rna": Measured(1185, _by_hand("scicar_a549_rna.h5ad", _page)),
        "atac": Measured(52761, _by_hand("scicar_a549_atac.h5ad", _page)),
    }
    positions = _by_hand("hg19_tss.bed.gz", _GENES)
    card = Card(
        modality=RNA,
        summary="2,641 A549 cells at three times of treatment, paired (sci-CAR), hg19",
        label_key="cell_type",
        n_cells=2641,
        n_types=3,
        organism="human",
        reference="Cao et al. 2018, Science 361:1380, doi 10.1126/science.aau0730",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE117089",
        licence="GPL-3 (the repository that carries the counts)",
        labels_from="hours of treatment: certain, but no cell types",
        tags=("paired", "cell lines"),
        documented="https://github.com/sqjin/scAI (data_A549.rda)",
        verified=True,
    )
