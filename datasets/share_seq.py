"""Mouse skin by SHARE-seq, expression and chromatin of each cell (GSE140203)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import ATAC, MULTIOME, RNA, Card, RemoteFile

from ._paired import Paired, Part

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


def _file(sample: str, ending: str, approximate_size: int | None = None) -> RemoteFile:
    folder = f"https://ftp.ncbi.nlm.nih.gov/geo/samples/GSM4156nnn/{sample}/suppl"
    name = f"{sample}_{ending}"
    return RemoteFile(name, f"{folder}/{name}", approximate_size=approximate_size)


_LABELS = _file("GSM4156597", "skin_celltype.txt.gz", approximate_size=263_000)
_RNA = _file("GSM4156608", "skin.late.anagen.rna.counts.txt.gz", approximate_size=37_000_000)
_ATAC = _file("GSM4156597", "skin.late.anagen.counts.txt.gz")
_BARCODES = _file("GSM4156597", "skin.late.anagen.barcodes.txt.gz")
_PEAKS = _file("GSM4156597", "skin.late.anagen.peaks.bed.gz")


class ShareSeq(Paired):
    """Cells of mouse skin in late anagen, expression and chromatin of each (SHARE-seq).

    The 34,774 cells that the authors annotated in both parts, without those they called Mix. The
    types are the authors' clusters, named by marker genes, from both parts; the hair follicle's
    are stages of a differentiation, so their borders are a choice. The expression is shallow:
    many cells have fewer than a thousand molecules. Reading needs several GB.
    """

    name = "share_seq"
    variants: ClassVar = {
        "part": {
            "rna": {"modality": RNA, "n_features": 23296, "files": (_LABELS, _RNA)},
            "atac": {
                "modality": ATAC,
                "n_features": 344592,
                "files": (_LABELS, _ATAC, _BARCODES, _PEAKS),
            },
        }
    }
    card = Card(
        modality=MULTIOME,
        summary="32,231 cells of mouse skin, paired expression and chromatin (SHARE-seq)",
        label_key="cell_type",
        n_cells=32231,
        n_features=23296 + 344592,
        n_types=22,
        organism="mouse",
        reference="Ma et al. 2020, Cell 183:1103, doi 10.1016/j.cell.2020.09.056",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE140203",
        licence="none stated (GEO)",
        labels_from="the authors' clustering, named by marker genes",
        tags=("paired", "skin"),
        files=(_LABELS, _RNA, _ATAC, _BARCODES, _PEAKS),
        documented="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSM4156597 and GSM4156608 "
        "(files); https://github.com/gao-lab/GLUE/blob/master/data/collect/Ma-2020.ipynb "
        "(layout, columns rna.bc and celltype, Mix)",
    )

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from ._share_seq import read_part

        paths = [files[file.name] for file in self.variants["part"][part]["files"]]
        return read_part(*paths)
