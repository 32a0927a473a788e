"""Readers of expression and chromatin of the same cells."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import scipy.sparse as sp
from anndata.io import read_elem, sparse_dataset

from bench.contract import format_peak_names, pair_data
from bench.contract.multiome import check_cells
from bench.data.formats import read_labels, read_market, read_text
from bench.data.tools.gene_positions import add_gene_positions, read_gene_positions
from bench.errors import DataError

from ._labelled_counts import labelled_counts, read_labelled_file, text_column

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from ._published import Published

_FEATURE_TYPES = {"rna": "GEX", "atac": "ATAC"}
"""Values of ``var["feature_types"]`` for the parts."""
_BLOCK = 4096
"""Cells read at once."""


def read_paired_files(dataset: Published, files: dict[str, Path]) -> AnnData | MuData:
    """Return parts from one ``.h5ad`` file each; options name the columns with names."""

    def read(part: str) -> AnnData:
        (path,) = _part_files(dataset, files, part)
        names = dataset.options.get("cells", ""), dataset.options.get(part, "")
        return read_labelled_file(path, "cell_type", dataset, peaks=part == "atac", names=names)

    return _pair(dataset, files, read)


def read_share_seq(dataset: Published, files: dict[str, Path]) -> AnnData | MuData:
    """Return genes and peaks of the cells in a table of labels.

    Counts of genes are a table; counts of peaks are a matrix with names of cells and peaks.
    """

    def read(part: str) -> AnnData:
        return _read_share_seq_part(*_part_files(dataset, files, part))

    return _pair(dataset, files, read)


def read_neurips_multiome(dataset: Published, files: dict[str, Path]) -> AnnData | MuData:
    """Return genes and peaks of a packed ``.h5ad`` file, with types and batches."""
    (packed,) = files.values()
    return _pair(dataset, files, lambda part: _read_neurips_part(packed, part, dataset.cache))


def _pair(
    dataset: Published, files: dict[str, Path], read: Callable[[str], AnnData]
) -> AnnData | MuData:
    """Return the chosen part, or both with positions of the genes."""
    if dataset.params.part != "both":
        return read(dataset.params.part)
    rna, atac = read("rna"), read("atac")
    notes = [line for part in (rna, atac) for line in part.uns.pop("bench_notes", [])]
    check_cells(rna, atac, dataset.name)
    if "positions" in dataset.options:
        tss = read_gene_positions(files[dataset.options["positions"]])
        notes.append(add_gene_positions(rna, tss, dataset.name))
    data = pair_data(rna, atac)
    data.uns["bench_notes"] = list(dict.fromkeys(notes))
    return data


def _part_files(dataset: Published, files: dict[str, Path], part: str) -> list[Path]:
    """Return the files of a part, in the order of its variant."""
    return [files[file.name] for file in dataset.variants["part"][part]["files"]]


def _read_share_seq_part(labels: Path, counts: Path, *names: Path) -> AnnData:
    """Return the counts of a part; ``names``: files with names of cells and peaks, if any."""
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
            code="unknown_cells",
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
    """Return a barcode with points for commas, which only the file of expression has."""
    return barcode.replace(",", ".")


def _read_neurips_part(packed: Path, part: str, cache: Path) -> AnnData:
    """Return one part with types and batches; ``cache`` holds the unpacked file meanwhile."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".neurips_multiome.", dir=cache) as folder:
        path = Path(folder) / packed.stem
        _unpack(packed, path)
        obs, names, counts = _read_features(path, _FEATURE_TYPES[part], packed)
    return labelled_counts(
        counts,
        cells=list(obs.index),
        features=format_peak_names(names) if part == "atac" else list(names),
        labels=text_column(obs, "cell_type", packed),
        label_key="cell_type",
        batch=("batch", text_column(obs, "batch", packed)),
        where=str(packed),
    )


def _unpack(packed: Path, path: Path) -> None:
    try:
        with gzip.open(packed) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 24)
    except (OSError, EOFError) as error:
        raise DataError(
            f"{packed}: cannot be unpacked into {path.parent.parent}: {error}; free space there, "
            "or fetch the file again.",
            code="damaged_archive",
        ) from None


def _read_features(
    path: Path, feature_type: str, where: Path
) -> tuple[pd.DataFrame, np.ndarray, sp.csr_matrix]:
    """Return cells, feature names and counts of one type of features."""
    try:
        with h5py.File(path) as file:
            obs, var = read_elem(file["obs"]), read_elem(file["var"])
            columns = np.flatnonzero(text_column(var, "feature_types", where) == feature_type)
            layer = sparse_dataset(file["layers/counts"])
            blocks = [
                sp.csr_matrix(layer[start : start + _BLOCK])[:, columns].astype(np.float32)
                for start in range(0, len(obs), _BLOCK)
            ]
    except (OSError, KeyError, ValueError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{where}: {text}; expected an .h5ad file with obs, var and layers/counts.",
            code="unreadable",
        ) from None
    if not len(columns):
        raise DataError(
            f"{where}: no features of type {feature_type} in var['feature_types'].",
            code="unknown_part",
        )
    return obs, var.index.to_numpy()[columns], sp.vstack(blocks, format="csr")
