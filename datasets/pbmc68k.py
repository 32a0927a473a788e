"""Blood cells that ship inside scanpy: real data without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract import RNA, Card, Dataset
from bench.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

_TOLERANCE = 0.1


class Pbmc68k(Dataset):
    """700 of the 68,579 blood cells of Zheng et al. 2017, with 765 genes.

    scanpy ships log-normalised values; the UMI counts are recovered as
    expm1(value) · total / 10,000 with the total over all genes that is kept beside them. They lie
    within 0.1 of whole numbers, which is checked, and are rounded. Depth: 3,333 counts a cell over
    all genes in the median, 653 over the 765 genes kept; size factors use the latter.
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

        Raises ``DataError`` if the installed scanpy ships something else.
        """
        import warnings
        from importlib.metadata import version

        import numpy as np
        import scanpy as sc
        import scipy.sparse as sp
        from anndata import AnnData

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shipped = sc.datasets.pbmc68k_reduced()
        release = f"scanpy {version('scanpy')}"
        shape = shipped.raw.shape if shipped.raw is not None else (0, 0)
        if shape != (self.card.n_cells, self.card.n_features):
            raise DataError(
                f"pbmc68k: {release} ships {shape[0]} cells × {shape[1]} genes (expected "
                f"{self.card.n_cells} × {self.card.n_features}); install the pinned version."
            )
        values = sp.csr_matrix(shipped.raw.X, dtype=np.float64)
        totals = shipped.obs["n_counts"].to_numpy(dtype=np.float64)
        counts = sp.csr_matrix(sp.diags(totals / 1e4) @ values.expm1())
        deviation = float(np.abs(counts.data - np.rint(counts.data)).max())
        if not deviation <= _TOLERANCE:  # also true of NaN
            raise DataError(
                f"pbmc68k: counts recovered from {release} are off whole numbers by "
                f"{deviation:.2f} (expected below {_TOLERANCE}); install the pinned version."
            )
        counts.data = np.rint(counts.data).astype(np.float32)
        counts = counts.astype(np.float32)
        counts.eliminate_zeros()
        adata = AnnData(counts)
        adata.obs_names = shipped.obs_names
        adata.var_names = shipped.raw.var_names
        adata.obs["bulk_labels"] = shipped.obs["bulk_labels"].astype(str).to_numpy()
        return adata
