"""Readers of the sets of blood cells."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd

from bench.data.formats import read_10x_mtx, read_counts, read_labels, read_market
from bench.errors import DataError

from ._labelled_counts import (
    find_member,
    join_annotation,
    keep_cells,
    keep_labelled,
    labelled_counts,
    require_columns,
    stack,
)

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ._published import Published

_ARCHIVE_END = "_filtered_gene_bc_matrices.tar.gz"


def read_tutorial_types(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the UMI counts of the cells with a type of scanpy's tutorial.

    Files: an archive of Cell Ranger, and the result of the tutorial.
    """
    archive, processed = files.values()
    adata = _read_matrix(dataset, archive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # written by an early anndata
        tutorial = read_counts(processed)
    require_columns(tutorial.obs, processed, "louvain")
    types = tutorial.obs["louvain"].astype(str)
    adata.obs["louvain"] = types.reindex(adata.obs_names).to_numpy()
    typed = adata.obs["louvain"].notna().to_numpy()
    if not typed.any():
        raise DataError(
            f"{processed}: has no barcode of {archive.name} (first one: {adata.obs_names[0]}; "
            f"first one of this file: {types.index[0]}); expected the same cells.",
            code="unknown_cells",
        )
    return keep_cells(adata, typed, "filtered out by the tutorial, so without a type")


def read_clusters(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the UMI counts of one archive with the graph clusters of another."""
    archive, analysis = files.values()
    clusters = find_member(dataset.unpack(analysis), analysis, "graphclust/clusters.csv")
    adata = join_annotation(_read_matrix(dataset, archive), read_labels(clusters), archive.name)
    require_columns(adata.obs, clusters, "Cluster")
    return keep_labelled(adata, "Cluster")


def read_populations(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the UMI counts of all archives; options name the population of each."""
    parts = {
        archive.name.removesuffix(_ARCHIVE_END): _read_matrix(dataset, archive)
        for archive in files.values()
    }
    adata = stack(parts, "sample")
    adata.obs["population"] = adata.obs["sample"].map(dataset.options).to_numpy()
    return adata


def _read_matrix(dataset: Published, archive: Path) -> AnnData:
    """Return the one matrix in an archive, genes named by their symbol."""
    return read_10x_mtx(find_member(dataset.unpack(archive), archive, "matrix.mtx").parent)


def read_kang(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the UMI counts of the typed singlets.

    Files: matrix and barcodes of both runs, then genes and annotation.
    """
    *runs, genes, annotation = files.values()
    condition = dataset.params.condition
    table = read_labels(annotation)
    parts = {}
    for name, matrix, barcodes in zip(("ctrl", "stim"), runs[::2], runs[1::2], strict=True):
        if condition in ("both", name):
            part = read_market(matrix, barcodes, genes, orientation="genes")
            parts[name] = _annotate_run(part, table[table["stim"] == name].copy(), annotation)
    adata = stack(parts, "condition")
    batch = adata.obs["ind"] if len(parts) == 1 else adata.obs["condition"]
    adata.obs["batch"] = batch.astype(str).to_numpy()
    return adata


def _annotate_run(part: AnnData, table: pd.DataFrame, annotation: Path) -> AnnData:
    """Join the annotation, without the 1 that it adds to barcodes that both runs have."""
    table.index = pd.Index([re.sub(r"^([ACGT]+-1)1$", r"\1", name) for name in table.index])
    part = join_annotation(part, table, "kang")
    require_columns(part.obs, annotation, "cell", "multiplets", "ind")
    singlets = (part.obs["multiplets"] == "singlet").to_numpy()
    return keep_labelled(keep_cells(part, singlets, "not singlets by demuxlet"), "cell")


def read_genes_and_proteins(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return genes and, in ``obsm["ADT"]``, proteins from the file of scMDC."""
    (path,) = files.values()
    try:
        with h5py.File(path) as file:
            genes, proteins, labels = (file[key][()] for key in ("X1", "X2", "Y"))
            gene_names = _names(file, "Genes", "gene", genes.shape[1])
            protein_names = _names(file, "ADT", "protein", proteins.shape[1])
    except (OSError, KeyError, IndexError) as error:
        raise DataError(
            f"{path}: {error}; expected an HDF5 file with X1 (cells × genes), X2 (cells × "
            "proteins) and Y (labels); fetch it again.",
            code="unreadable",
        ) from None
    cells = [f"cell_{number}" for number in range(len(genes))]
    adata = labelled_counts(
        genes,
        cells=cells,
        features=gene_names,
        labels=_as_text(labels.ravel()),
        label_key="cell_type",
        where=str(path),
    )
    if len(proteins) != len(cells):
        raise DataError(
            f"{path}: {len(cells)} cells in X1, {len(proteins)} in X2; expected the same cells; "
            "fetch it again.",
            code="size_mismatch",
        )
    table = pd.DataFrame(proteins, index=cells, columns=protein_names)
    adata.obsm["ADT"] = table.loc[adata.obs_names]
    return adata


def _names(file: h5py.File, key: str, noun: str, size: int) -> list[str]:
    """Return the names in the file, else ``gene_0``, ``gene_1``, ..."""
    names: list[str] = list(_as_text(file[key][()].ravel())) if key in file else []
    return names if len(names) == size else [f"{noun}_{number}" for number in range(size)]


def _as_text(values: Any) -> np.ndarray:
    """Return strings; whole numbers without a decimal point."""
    if values.dtype.kind == "f" and np.all(values == np.rint(values)):
        values = values.astype(np.int64)
    if values.dtype.kind in "SO":
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], object)
    return values.astype(str).astype(object)
