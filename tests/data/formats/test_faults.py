"""Folders, MatrixMarket and HDF5: parts, names beside the matrix, and faults."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from anndata import AnnData

from bench.data import file_names, formats
from bench.errors import DataError, UsageError
from bench.messages import collect_notes


def fault(path: Path, **options: object) -> str:
    """Return the code of the error."""
    with pytest.raises(DataError) as error:
        formats.read_counts(path, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert str(path.parent) in str(error.value)
    return error.value.code


def folder_of(
    folder: Path, matrix: np.ndarray, barcodes: list[str], features: list[str], name: str = ""
) -> Path:
    """Write a matrix (features × cells) with its names."""
    folder.mkdir(exist_ok=True)
    stream = io.BytesIO()
    scipy.io.mmwrite(stream, sp.coo_matrix(matrix))
    (folder / f"{name}matrix.mtx").write_bytes(stream.getvalue())
    (folder / f"{name}barcodes.tsv").write_text("\n".join(barcodes))
    (folder / f"{name}features.tsv").write_text("\n".join(features))
    return folder


THREE = ["ENSG1\tCD3\tGene Expression", "chr1:1-9\tchr1:1-9\tPeaks", "P1\tCD3\tAntibody Capture"]


# Several kinds of features.


@pytest.mark.parametrize(
    ("part", "names"),
    [(None, ["CD3"]), ("rna", ["CD3"]), ("atac", ["chr1:1-9"]), ("protein", ["CD3-1"])],
)
def test_kinds_of_features(tmp_path: Path, part: str | None, names: list[str]):
    folder = folder_of(tmp_path / "f", np.arange(1, 7).reshape(3, 2), ["a", "b"], THREE)
    with collect_notes() as notes:
        adata = formats.read_counts(folder, part=part)
    assert list(adata.var_names) == names
    assert ("took Gene Expression" in notes[-1]) is (part is None)
    assert fault(folder, part="Multiplexing") == "unknown_part"


def test_a_part_of_data_that_have_one(tmp_path: Path, toy_counts: AnnData):
    path = tmp_path / "x.h5ad"
    toy_counts.write_h5ad(path)
    assert fault(path, part="rna") == "unknown_part"
    text = tmp_path / "x.csv"
    text.write_text(",g1,g2\nc1,1,2\n")
    assert fault(text, part="rna") == "unknown_part"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_parts_of_paired_data(tmp_path: Path, toy_counts: AnnData, suffix: str):
    from mudata import MuData

    both = MuData({"RNA": toy_counts, "peaks": toy_counts[:30, :5].copy()})
    both.obs["donor"] = [f"d{i}" for i in range(60)]
    path = tmp_path / f"x.{suffix}"
    (both.write_zarr if suffix == "zarr" else both.write_h5mu)(path)
    with collect_notes() as notes:
        assert formats.read_counts(path).shape == (60, 40)
    assert "holds RNA, peaks; took RNA" in notes[0]
    assert fault(path, part="protein") == "unknown_part"
    assert formats.read_counts(path, part="peaks").shape == (30, 5)
    adata = formats.read_counts(path, part="atac")
    assert adata.shape == (30, 5)
    assert adata.obs["donor"].tolist() == [f"d{i}" for i in range(30)]


# MatrixMarket.


def test_sizes_that_do_not_fit(tmp_path: Path):
    folder = folder_of(tmp_path / "f", np.ones((3, 2), int), ["a", "b"], ["x", "y"])
    assert fault(folder) == "size_mismatch"


def test_a_square_matrix_has_features_in_rows(tmp_path: Path):
    matrix = np.array([[1, 2], [0, 3]])
    folder = folder_of(tmp_path / "f", matrix, ["a", "b"], ["x", "y"])
    path = folder / "matrix.mtx"
    with collect_notes() as notes:
        np.testing.assert_array_equal(formats.read_counts(path).X.toarray(), matrix.T)
    assert "assumed features in rows" in notes[0]
    adata = formats.read_counts(path, transpose=False)
    np.testing.assert_array_equal(adata.X.toarray(), matrix)


def test_features_that_occur_twice_keep_their_identifiers(tmp_path: Path):
    features = ["ENSG1\tAa\tGene Expression", "ENSG2\tAa\tGene Expression"]
    folder = folder_of(tmp_path / "f", np.ones((2, 3), int), ["a", "b", "c"], features)
    with collect_notes() as notes:
        adata = formats.read_counts(folder)
    assert list(adata.var_names) == ["Aa", "Aa-1"]
    assert list(adata.var["gene_ids"]) == ["ENSG1", "ENSG2"]
    assert len(notes) == 1
    assert "'Aa'" in notes[0]


def test_barcodes_that_occur_twice(tmp_path: Path):
    folder = folder_of(tmp_path / "f", np.ones((2, 3), int), ["a", "b", "a"], ["x", "y"])
    assert fault(folder) == "duplicate_names"


def test_peaks_in_three_columns(tmp_path: Path):
    folder = folder_of(
        tmp_path / "f", np.ones((2, 3), int), ["a", "b", "c"], ["chr1\t5\t9", "chr2\t7\t8"]
    )
    (folder / "features.tsv").rename(folder / "peaks.bed")
    assert list(formats.read_counts(folder).var_names) == ["chr1:5-9", "chr2:7-8"]


def test_names_as_r_writes_them(tmp_path: Path):
    folder = folder_of(tmp_path / "f", np.ones((2, 3), int), ["a", "b", "c"], ["x", "y"])
    (folder / "barcodes.tsv").unlink()
    (folder / "barcodes.csv").write_text('"","x"\n"1","a"\n"2","b"\n"3","c"\n')
    assert list(formats.read_counts(folder).obs_names) == ["a", "b", "c"]


def test_sizes_decide_against_transpose(tmp_path: Path):
    folder = folder_of(tmp_path / "f", np.ones((2, 3), int), ["a", "b", "c"], ["x", "y"])
    with collect_notes() as notes:
        adata = formats.read_counts(folder / "matrix.mtx", transpose=False)
    assert adata.shape == (3, 2)
    assert len(notes) == 1
    assert "features in rows, by the number of names" in notes[0]


def test_two_samples_in_one_folder(tmp_path: Path):
    for name, value in (("GSM1_", 1), ("GSM2_", 2)):
        folder_of(tmp_path / "f", np.full((2, 3), value), ["a", "b", "c"], ["x", "y"], name)
    assert fault(tmp_path / "f") == "ambiguous_file"
    for name, value in (("GSM1_", 1), ("GSM2_", 2)):
        adata = formats.read_counts(tmp_path / "f" / f"{name}matrix.mtx")
        assert adata.X.toarray().tolist() == [[value] * 2] * 3


def test_missing_names(tmp_path: Path):
    folder = folder_of(tmp_path / "f", np.ones((2, 3), int), ["a", "b", "c"], ["x", "y"])
    (folder / "features.tsv").unlink()
    assert fault(folder) == "missing_names"
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "sub").mkdir()
    (tmp_path / "g" / "sub" / "matrix.mtx").touch()
    with pytest.raises(DataError, match=r"look in sub\.") as error:
        formats.read_counts(tmp_path / "g")
    assert error.value.code == "missing_file"


def test_labels_beside_the_barcodes_are_no_barcodes(tmp_path: Path):
    folder = folder_of(tmp_path / "f", np.ones((2, 3), int), ["a", "b", "c"], ["x", "y"])
    (folder / "cell_types.csv").write_text("barcode,type\na,T\n")
    (folder / "marker_genes.csv").write_text("gene\nx\n")
    assert formats.read_counts(folder).shape == (3, 2)


@pytest.mark.filterwarnings("ignore")
def test_parts_without_genes(tmp_path: Path, toy_counts: AnnData):
    from mudata import MuData

    path = tmp_path / "x.h5mu"
    MuData({"x": toy_counts, "prot": toy_counts.copy()}).write_h5mu(path)
    assert fault(path) == "ambiguous_part"


@pytest.mark.parametrize("content", [b"", b"garbage\n1 2 3\n", b"\x1f\x8bgarbage"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_unreadable_matrix(tmp_path: Path, content: bytes, packed: bool):
    folder = folder_of(tmp_path / "f", np.ones((2, 3), int), ["a", "b", "c"], ["x", "y"])
    (folder / "matrix.mtx").unlink()
    path = folder / ("matrix.mtx.gz" if packed else "matrix.mtx")
    path.write_bytes(content)
    assert fault(path) == "unreadable"


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_matrix(tmp_path: Path, packed: bool):
    rng = np.random.default_rng(0)
    folder = folder_of(
        tmp_path / "f", rng.integers(1, 999, (40, 50)), list(map(str, range(50))),
        list(map(str, range(40))),
    )  # fmt: skip
    path = folder / "matrix.mtx"
    content = path.read_bytes()
    if packed:
        path.unlink()
        path = folder / "matrix.mtx.gz"
        content = gzip.compress(content)
    path.write_bytes(content[: len(content) // 2])
    assert fault(path) == "unreadable"


# HDF5.


def hdf(path: Path, **arrays: np.ndarray) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name.replace("__", "/")] = values
    return path


def test_hdf5_of_unknown_layout(tmp_path: Path):
    path = hdf(tmp_path / "x.h5", a=np.ones(2), b__c=np.ones(2))
    assert fault(path) == "unknown_format"


@pytest.mark.parametrize("name", ["x.h5", "x.loom", "x.h5mu", "x.hdf5", "x.h5ad"])
def test_no_hdf5_at_all(tmp_path: Path, name: str):
    path = tmp_path / name
    for content in (b"", b"text\n", b"\x89HDF\r\n\x1a\n" + bytes(30)):
        path.write_bytes(content)
        assert fault(path) == "unreadable"


def test_x_with_cells_in_columns_is_transposed(tmp_path: Path):
    path = hdf(tmp_path / "x.h5", X=np.arange(6).reshape(2, 3), Y=np.array([0, 1, 1]))
    with collect_notes() as notes:
        adata = formats.read_counts(path)
    np.testing.assert_array_equal(adata.X.toarray(), np.arange(6).reshape(2, 3).T)
    assert adata.obs["cell_type"].tolist() == ["0", "1", "1"]
    assert "X has cells in columns" in notes[0]
    path = hdf(tmp_path / "y.h5", X=np.ones((2, 3)), Y=np.ones(5))
    assert fault(path) == "size_mismatch"


def test_labels_of_text(tmp_path: Path):
    path = hdf(tmp_path / "x.h5", X=np.ones((2, 3)), Y=np.array([b"T cell", b"B cell"]))
    assert formats.read_counts(path).obs["cell_type"].tolist() == ["T cell", "B cell"]


def test_loom_without_names_or_with_wide_attributes(tmp_path: Path):
    names = {"row_attrs__Gene": np.array([b"x", b"y"]), "matrix": np.ones((2, 3))}
    path = hdf(tmp_path / "x.loom", **names, col_attrs__n=np.ones(3))
    assert fault(path) == "missing_names"
    cells = {"col_attrs__CellID": np.array([b"a", b"b", b"c"])}
    path = hdf(tmp_path / "y.loom", **names, **cells, col_attrs__pca=np.ones((3, 2)))
    with collect_notes() as notes:
        assert formats.read_counts(path).shape == (3, 2)
    assert "(pca)" in notes[0]


def test_empty_zarr_folders(tmp_path: Path):
    for content in ('{"zarr_format": 2}', "garbage"):
        folder = tmp_path / f"{len(content)}.zarr"
        folder.mkdir()
        (folder / ".zgroup").write_text(content)
        assert fault(folder) == "unreadable"


def test_transpose_swaps_a_fixed_layout(tmp_path: Path, toy_counts: AnnData):
    path = tmp_path / "x.h5ad"
    toy_counts.T.write_h5ad(path)
    with collect_notes() as notes:
        adata = formats.read_counts(path, transpose=True)
    assert list(adata.obs_names) == list(toy_counts.obs_names)
    assert adata.X.format == "csr"
    np.testing.assert_array_equal(adata.X.toarray(), toy_counts.X.toarray())
    assert len(notes) == 1


# Memory and paths.


def write_loom(path: Path) -> Path:
    return hdf(
        path, matrix=np.ones((200, 300)), row_attrs__Gene=np.arange(200).astype("S"),
        col_attrs__CellID=np.arange(300).astype("S"),
    )  # fmt: skip


def write_h5ad(path: Path) -> Path:
    AnnData(np.ones((200, 300))).write_h5ad(path)
    return path


def write_zarr(path: Path) -> Path:
    AnnData(np.ones((200, 300))).write_zarr(path)
    return path


def write_market(path: Path) -> Path:
    names = [str(i) for i in range(200)]
    return folder_of(path.parent, np.ones((200, 200), int), names, names) / path.name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("write", "name"),
    [(write_loom, "x.loom"), (write_h5ad, "x.h5ad"), (write_zarr, "x.zarr"),
     (write_market, "matrix.mtx")],
)  # fmt: skip
def test_more_memory_than_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path], name: str
):
    import psutil

    path = write(tmp_path / name)
    assert formats.read_counts(path).n_obs >= 200
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**17))
    assert fault(path) == "not_enough_memory"


def test_names_and_paths(tmp_path: Path):
    for name, shown in {
        "x.csv.gz": "x", "x.y.tsv": "x.y", "x.mtx.gz": "x", "x.h5ad": "x", "x.zarr": "x",
        "x.csv.zip": "x", "folder": "folder", ".csv": ".csv",
    }.items():  # fmt: skip
        assert file_names.display_name(tmp_path / name) == shown
    (tmp_path / "x.rds").touch()
    for name, code in (("x.rds", "unknown_format"), ("x.csv", "missing_file")):
        with pytest.raises(UsageError) as error:
            formats.read_counts(tmp_path / name)
        assert error.value.code == code
    assert not file_names.is_matrix_folder(tmp_path)
    assert file_names.is_matrix_folder(
        folder_of(tmp_path / "f", np.ones((1, 2), int), ["a", "b"], ["x"])
    )
