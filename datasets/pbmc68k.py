"""Blood cells that ship inside scanpy: real data without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import RNA, Card, Dataset

if TYPE_CHECKING:
    from anndata import AnnData


class Pbmc68k(Dataset):
    """700 of the 68,579 blood cells of Zheng et al. 2017, with 765 genes.

    scanpy ships log-normalised values and the total of each cell. UMI counts are expm1(value) ·
    total / 10,000; they lie within 0.1 of whole numbers, which is checked, and are rounded. The
    median depth is 3,333 counts over all genes, 653 over these 765.
    """

    name = "pbmc68k"
    card = Card(
        modality=RNA,
        summary="700 human blood cells (10x), shipped inside scanpy",
        label_key="bulk_labels",
        n_cells=700,
        n_features=765,
        n_types=10,
        organism="human",
        reference="Zheng et al. 2017, Nature Communications 8:14049, doi 10.1038/ncomms14049",
        url="https://scanpy.readthedocs.io/en/stable/generated/scanpy.datasets.pbmc68k_reduced.html",
        licence="BSD-3-Clause (scanpy); data: 10x Genomics, CC BY 4.0",
        labels_from="highest correlation with the expression of sorted bulk populations; the "
        "T-cell subtypes are near-identical and some have 8 cells",
        tags=("blood", "offline"),
        verified=True,
    )

    def load(self) -> AnnData:
        """Return the counts (CSR float32, 700 × 765) with ``obs["bulk_labels"]``.

        Raises ``DataError`` if scanpy ships something else.
        """
        from ._pbmc68k import recover_counts

        return recover_counts((700, 765))
