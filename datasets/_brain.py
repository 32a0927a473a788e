"""Readers of the sets of mouse brain."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import h5py
import pandas as pd
from anndata import AnnData
from anndata.io import sparse_dataset

from bench.data.formats import read_labels, read_text
from bench.errors import DataError

from ._labelled_counts import (
    find_member,
    join_annotation,
    keep_cells,
    keep_labelled,
    read_annotated,
    require_columns,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ._published import Published

_ZEISEL_GROUPS = {
    "1": "interneurons", "2": "pyramidal SS", "3": "pyramidal CA1", "4": "oligodendrocytes",
    "5": "microglia", "6": "endothelial", "7": "astrocytes", "8": "ependymal", "9": "mural",
}  # fmt: skip
"""Names of the numbers in the line ``group #``."""


def read_zeisel(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return a table of genes × cells after ten lines about the cells."""
    (path,) = files.values()
    level = dataset.params.level
    adata = read_annotated(path, sep="\t", head=10, before=2, skip=1)
    require_columns(adata.obs, path, "group #", "cell_id", "level1class", "level2class")
    adata.obs_names = adata.obs["cell_id"].tolist()
    if level == "groups":
        adata.obs["cell_type"] = adata.obs["group #"].map(_ZEISEL_GROUPS)
    else:
        adata.obs["cell_type"] = adata.obs[f"{level}class"]
    return keep_labelled(adata, "cell_type", without=("(none)",))


def read_bhattacherjee(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return a table of genes × cells with types from a table of the cells."""
    matrix, annotation = files.values()
    stage, level = dataset.params.stage, dataset.params.level
    adata = read_text(matrix, orientation="genes")
    adata = join_annotation(adata, read_labels(annotation), "bhattacherjee")
    require_columns(adata.obs, annotation, "CellType", "L2_clusters", "DevStage", "Sample")
    if stage != "all":
        own_stage = adata.obs["DevStage"].astype(str).str.lower() == stage.lower()
        adata = keep_cells(adata, own_stage.to_numpy(), f"not of stage {stage}")
    adata.obs["cell_type"] = adata.obs["CellType" if level == "class" else "L2_clusters"]
    return keep_labelled(adata, "cell_type")


def read_romanov(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return a table of genes × cells with classes, or its neurons with subclasses."""
    (path,) = files.values()
    adata = read_annotated(path, sep=",", head=12, before=1)
    require_columns(adata.obs, path, "level1 class", "level2 class (neurons only)")
    adata.obs_names = adata.obs.iloc[:, 0].tolist()
    if dataset.params.level == "level1":
        adata.obs["cell_type"] = adata.obs["level1 class"]
        return keep_labelled(adata, "cell_type")
    neurons = (adata.obs["level1 class"] == "neurons").to_numpy()
    adata = keep_cells(adata, neurons, "not neurons, so without a subclass")
    adata.obs["cell_type"] = adata.obs["level2 class (neurons only)"]
    return keep_labelled(adata, "cell_type", without=("uc",))


def read_clustered_file(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return counts that stay on disk in a file of Cell Ranger, with graph clusters."""
    matrix, analysis = files.values()
    adata = _open_tenx_h5(matrix, dataset.cache / "extracted" / dataset.name / "links.h5")
    ending = "graphclust/clusters.csv"
    clusters = find_member(dataset.unpack(analysis), analysis, ending)
    table = pd.read_csv(clusters, dtype=str, index_col="Barcode")
    labels = table["Cluster"].reindex(adata.obs_names)
    n_missing = int(labels.isna().sum())
    if n_missing:
        raise DataError(
            f"{analysis}: {n_missing} of {adata.n_obs} barcodes of {matrix.name} have no "
            f"cluster in {ending}; expected one for each, fetch both files again.",
            code="missing_labels",
        )
    adata.obs["Cluster"] = labels.to_numpy()
    return adata


def _open_tenx_h5(path: Path, links: Path) -> AnnData:
    """Return a Cell Ranger 1 or 2 ``.h5`` as cells × genes whose ``X`` stays in the file.

    The file holds genes × cells by columns (CSC), which equals cells × genes by rows (CSR). The
    small file ``links`` gives the arrays anndata's names.
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
