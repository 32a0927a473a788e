"""Reader of the files of SHARE-seq."""

from __future__ import annotations

from pathlib import Path

from anndata import AnnData

from bench.data.formats import read_labels, read_market, read_text
from bench.errors import DataError

from ._labelled_counts import labelled_counts, text_column


def read_part(labels: Path, counts: Path, *names: Path) -> AnnData:
    """Return the annotated cells (CSR) with their types, given the table of labels.

    The counts of genes are a table; those of peaks a matrix with ``names`` of cells and peaks.
    Raises ``DataError`` if a cell of the table has no counts.
    """
    table = read_labels(labels)
    barcodes = [_spell(name) for name in text_column(table, "rna.bc", labels)]
    if names:
        adata = read_market(counts, *names, orientation="genes")
    else:
        adata = read_text(counts, orientation="genes", sep="\t")
    adata.obs_names = [_spell(name) for name in adata.obs_names]
    rows = adata.obs_names.get_indexer(barcodes)
    if (rows < 0).any():
        raise DataError(
            f"{labels}: {int((rows < 0).sum())} of {len(rows)} cells (such as "
            f"{barcodes[int((rows < 0).argmax())]}) have no counts; expected the files of "
            "GSE140203, fetch them again.",
            code="no_common_cells",
        )
    return labelled_counts(
        adata.X[rows],
        cells=barcodes,
        features=list(adata.var_names),
        labels=text_column(table, "celltype", labels),
        label_key="cell_type",
        without=("Mix",),
        where=str(labels),
    )


def _spell(barcode: str) -> str:
    """Return one spelling: the matrix of expression has commas where the others have points."""
    return barcode.replace(",", ".")
