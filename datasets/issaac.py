"""Mouse cortex by ISSAAC-seq, expression and chromatin of each nucleus (E-MTAB-11264)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import RNA, Card, RemoteFile, format_peak_names

from ._chromatin import assemble, column, raw
from ._paired import Measured, Paired, Part

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_PAGE = "https://drive.google.com/file/d/1QkBkcKbZ7ttx8crT9jJMZ7n1M-pyiGrR/view"
_RNA, _ATAC = "ISSAAC_scRNA_format.h5ad", "ISSAAC_scATAC_format.h5ad"


class Issaac(Paired):
    """Nuclei of adult mouse cortex, expression and chromatin of each (ISSAAC-seq).

    The authors publish reads; the matrices with labels are those that the authors of scCrossRec
    distribute as original_datasets.rar: unpack it and take the two files in its folder ISSAAC-seq.
    The types are clusters of the expression, named by marker genes (R6 Ex-L5-PT); one is called
    Misc.
    """

    name = "issaac"
    parts: ClassVar = {
        "rna": Measured(20771, (RemoteFile(_RNA, "", by_hand=_PAGE),)),
        "atac": Measured(169180, (RemoteFile(_ATAC, "", by_hand=_PAGE),)),
    }
    card = Card(
        modality=RNA,
        summary="10,361 nuclei of mouse cortex, paired expression and chromatin (ISSAAC-seq)",
        label_key="cell_type",
        n_cells=10361,
        n_features=20771,
        organism="mouse",
        reference="Xu et al. 2022, Nature Methods 19:1243, doi 10.1038/s41592-022-01601-4",
        url="https://www.ebi.ac.uk/biostudies/arrayexpress/studies/E-MTAB-11264",
        licence="none stated",
        labels_from="clustering of the expression, named by marker genes",
        tags=("paired", "brain"),
        files=parts["rna"].files,
        documented="https://github.com/wangxiaotang0906/CrossRec (archive in its README; names of "
        "the files, sizes and columns cell_type, gene, peak in interaction_graph_generator/"
        "interaction_graph_generator_ISSAAC.py)",
    )

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]``; raises ``DataError``."""
        from bench.data.formats import read_counts

        path = files[_RNA if part == "rna" else _ATAC]
        where = f"{self.name}: {path}"
        source = read_counts(path)
        names = column(source.var, "gene" if part == "rna" else "peak", where)
        return assemble(
            raw(source),
            cells=list(column(source.obs, "cell", where)),
            features=list(names) if part == "rna" else format_peak_names(names),
            labels=column(source.obs, "cell_type", where),
            label_key=self.card.label_key,
            where=self.name,
        )
