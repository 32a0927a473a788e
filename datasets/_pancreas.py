"""Readers of the studies of pancreatic islets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from bench.data.formats import read_labels, read_text
from bench.data.formats.delimited import open_rows
from bench.data.formats.unpack import open_unpacked
from bench.errors import DataError

from ._labelled_counts import (
    GeneRows,
    add_note,
    drop_spike_ins,
    join_annotation,
    keep_labelled,
    require_columns,
    stack,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ._published import Published

_NO_TYPE = (
    "not applicable", "unclassified cell", "unclassified endocrine cell", "co-expression cell",
)  # fmt: skip
_COMMON_NAMES = {
    "duct": "ductal", "pp": "gamma", "t_cell": "T cell", "PSC cell": "stellate",
    "mesenchymal": "stellate", "activated_stellate": "stellate",
    "quiescent_stellate": "stellate", "MHC class II cell": "macrophage",
}  # fmt: skip
"""Name of a type in a study → common name."""


def read_baron(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the UMI counts of tables of cells × genes, one a donor."""
    parts = {}
    for name, path in files.items():
        part = read_text(path, orientation="cells", obs_columns=("barcode", "assigned_cluster"))
        require_columns(part.obs, path, "assigned_cluster")
        parts[name.split("_")[1]] = part
    return keep_labelled(stack(parts, "donor"), "assigned_cluster")


def read_muraro(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the UMI counts of a table of genes × cells, with types of another table."""
    matrix, types = files.values()
    adata = read_text(matrix, orientation="genes", sep="\t")
    adata.X.data = invert_umi_correction(adata.X.data, matrix)
    adata = drop_spike_ins(adata)
    symbols = adata.var_names.str.split("__").str[0]
    shared = symbols.duplicated(keep=False)
    adata.var_names = np.where(shared, adata.var_names, symbols).astype(object)
    table = read_labels(types)
    # R wrote the table after it had turned the hyphens of "D28-1_1" into dots.
    table.index = table.index.astype(str).str.replace(".", "-", regex=False)
    if table.shape[1] != 1:
        raise DataError(
            f"{types}: {table.shape[1]} columns beside the names of the cells, expected one.",
            code="size_mismatch",
        )
    table.columns = ["cell_type"]
    adata = join_annotation(adata, table, "muraro")
    adata.obs["donor"] = adata.obs_names.str.split("-").str[0]
    return keep_labelled(adata, "cell_type", without=("unclear",))


def invert_umi_correction(values: np.ndarray, path: Path) -> np.ndarray:
    """Return whole UMI counts of values corrected for UMIs used twice.

    GEO's values are n = -K · ln(1 - u / K) for u of K barcodes seen (Grün, Kester and van
    Oudenaarden 2014, doi 10.1038/nmeth.2930, eq. 1), with K = 4^4 or 4^6. A gene with all K
    barcodes seen has u = K - 0.5 in the file, K here. Raises ``DataError`` if neither K makes u
    whole.
    """
    exact = values.astype(np.float64)
    if np.array_equal(exact, np.rint(exact)):
        return exact.astype(np.float32)
    largest_error = np.inf
    for barcodes in (4**4, 4**6):
        seen = -barcodes * np.expm1(-exact / barcodes)
        seen[seen > barcodes - 0.75] = barcodes
        counts = np.rint(seen)
        # float32 on the way: relative 6e-8, amplified where the formula is steep.
        error = np.abs(seen - counts)
        if not (error > 0.01).any():
            return counts.astype(np.float32)
        largest_error = min(largest_error, float(error.max()))
    raise DataError(
        f"{path}: values are no UMI counts corrected for 4^4 or 4^6 barcodes (off whole "
        f"numbers by {largest_error:.2f}); expected the file of GSE85241.",
        code="not_counts",
    )


def _read_segerstolpe(matrix: Path, annotation: Path) -> AnnData:
    """Return reads of a table with symbol, accession, RPKM and counts of all cells."""
    # The first line, the names of the cells, begins with "#": rows come without it.
    with matrix.open("rb") as packed, open_unpacked(matrix, packed) as stream:
        cells = stream.readline().decode().rstrip().split("\t")[1:]
    n_repeated, known = 0, set[str]()
    with open_rows(matrix, "\t") as lines:
        genes = GeneRows(matrix, len(cells))
        for line, fields in lines:
            if fields[0] in known:
                n_repeated += 1
                continue
            known.add(fields[0])
            genes.add(line, fields[0], fields[2 + len(cells) :])
    adata = AnnData(
        genes.matrix(), obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=genes.genes)
    )
    if n_repeated:
        add_note(adata, f"{n_repeated} features dropped whose symbol occurs before")
    table = pd.read_csv(annotation, sep="\t", dtype=str).drop_duplicates("Source Name")
    table = table.set_index("Source Name")
    adata.obs["cell_type"] = table["Characteristics[cell type]"].reindex(cells).to_numpy()
    return keep_labelled(drop_spike_ins(adata), "cell_type", without=_NO_TYPE)


def read_three_studies(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the cells of three studies over common symbols, with common type names.

    Counts are UMIs, or reads for Smart-seq2.
    """
    *donors, muraro_matrix, muraro_types, matrix, annotation = files
    baron = read_baron(dataset, {name: files[name] for name in donors})
    baron.obs["cell_type"] = baron.obs["assigned_cluster"]
    parts = {
        "inDrop": baron,
        "CEL-Seq2": read_muraro(
            dataset, {name: files[name] for name in (muraro_matrix, muraro_types)}
        ),
        "Smart-seq2": _read_segerstolpe(files[matrix], files[annotation]),
    }
    adata = stack(parts, "protocol")
    names = adata.obs["cell_type"].astype(str).replace(_COMMON_NAMES)
    adata.obs["cell_type"] = names.str.replace(" cell$", "", regex=True).to_numpy()
    add_note(adata, "types of the three studies have the same names where they mean the same")
    return adata
