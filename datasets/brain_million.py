"""1.3 million cells of the mouse brain, read block by block."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bench.contract import RNA, Card
from bench.errors import DataError

from ._published import Published
from ._rna_tables import TENX_LICENCE, find_member, tenx

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class BrainMillion(Published):
    """1,306,127 cells of the brain of two mouse embryos (E18, 10x v2 chemistry).

    For tests of scale: 28,000 genes, 4.2 GB. The counts stay in the file and are read in blocks.
    There is no annotation by hand: the labels are the 60 graph clusters that Cell Ranger
    computed from these same counts (``clusters.csv``, columns Barcode and Cluster). Features are
    named by their Ensembl id, symbols are in ``var["symbol"]``.
    """

    name = "brain_1m"
    card = Card(
        modality=RNA,
        summary="1.3 million cells of the mouse brain (10x), 60 graph clusters",
        label_key="Cluster",
        n_cells=1306127,
        n_features=27998,
        n_types=60,
        organism="mouse",
        reference="10x Genomics 2017, 1.3 Million Brain Cells from E18 Mice (no paper, no DOI)",
        url="https://support.10xgenomics.com/single-cell-gene-expression/datasets/1.3.0/"
        "1M_neurons",
        licence=TENX_LICENCE,
        labels_from="Cell Ranger's graph clustering of the same counts; no names of types",
        tags=("brain", "large", "labels-from-clusters"),
        files=(
            tenx(
                "1.3.0", "1M_neurons", "filtered_gene_bc_matrices_h5.h5",
                "md5:f97b8c67e57a534816b9b2bccf31476b", about=4_200_000_000,
            ),
            tenx(
                "1.3.0", "1M_neurons", "analysis.tar.gz",
                "sha256:12636d6f6d3802d34ff491977479c1d43adcf65c575c57f9a3fd3ed57348ee09",
            ),
        ),
        documented="https://github.com/romain-lopez/scVI-reproducibility (the matrix); "
        "https://support.10xgenomics.com/single-cell-gene-expression/software/pipelines/2.0/"
        "output/analysis (clusters.csv)",
    )  # fmt: skip

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts, with an ``X`` that reads its rows from the file when asked."""
        import pandas as pd

        matrix, analysis = files.values()
        adata = open_tenx_h5(matrix, self.cache / "extracted" / self.name / "links.h5")
        ending = "graphclust/clusters.csv"
        clusters = pd.read_csv(
            find_member(self.unpack(analysis), analysis, ending), dtype=str, index_col="Barcode"
        )["Cluster"]
        labels = clusters.reindex(adata.obs_names)
        missing = int(labels.isna().sum())
        if missing:
            raise DataError(
                f"{analysis}: {missing} of {adata.n_obs} barcodes of {matrix.name} have no "
                f"cluster in {ending}; expected one for each, fetch both files again."
            )
        adata.obs["Cluster"] = labels.to_numpy()
        return adata


def open_tenx_h5(path: Path, links: Path) -> AnnData:
    """Return a Cell Ranger 1 or 2 ``.h5`` as cells × genes whose ``X`` stays in the file.

    Cell Ranger stores genes × cells by columns: the same three arrays are cells × genes by rows,
    so links to them under anndata's names are all that is needed. They are written to the small
    file ``links``; ``path`` is not changed. ``X[i:j]`` is a CSR matrix. Raises ``DataError`` if
    the file is not of this layout.
    """
    import h5py
    import pandas as pd
    from anndata import AnnData
    from anndata.io import sparse_dataset

    try:
        with h5py.File(path, "r") as file:
            genomes = [name for name, group in file.items() if "barcodes" in group]
            if len(genomes) != 1 or "genes" not in file[genomes[0]]:
                raise DataError(
                    f"{path}: no Cell Ranger matrix of one genome; groups there: "
                    f"{', '.join(file) or 'none'}; expected genome/barcodes, genes, data."
                )
            group = file[genomes[0]]
            genes, symbols, cells = (_text(group[k]) for k in ("genes", "gene_names", "barcodes"))
            shape = tuple(int(size) for size in group["shape"][()][::-1])
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: not a readable Cell Ranger .h5 file: {error}") from None
    if shape != (len(cells), len(genes)):
        raise DataError(
            f"{path}: shape says {shape[0]} cells × {shape[1]} genes, names are of {len(cells)} "
            f"and {len(genes)}; the file is damaged."
        )
    links.parent.mkdir(parents=True, exist_ok=True)
    partial = links.with_name(f".{os.getpid()}.{links.name}")
    # Not in memory: HDF5 would open the linked file in the same way, that is, read all of it.
    with h5py.File(partial, "w") as file:
        rows = file.create_group("X")
        rows.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape}
        )
        for name in ("data", "indices", "indptr"):
            rows[name] = h5py.ExternalLink(str(path.resolve()), f"/{genomes[0]}/{name}")
    partial.replace(links)
    return AnnData(
        sparse_dataset(h5py.File(links, "r")["X"]),
        obs=pd.DataFrame(index=cells),
        var=pd.DataFrame({"symbol": symbols}, index=genes),
    )


def _text(values: Any) -> list[str]:
    return [value.decode() for value in values[()].tolist()]
