"""The set of 1.3 million cells on a small file of the same layout, up to the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from _written import clusters_archive

from bench.errors import DataError


@pytest.fixture
def million(loader, tmp_path: Path):
    """The loader, its files in the documented format, their counts and cells."""
    import h5py

    dataset = loader("brain_1m")
    files = {file.name: tmp_path / file.name for file in dataset.card.files}
    matrix, analysis = files.values()
    counts = sp.csr_matrix(
        np.random.default_rng(0).poisson(1.0, (12, 5)) + np.eye(12, 5, dtype=int)
    )
    cells = [f"AAACCTGAGATAGG{a}{b}-{1 + (a == 'C')}" for a in "ACGT" for b in "ACG"]
    with h5py.File(matrix, "w") as file:
        group = file.create_group("mm10")
        group["data"] = counts.data.astype("i4")
        group["indices"] = counts.indices.astype("i8")
        group["indptr"] = counts.indptr.astype("i8")
        group["shape"] = np.array([5, 12], dtype="i4")
        group["genes"] = np.array([f"ENSMUSG{i}".encode() for i in range(5)])
        group["gene_names"] = np.array([b"Xkr4", b"Rp1", b"Rp1", b"Sox17", b"Mrpl15"])
        group["barcodes"] = np.array([cell.encode() for cell in cells])
    lines = ["Barcode,Cluster", *(f"{cell},{i % 3 + 1}" for i, cell in enumerate(cells))]
    clusters_archive(analysis, tmp_path / "analysis", "\n".join(lines[:1] + lines[:0:-1]) + "\n")
    return dataset, files, counts, cells


def test_brain_1m_stays_in_the_file(million):
    dataset, files, counts, cells = million
    adata = dataset.read(files)
    assert adata.shape == (12, 5)
    assert not sp.issparse(adata.X)
    assert adata.X.group["data"].file.driver != "core", "the whole file is in memory"
    for block in (slice(0, 5), slice(5, 12)):
        np.testing.assert_array_equal(adata.X[block].toarray(), counts[block].toarray())
    assert list(adata.obs_names) == cells
    assert list(adata.obs["Cluster"][:4]) == ["1", "2", "3", "1"]
    assert list(adata.var["symbol"])[:2] == ["Xkr4", "Rp1"]
    assert adata.var_names.is_unique


def test_brain_1m_needs_a_cluster_for_every_barcode(million, tmp_path):
    dataset, files, _, cells = million
    analysis = list(files.values())[1]
    clusters_archive(analysis, tmp_path / "analysis", f"Barcode,Cluster\n{cells[0]},1\n")
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "missing_labels"


def test_brain_1m_refuses_another_layout(million):
    import h5py

    dataset, files, _, _ = million
    matrix = next(iter(files.values()))
    with h5py.File(matrix, "w") as file:
        file.create_group("matrix")["barcodes"] = np.array([b"A"])
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "unreadable"
    matrix.write_bytes(b"nothing")
    with pytest.raises(DataError) as error:
        dataset.read(files)
    assert error.value.code == "unreadable"


def test_the_cache_holds_the_counts_of_brain_1m(million, store, monkeypatch):
    dataset, files, counts, cells = million
    monkeypatch.setattr(dataset, "fetch", lambda: files)
    cached = store.load_dataset(dataset, "source", "brain_1m")
    arrays = [np.load(cached.folder / f"{name}.npy") for name in ("data", "indices", "indptr")]
    matrix = sp.csr_matrix(tuple(arrays), counts.shape)
    order = np.load(cached.folder / "order.npy")
    np.testing.assert_array_equal(matrix.toarray(), counts.toarray()[order])
    assert cached.facts["types"] == {"1": 4, "2": 4, "3": 4}
    assert list(np.load(cached.folder / "cells.npy")) == [cells[place] for place in order]
