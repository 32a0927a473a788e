"""Mouse skin by SHARE-seq, expression and chromatin of each cell (GSE140203)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import RNA, Card, RemoteFile
from bench.errors import DataError

from ._chromatin import assemble, column
from ._paired import Measured, Paired, Part

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_GEO = "https://ftp.ncbi.nlm.nih.gov/geo/samples/GSM4156nnn/"
_LABELS = "GSM4156597_skin_celltype.txt.gz"
_RNA = "GSM4156608_skin.late.anagen.rna.counts.txt.gz"
_ATAC = "GSM4156597_skin.late.anagen.counts.txt.gz"
_BARCODES = "GSM4156597_skin.late.anagen.barcodes.txt.gz"
_PEAKS = "GSM4156597_skin.late.anagen.peaks.bed.gz"
_ABOUT = {_LABELS: 263_000, _RNA: 37_000_000}


def _files(*names: str) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(name, f"{_GEO}{name.partition('_')[0]}/suppl/{name}", about=_ABOUT.get(name))
        for name in names
    )


class ShareSeq(Paired):
    """Cells of mouse skin in late anagen, expression and chromatin of each (SHARE-seq).

    The 34,774 cells that the authors annotated in both parts, without those they called Mix. The
    types are the authors' clusters, named by marker genes, from both parts; the hair follicle's
    are stages of a differentiation, so their borders are a choice. The expression is shallow:
    many cells have fewer than a thousand molecules. Reading needs several GB.
    """

    name = "share_seq"
    parts: ClassVar = {
        "rna": Measured(23296, _files(_LABELS, _RNA)),
        "atac": Measured(344592, _files(_LABELS, _ATAC, _BARCODES, _PEAKS)),
    }
    card = Card(
        modality=RNA,
        summary="32,231 cells of mouse skin, paired expression and chromatin (SHARE-seq)",
        label_key="cell_type",
        n_cells=32231,
        n_features=23296,
        n_types=22,
        organism="mouse",
        reference="Ma et al. 2020, Cell 183:1103, doi 10.1016/j.cell.2020.09.056",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE140203",
        licence="none stated (GEO)",
        labels_from="the authors' clustering, named by marker genes",
        tags=("paired", "skin"),
        files=parts["rna"].files,
        documented="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSM4156597 and GSM4156608 "
        "(files); https://github.com/gao-lab/GLUE/blob/master/data/collect/Ma-2020.ipynb "
        "(layout, columns rna.bc and celltype, Mix)",
    )

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from bench.data.formats import read_labels, read_market, read_text

        where = f"{self.name}: {files[_LABELS]}"
        table = read_labels(files[_LABELS])
        barcodes = [_barcode(name) for name in column(table, "rna.bc", where)]
        if part == "rna":
            source = read_text(files[_RNA], orientation="genes", sep="\t")
        else:
            source = read_market(
                files[_ATAC], files[_BARCODES], files[_PEAKS], orientation="genes"
            )
        source.obs_names = [_barcode(name) for name in source.obs_names]
        place = source.obs_names.get_indexer(barcodes)
        if (place < 0).any():
            lost = barcodes[int((place < 0).argmax())]
            raise DataError(
                f"{where}: {int((place < 0).sum())} of {len(place)} cells (such as {lost}) have "
                "no counts; expected the files of GSE140203, fetch them again."
            )
        return assemble(
            source.X[place],
            cells=barcodes,
            features=list(source.var_names),
            labels=column(table, "celltype", where),
            label_key=self.card.label_key,
            without=("Mix",),
            where=self.name,
        )


def _barcode(name: str) -> str:
    """Return one spelling: the matrix of expression has commas where the others have points."""
    return name.replace(",", ".")
