"""Data in memory become files of the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bench.data.cache.data_cache import DataCache
from bench.data.file_dataset import FileDataset
from bench.data.memory import errors_with_names, write_memory_data
from bench.errors import DataError, UsageError


def cells(n: int = 12, features: str = "g") -> ad.AnnData:
    counts = np.random.default_rng(0).poisson(2.0, (n, 6)).astype("float32")
    obs = pd.DataFrame({"cell_type": ["a", "b"] * (n // 2)}, index=[f"c{i}" for i in range(n)])
    return ad.AnnData(sp.csr_matrix(counts), obs=obs,
                      var=pd.DataFrame(index=[f"{features}{i}" for i in range(6)]))  # fmt: skip


def read(path: Path, **params: Any) -> Any:
    return FileDataset.from_path(path, FileDataset.Params(**params)).load()


def test_the_same_data_are_one_file(tmp_path: Path):
    first, files = write_memory_data(cells(), tmp_path)
    (path,) = files
    assert (first, files[path]) == (str(path), "data")
    written = path.stat().st_ino
    assert write_memory_data(cells(), tmp_path)[0] == first
    assert path.stat().st_ino == written
    assert write_memory_data(cells(10), tmp_path)[0] != first
    assert not list((tmp_path / "memory").glob("new-*"))


def test_names_lists_and_selectors(tmp_path: Path):
    both = [{"one": cells()}, "sim_rna[n_cells=9]", tmp_path / "x.h5ad", cells(10)]
    selector, files = write_memory_data(both, tmp_path)
    one, data = files
    assert selector == f"{one},sim_rna[n_cells=9],{tmp_path / 'x.h5ad'},{data}"
    assert (one.name, data.name) == ("one.h5ad", "data.h5ad")


def test_odd_columns_are_written_and_the_data_stay(tmp_path: Path):
    adata = cells()
    adata.obs["mixed"] = [None, 1, "x", 2.5] * 3
    adata.obs["day"] = pd.Timestamp("2020-01-01")
    adata.obs["one"] = pd.array([1, None] * 6, dtype="Int64")
    adata.obs[3] = 1.0
    adata.obs.index.name = "cell_type"
    adata.uns["model"] = object()
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata
    adata.obsm["X_pca"] = np.zeros((12, 2))
    before = adata.obs.copy()
    (path,) = write_memory_data(adata, tmp_path)[1]
    pd.testing.assert_frame_equal(adata.obs, before)
    back = read(path)
    assert list(back.obs["cell_type"]) == list(before["cell_type"])
    assert (back.X != adata.X).nnz == 0
    assert list(back.obs_names) == list(adata.obs_names)


@pytest.mark.parametrize("make", [
    lambda adata: adata[::2], lambda adata: adata[:, ::-1],
    lambda adata: ad.AnnData(adata.X.toarray(), obs=adata.obs, var=adata.var),
    lambda adata: ad.AnnData(sp.csc_matrix(adata.X), obs=adata.obs, var=adata.var),
    lambda adata: ad.AnnData(adata.X.toarray().astype(int), obs=adata.obs, var=adata.var),
])  # fmt: skip
def test_views_and_kinds_of_matrices(make: Any, tmp_path: Path):
    adata = make(cells())
    (path,) = write_memory_data(adata, tmp_path)[1]
    back = read(path)
    counts = adata.X.toarray() if sp.issparse(adata.X) else adata.X
    np.testing.assert_array_equal(back.X.toarray(), counts)


def test_backed_data(tmp_path: Path):
    cells().write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    backed.obs["kind"] = "new"
    (path,) = write_memory_data(backed, tmp_path / "cache")[1]
    assert backed.isbacked
    assert set(read(path, label_key="kind").obs["kind"]) == {"new"}


def test_paired_data_with_shared_labels(tmp_path: Path):
    rna, atac = cells(), cells(features="chr1:1000-200")
    del rna.obs["cell_type"], atac.obs["cell_type"]
    pair = mudata.MuData({"rna": rna, "atac": atac})
    pair.obs["kind"] = ["a", "b"] * 6
    (path,) = write_memory_data({"pair": pair}, tmp_path)[1]
    assert path.name == "pair.h5mu"
    back = read(path, label_key="kind")
    assert list(back["rna"].obs["kind"]) == ["a", "b"] * 6
    np.testing.assert_array_equal(back["atac"].X.toarray(), atac.X.toarray())


@pytest.mark.parametrize(("wrong", "code"), [
    (np.zeros((3, 3)), "not_a_dataset"), ({"x": "pca"}, "not_a_dataset"), (3, "not_a_dataset"),
    ({"a/b": cells()}, "invalid_name"), ({"a,b": cells()}, "invalid_name"),
    ({"": cells()}, "invalid_name"), ({1: cells()}, "invalid_name"),
    ([cells(), cells(10)], "duplicate_names"),
])  # fmt: skip
def test_what_is_no_dataset(wrong: Any, code: str, tmp_path: Path):
    with pytest.raises(UsageError) as raised:
        write_memory_data(wrong, tmp_path)
    assert raised.value.code == code


def test_errors_name_the_data_and_the_parameters_of_python(tmp_path: Path):
    files = {tmp_path / "data.h5ad": "mine"}
    with pytest.raises(DataError) as raised, errors_with_names(files):
        raise DataError(f"{tmp_path / 'data.h5ad'}: no column; pass --label-key.", code="x")
    assert str(raised.value) == "data 'mine': no column; pass label_key=."
    assert raised.value.code == "x"


def test_files_go_when_the_cache_is_cleaned(tmp_path: Path):
    (path,) = write_memory_data(cells(), tmp_path)[1]
    cache = DataCache(tmp_path)
    cache.clean()
    assert path.exists()
    cache.clean(everything=True)
    assert not path.exists()
