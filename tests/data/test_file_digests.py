"""The identity of a file: its content, wherever it lies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from anndata import AnnData

from bench.data import file_digests
from bench.data.file_dataset import FileDataset
from bench.settings import load_settings


@pytest.fixture
def saved(tmp_path: Path, toy_counts: AnnData):
    """Write the toy counts after a change and return the path."""

    def write(change=lambda adata: None, name: str = "toy.h5ad") -> Path:
        adata = toy_counts.copy()
        change(adata)
        adata.write_h5ad(tmp_path / name)
        return tmp_path / name

    return write


def identity(path: Path, cache: Path, **keys: Any) -> dict[str, Any]:
    dataset = FileDataset.from_path(path, FileDataset.Params.build(keys, owner="test"))
    dataset.configure(load_settings({"cache_dir": cache}))
    return dataset.fingerprint()


def test_the_content_of_every_file_counts(saved, tmp_path: Path):
    path, labels = saved(), tmp_path / "types.csv"
    labels.write_text("barcode,type\n")
    one = identity(path, tmp_path)
    os.utime(path, ns=(1, 1))
    assert identity(path, tmp_path) == one
    both = identity(path, tmp_path, labels=str(labels))
    labels.write_text("barcode,kind\n")
    other = identity(path, tmp_path, labels=str(labels))
    assert len({str(each) for each in (one, both, other)}) == 3


def test_a_copy_is_the_same_dataset_and_another_file_of_one_name_is_not(saved, tmp_path: Path):
    path = saved()
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    copy = shutil.copy(path, tmp_path / "a" / "copy.h5ad")
    assert identity(Path(copy), tmp_path) == identity(path, tmp_path)
    names = []
    for folder, change in {
        "b": lambda adata: None, "c": lambda adata: adata.obs.insert(0, "n", 1)
    }.items():  # fmt: skip
        other = saved(change, "other.h5ad")
        names.append(shutil.move(other, tmp_path / folder / "toy.h5ad"))
    first, second = (identity(Path(name), tmp_path) for name in names)
    assert first != second


def test_a_file_with_equal_size_and_time_but_other_content_is_noticed(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(",a,b\nc1,1,2\n")
    before, stat = identity(path, tmp_path), path.stat()
    path.write_text(",a,b\nc1,1,3\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert identity(path, tmp_path) != before
    replacement = tmp_path / "y.csv"
    replacement.write_text(",a,b\nc1,1,4\n")
    os.utime(replacement, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    replacement.replace(path)
    assert identity(path, tmp_path) != before


def test_unchanged_files_are_read_once(saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved()
    first = identity(path, tmp_path)

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(file_digests, "_digest", refuse)
    assert identity(path, tmp_path) == first
    os.utime(path)
    with pytest.raises(AssertionError, match="is read again"):
        identity(path, tmp_path)


def test_the_fingerprint_of_a_folder_covers_its_files(tmp_path: Path):
    scipy.io.mmwrite(tmp_path / "matrix.mtx", sp.coo_matrix(np.ones((2, 3), int)))
    (tmp_path / "barcodes.tsv").write_text("a\nb\nc\n")
    (tmp_path / "genes.tsv").write_text("x\ny\n")
    seen = [FileDataset.from_path(tmp_path).fingerprint()]
    for name in ("matrix.mtx", "barcodes.tsv", "genes.tsv"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes() + b"\n")
        seen.append(FileDataset.from_path(tmp_path).fingerprint())
    assert len({str(one) for one in seen}) == 4


def test_the_names_inside_a_zarr_folder_count(tmp_path: Path, toy_counts: AnnData):
    toy_counts.write_zarr(tmp_path / "one.zarr")
    shutil.copytree(tmp_path / "one.zarr", tmp_path / "two.zarr")
    one, two = (FileDataset.from_path(tmp_path / f"{name}.zarr") for name in ("one", "two"))
    assert one.fingerprint() == two.fingerprint()
    (tmp_path / "two.zarr" / "uns").rename(tmp_path / "two.zarr" / "uns2")
    assert one.fingerprint() != two.fingerprint()
