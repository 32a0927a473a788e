"""Cell Ranger's ``.h5`` files read block by block, with the graph clusters of its analysis."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import h5py
import pandas as pd
from anndata import AnnData
from anndata.io import sparse_dataset

from bench.errors import DataError

from ._labelled_counts import find_member

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def read_clustered(
    matrix: Path, links: Path, analysis: Sequence[Path], analysis_archive: Path
) -> AnnData:
    """Return counts that stay in the file ``matrix``, with the clusters of an unpacked analysis.

    Raises ``DataError`` if a cell has no cluster. ``links``: see :func:`open_tenx_h5`.
    """
    adata = open_tenx_h5(matrix, links)
    ending = "graphclust/clusters.csv"
    table = pd.read_csv(
        find_member(analysis, analysis_archive, ending), dtype=str, index_col="Barcode"
    )
    labels = table["Cluster"].reindex(adata.obs_names)
    n_missing = int(labels.isna().sum())
    if n_missing:
        raise DataError(
            f"{analysis_archive}: {n_missing} of {adata.n_obs} barcodes of {matrix.name} have no "
            f"cluster in {ending}; expected one for each, fetch both files again.",
            code="missing_labels",
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
    try:
        with h5py.File(path, "r") as file:
            genomes = [name for name, group in file.items() if "barcodes" in group]
            if len(genomes) != 1 or "genes" not in file[genomes[0]]:
                raise DataError(
                    f"{path}: no Cell Ranger matrix of one genome; groups there: "
                    f"{', '.join(file) or 'none'}; expected genome/barcodes, genes, data.",
                    code="unreadable",
                )
            group = file[genomes[0]]
            genes, symbols, cells = (
                _strings(group[key]) for key in ("genes", "gene_names", "barcodes")
            )
            shape = tuple(int(size) for size in group["shape"][()][::-1])
    except (OSError, KeyError) as error:
        raise DataError(
            f"{path}: not a readable Cell Ranger .h5 file: {error}", code="unreadable"
        ) from None
    if shape != (len(cells), len(genes)):
        raise DataError(
            f"{path}: shape is {shape[0]} cells × {shape[1]} genes, but names are of {len(cells)} "
            f"and {len(genes)}; the file is damaged.",
            code="size_mismatch",
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


def _strings(values: h5py.Dataset) -> list[str]:
    return [value.decode() for value in values[()].tolist()]
