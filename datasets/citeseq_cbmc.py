"""Cord blood by CITE-seq: expression with counts of surface proteins (GSE100866)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contract import RNA, Card, RemoteFile
from bench.errors import DataError

from ._chromatin import assemble
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
        import h5py
        import pandas as pd

        path = files[_NAME]
        try:
            with h5py.File(path) as file:
                genes, proteins, labels = (file[key][()] for key in ("X1", "X2", "Y"))
                names = _names(file, "Genes", "gene", genes.shape[1])
                antibodies = _names(file, "ADT", "protein", proteins.shape[1])
        except (OSError, KeyError, IndexError) as error:
            raise DataError(
                f"{self.name}: {path}: {error}; expected an HDF5 file with X1 (cells × genes), X2 "
                "(cells × proteins) and Y (labels); fetch it again."
            ) from None
        cells = [f"cell_{number}" for number in range(len(genes))]
        adata = assemble(
            genes,
            cells=cells,
            features=names,
            labels=_text(labels.ravel()),
            label_key=self.card.label_key,
            where=self.name,
        )
        if len(proteins) != len(cells):
            raise DataError(
                f"{self.name}: {path}: {len(cells)} cells in X1, {len(proteins)} in X2; expected "
                "the same cells; fetch it again."
            )
        table = pd.DataFrame(proteins, index=cells, columns=antibodies)
        adata.obsm["ADT"] = table.loc[adata.obs_names]
        return adata


def _names(file: Any, key: str, word: str, size: int) -> list[str]:
    """Return the names the file gives, else ``gene_0``, ``gene_1``, ..."""
    given = _text(file[key][()].ravel()) if key in file else []
    return list(given) if len(given) == size else [f"{word}_{i}" for i in range(size)]


def _text(values: Any) -> Any:
    """Return strings; whole numbers without a decimal point."""
    import numpy as np

    if values.dtype.kind == "f" and np.all(values == np.rint(values)):
        values = values.astype(np.int64)
    if values.dtype.kind in "SO":
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], object)
    return values.astype(str).astype(object)
