"""Cord blood by CITE-seq: expression with counts of surface proteins (GSE100866)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import RNA, Card, RemoteFile

from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_COMMIT = "5f354593220d3e583fdc44dd019f55b5e090bff3"
_NAME = "GSE100866.filtered_1000G.H5"


class CiteseqCbmc(Published):
    """Human cord blood cells with the counts of surface proteins in ``obsm["ADT"]``.

    The record at GEO has no labels; this is the file that the authors of scMDC distribute: their
    1,000 variable genes, the proteins, and labels in six groups given as numbers. How they made
    the labels is not documented with the file: most likely by clustering, so agreement
    with them is agreement with another clustering.
    """

    name = "citeseq_cbmc"
    card = Card(
        modality=RNA,
        summary="human cord blood, 1,000 genes, with surface proteins (CITE-seq)",
        label_key="cell_type",
        n_features=1000,
        n_types=6,
        organism="human",
        reference="Stoeckius et al. 2017, Nature Methods 14:865, doi 10.1038/nmeth.4380; as "
        "in Lin et al. 2022, Nature Communications 13:7705, doi 10.1038/s41467-022-35031-9",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE100866",
        licence="Apache-2.0 (repository xianglin226/scMDC)",
        labels_from="the authors of scMDC; not documented further",
        tags=("paired", "blood", "proteins"),
        files=(
            RemoteFile(
                _NAME,
                f"https://raw.githubusercontent.com/xianglin226/scMDC/{_COMMIT}/datasets/{_NAME}",
            ),
        ),
        documented="https://github.com/xianglin226/scMDC/blob/master/datasets/readme.md (X1, X2, "
        "Y and optional names)",
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts (CSR) with ``obs["cell_type"]`` and ``obsm["ADT"]`` (a table)."""
        from ._citeseq_cbmc import read_file

        return read_file(files[_NAME])
