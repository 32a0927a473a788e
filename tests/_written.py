"""Small files in the format of their authors, and the counts that a loader reads."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp


def counts(n_cells: int, n_genes: int, seed: int = 0) -> np.ndarray:
    """Counts with no empty cell or gene, cells × genes."""
    return np.random.default_rng(seed).poisson(1.0, (n_cells, n_genes)) + np.eye(
        n_cells, n_genes, dtype=int
    )


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        with gzip.open(path, "wt") as stream:
            stream.write(text)
    else:
        path.write_text(text)
    return path


def by_card(dataset, folder: Path) -> dict[str, Path]:
    """The files that a card asks for, all in one folder."""
    return {file.name: folder / file.name for file in dataset.card.files}


def dense(adata) -> np.ndarray:
    assert sp.issparse(adata.X)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    return adata.X.toarray()


def clusters_archive(path: Path, folder: Path, text: str) -> None:
    """Pack an analysis of Cell Ranger with two clusterings, of which the graph's is ``text``."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("graphclust", text), ("kmeans_2_clusters", "Barcode,Cluster\n")):
            member = f"analysis/clustering/{name}/clusters.csv"
            archive.add(write(folder / member, content), member)
