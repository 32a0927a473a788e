"""Readers of the sets of blood cells."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import pandas as pd

from bench.data.formats import read_10x_mtx, read_counts, read_labels, read_market
from bench.errors import DataError

from ._labelled_counts import (
    find_member,
    join_annotation,
    keep_cells,
    keep_labelled,
    require_columns,
    stack,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData

_ARCHIVE_END = "_filtered_gene_bc_matrices.tar.gz"


def read_tutorial_types(matrix: Sequence[Path], archive: Path, processed: Path) -> AnnData:
    """Return the cells of an unpacked matrix that the tutorial's result types in ``louvain``."""
    adata = _read_matrix(matrix, archive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # written by an early anndata
        tutorial = read_counts(processed)
    require_columns(tutorial.obs, processed, "louvain")
    types = tutorial.obs["louvain"].astype(str)
    adata.obs["louvain"] = types.reindex(adata.obs_names).to_numpy()
    typed = adata.obs["louvain"].notna().to_numpy()
    if not typed.any():
        raise DataError(
            f"{processed}: no barcode of {archive.name} is there (first one: "
            f"{adata.obs_names[0]}, there: {types.index[0]}); expected the same cells.",
            code="unknown_cells",
        )
    return keep_cells(adata, typed, "filtered out by the tutorial, so without a type")


def read_clusters(
    matrix: Sequence[Path], archive: Path, analysis: Sequence[Path], analysis_archive: Path
) -> AnnData:
    """Return the cells of an unpacked matrix with the clusters of an unpacked analysis."""
    clusters = find_member(analysis, analysis_archive, "graphclust/clusters.csv")
    adata = join_annotation(_read_matrix(matrix, archive), read_labels(clusters), archive.name)
    require_columns(adata.obs, clusters, "Cluster")
    return keep_labelled(adata, "Cluster")


def read_populations(
    archives: Mapping[Path, Sequence[Path]], populations: Mapping[str, str]
) -> AnnData:
    """Return the cells of all archives with their population; archives map to their members."""
    parts = {
        archive.name.removesuffix(_ARCHIVE_END): _read_matrix(members, archive)
        for archive, members in archives.items()
    }
    adata = stack(parts, "sample")
    adata.obs["population"] = adata.obs["sample"].map(populations).to_numpy()
    return adata


def _read_matrix(members: Sequence[Path], archive: Path) -> AnnData:
    """Return cells × genes of the one matrix in an archive, genes named by their symbol."""
    return read_10x_mtx(find_member(members, archive, "matrix.mtx").parent)


def read_kang(paths: Sequence[Path], condition: str) -> AnnData:
    """Return the typed singlets of one condition or ``both``.

    ``paths``: matrix and barcodes of both runs, then genes and annotation.
    """
    *runs, genes, annotation = paths
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
    """Join the cells of one run, whose barcodes the table makes unique by a further 1."""
    table.index = pd.Index([re.sub(r"^([ACGT]+-1)1$", r"\1", name) for name in table.index])
    part = join_annotation(part, table, "kang")
    require_columns(part.obs, annotation, "cell", "multiplets", "ind")
    singlets = (part.obs["multiplets"] == "singlet").to_numpy()
    return keep_labelled(keep_cells(part, singlets, "no singlet by demuxlet"), "cell")
