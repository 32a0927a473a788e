"""Files of other programs: empty values, types of numbers, missing attributes, names elsewhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from anndata import AnnData

from bench.data.formats import read_counts
from bench.errors import DataError
from bench.messages import collect_notes

pytestmark = pytest.mark.filterwarnings("ignore")


def same(path: Path, expected: AnnData, **options: object) -> AnnData:
    """Read a file and compare names and counts."""
    adata = read_counts(path, **options)  # type: ignore[arg-type]
    assert list(adata.obs_names) == list(expected.obs_names)
    assert list(adata.var_names) == list(expected.var_names)
    assert adata.X.format == "csr"
    np.testing.assert_array_equal(adata.X.toarray(), expected.X.toarray())
    return adata


def fault(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_counts(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return error.value.code


# Empty values (HDF5 null), as scanpy's log1p and pca leave them.


@pytest.mark.parametrize(
    "place",
    ["uns/log1p/base", "uns/a/b/c", "uns", "obs/score", "var/mean", "obsm/X_umap", "obsp",
     "obsp/d", "layers/z", "raw/varm", "varm/PCs"],
)  # fmt: skip
def test_empty_values(tmp_path: Path, toy_counts: AnnData, place: str):
    path = tmp_path / "x.h5ad"
    adata = toy_counts.copy()
    adata.raw = adata.copy()
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        file.pop(place, None)
        file[place] = h5py.Empty("f8")
        if place.startswith(("obs/", "var/")):
            table, column = place.split("/")
            old = list(file[table].attrs["column-order"])
            file[table].attrs["column-order"] = [*old, column]
    same(path, toy_counts)


def test_an_empty_matrix_is_missing(tmp_path: Path, toy_counts: AnnData):
    path = tmp_path / "x.h5ad"
    toy_counts.write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["X"]
        file["X"] = h5py.Empty("f4")
    assert read_counts(path).X is None


def test_none_as_anndata_writes_it(tmp_path: Path, toy_counts: AnnData):
    toy_counts = toy_counts.copy()
    toy_counts.uns["log1p"] = {"base": None}
    toy_counts.write_h5ad(tmp_path / "x.h5ad")
    assert same(tmp_path / "x.h5ad", toy_counts).uns["log1p"]["base"] is None
    toy_counts.write_zarr(tmp_path / "x.zarr")
    same(tmp_path / "x.zarr", toy_counts)


def test_what_cannot_be_read_is_left_out_with_a_note(tmp_path: Path, toy_counts: AnnData):
    path = tmp_path / "x.h5ad"
    toy_counts.write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["obsm/short"] = np.ones((3, 2))
        file["uns/strange"] = 1
        file["uns/strange"].attrs["encoding-type"] = "of-tomorrow"
    with collect_notes() as notes:
        same(path, toy_counts)
    assert notes == [f"{path}: not readable and left out: 'obsm/short', 'uns/strange'"]


# Types of numbers.


@pytest.mark.parametrize("kind", ["f2", ">f4", ">f8", ">i4", "u8", "?", "i1", "g"])
@pytest.mark.parametrize("sparse", [True, False])
def test_types_of_numbers(tmp_path: Path, toy_counts: AnnData, kind: str, sparse: bool):
    path = tmp_path / "x.h5ad"
    toy_counts.write_h5ad(path)
    values = toy_counts.X
    if kind == "?":
        values = (values > 0).astype(np.float32)
    with h5py.File(path, "a") as file:
        if sparse:
            del file["X/data"]
            file["X/data"] = values.data.astype(kind)
        else:
            del file["X"]
            file["X"] = values.toarray().astype(kind)
    expected = toy_counts.copy()
    expected.X = values
    same(path, expected)


# Tables without the attributes of anndata.


def bare(path: Path, adata: AnnData, index: str = "_index", *, named: bool = False) -> None:
    with h5py.File(path, "w") as file:
        file["X"] = adata.X.toarray()
        for key, names in (("obs", adata.obs_names), ("var", adata.var_names)):
            group = file.create_group(key)
            group[index] = np.array(names, dtype="S")
            if named:
                group.attrs["_index"] = index


@pytest.mark.parametrize(
    ("index", "named"), [("_index", True), ("_index", False), ("index", False), ("names", True)]
)
def test_names_of_tables_without_attributes(
    tmp_path: Path, toy_counts: AnnData, index: str, named: bool
):
    bare(tmp_path / "x.h5ad", toy_counts, index, named=named)
    same(tmp_path / "x.h5ad", toy_counts)


def test_no_names_at_all(tmp_path: Path, toy_counts: AnnData):
    bare(tmp_path / "x.h5ad", toy_counts, "something")
    assert fault(tmp_path / "x.h5ad") == "missing_names"


@pytest.mark.parametrize("how", ["factor of R", "anndata 0.6", "codes"])
def test_categories_of_other_programs(tmp_path: Path, toy_counts: AnnData, how: str):
    path = tmp_path / "x.h5ad"
    bare(path, toy_counts)
    levels, codes = np.array(["a", "b", "c"], dtype="S"), np.arange(60) % 3
    with h5py.File(path, "a") as file:
        if how == "factor of R":
            file["obs/cell_type/levels"], file["obs/cell_type/values"] = levels, codes + 1
        elif how == "codes":
            file["obs/cell_type/categories"], file["obs/cell_type/codes"] = levels, codes
        else:
            file["obs/cell_type"], file["obs/__categories/cell_type"] = codes, levels
    assert read_counts(path).obs["cell_type"].tolist() == ["a", "b", "c"] * 20


# Names of loom files, folders with two lists of genes, genomes.


@pytest.mark.parametrize(
    ("cells", "features"),
    [("barcode", "target_name"), ("Barcode", "gene_name"), ("obs_names", "gene_symbol"),
     ("CellID", "gene_id"), ("cell_name", "feature_name"), ("CellID", "gene_ids")],
)  # fmt: skip
def test_names_in_loom(tmp_path: Path, toy_counts: AnnData, cells: str, features: str):
    with h5py.File(tmp_path / "x.loom", "w") as file:
        file["matrix"] = toy_counts.X.toarray().T
        file[f"col_attrs/{cells}"] = np.array(toy_counts.obs_names, dtype="S")
        file[f"row_attrs/{features}"] = np.array(toy_counts.var_names, dtype="S")
        file["row_attrs/empty"] = h5py.Empty("f4")
        file["layers/empty"] = h5py.Empty("f4")
    same(tmp_path / "x.loom", toy_counts)


def test_names_come_before_identifiers(tmp_path: Path, toy_counts: AnnData):
    with h5py.File(tmp_path / "x.loom", "w") as file:
        file["matrix"] = toy_counts.X.toarray().T
        file["col_attrs/barcode"] = np.array(toy_counts.obs_names, dtype="S")
        file["row_attrs/gene_id"] = np.array([f"ENSG{i:011d}" for i in range(40)], dtype="S")
        file["row_attrs/target_name"] = np.array(toy_counts.var_names, dtype="S")
    assert same(tmp_path / "x.loom", toy_counts).var["gene_ids"].iloc[1] == "ENSG00000000001"


def folder_of(folder: Path, adata: AnnData, matrix: str, files: dict[str, list[str]]) -> Path:
    folder.mkdir()
    stream = io.BytesIO()
    scipy.io.mmwrite(stream, sp.coo_matrix(adata.X.astype(int)))
    (folder / matrix).write_bytes(stream.getvalue())
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("matrix", "cells", "names", "ids"),
    [
        ("cells_x_genes.mtx", "cells_x_genes.barcodes.txt", "cells_x_genes.genes.names.txt",
         "cells_x_genes.genes.txt"),
        ("matrix.mtx", "barcodes.tsv", "gene_names.tsv", "gene_ids.tsv"),
        ("matrix.mtx", "barcodes.tsv", "features.symbols.txt", "features.txt"),
        ("quants_mat.mtx", "quants_mat_rows.txt", "quants_mat_cols.txt", None),
    ],
)  # fmt: skip
def test_two_lists_of_genes(
    tmp_path: Path, toy_counts: AnnData, matrix: str, cells: str, names: str, ids: str | None
):
    identifiers = [f"ENSG{i:011d}.3" for i in range(40)]
    files = {cells: list(toy_counts.obs_names), names: list(toy_counts.var_names)}
    files |= {ids: identifiers} if ids else {}
    adata = same(folder_of(tmp_path / "f", toy_counts, matrix, files), toy_counts)
    assert list(adata.var.get("gene_ids", [])) == (identifiers if ids else [])


def test_columns_below_a_header_line(tmp_path: Path, toy_counts: AnnData):
    """The folder of Parse Biosciences."""
    cells = [f"{cell},{kind}" for cell, kind in toy_counts.obs["cell_type"].items()]
    genes = [f"ENSG{i:011d},{name},hg38" for i, name in enumerate(toy_counts.var_names)]
    files = {
        "cell_metadata.csv": ["bc_wells,cell_type", *cells],
        "all_genes.csv": ["gene_id,gene_name,genome", *genes],
    }
    adata = same(folder_of(tmp_path / "f", toy_counts, "DGE.mtx", files), toy_counts)
    assert adata.obs["cell_type"].tolist() == toy_counts.obs["cell_type"].tolist()
    assert list(adata.var) == ["gene_ids", "genome"]


def genomes(path: Path, adata: AnnData, cells: dict[str, slice]) -> Path:
    with h5py.File(path, "w") as file:
        for number, (name, rows) in enumerate(cells.items()):
            part = adata[rows, number * 20 : number * 20 + 20]
            matrix, group = sp.csc_matrix(part.X.T), file.create_group(name)
            group["data"], group["indices"] = matrix.data, matrix.indices
            group["indptr"], group["shape"] = matrix.indptr, matrix.shape
            group["barcodes"] = np.array(part.obs_names, dtype="S")
            group["genes"] = group["gene_names"] = np.array(part.var_names, dtype="S")
    return path


def test_several_genomes_are_joined_or_chosen(tmp_path: Path, toy_counts: AnnData):
    every = genomes(tmp_path / "x.h5", toy_counts, dict.fromkeys(["hg19", "mm10"], slice(None)))
    with collect_notes() as notes:
        same(every, toy_counts)
    assert "'x.h5[part=hg19]'" in notes[0]
    same(every, toy_counts[:, 20:], part="mm10")
    few = genomes(tmp_path / "y.h5", toy_counts, {"hg19": slice(40), "mm10": slice(20, 60)})
    expected = toy_counts.copy()
    counts = expected.X.tolil()
    counts[40:, :20] = 0
    counts[:20, 20:] = 0
    expected.X = counts.tocsr()
    same(few, expected)


# The data.h5 of scMGCA, scIMTA, scTAG and scziDesk.


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("labels", ["cell_type", "cell_type1", "cell_ontology_class"])
def test_exprs(tmp_path: Path, toy_counts: AnnData, sparse: bool, labels: str):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        if sparse:
            group = file.create_group("exprs")
            for name in ("data", "indices", "indptr", "shape"):
                group[name] = getattr(toy_counts.X, name)
        else:
            file["exprs"] = toy_counts.X.toarray()
        file["obs_names"] = np.array(toy_counts.obs_names, dtype="S")
        file["var_names"] = np.array(toy_counts.var_names, dtype="S")
        file[f"obs/{labels}"] = np.array(toy_counts.obs["cell_type"], dtype="S")
        file["var/highly_variable"] = [True] * 40
        file["uns/x"] = h5py.Empty("f4")
    adata = same(path, toy_counts)
    assert adata.obs["cell_type"].tolist() == toy_counts.obs["cell_type"].tolist()


# Packed files by their content.


def text_of(adata: AnnData) -> bytes:
    return adata.to_df().astype(int).to_csv().encode()


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.csv.gz", content)
    return stream.getvalue()


PACKED = {
    "x.csv": gzip.compress,
    "plain.csv.gz": lambda content: content,
    "twice.csv.gz": lambda content: gzip.compress(gzip.compress(content)),
    "three.csv.gz": lambda content: gzip.compress(gzip.compress(gzip.compress(content))),
    "other.csv.gz": lambda content: gzip.compress(bz2.compress(content)),
    "other.csv.xz": lambda content: lzma.compress(gzip.compress(content)),
    "inside.zip": lambda content: zipped(gzip.compress(content)),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_texts(tmp_path: Path, toy_counts: AnnData, name: str):
    path = tmp_path / name
    path.write_bytes(PACKED[name](text_of(toy_counts)))
    same(path, toy_counts)


@pytest.mark.parametrize("packed", [True, False])
def test_a_matrix_is_unpacked_by_its_content(tmp_path: Path, toy_counts: AnnData, packed: bool):
    files = {"barcodes.tsv": list(toy_counts.obs_names), "genes.tsv": list(toy_counts.var_names)}
    folder = folder_of(tmp_path / "f", toy_counts, "matrix.mtx", files)
    content = (folder / "matrix.mtx").read_bytes()
    if packed:
        (folder / "matrix.mtx").write_bytes(gzip.compress(content))
    else:
        (folder / "matrix.mtx").rename(folder / "matrix.mtx.gz")
    same(folder, toy_counts)


@pytest.mark.parametrize(
    "content",
    [b"\x89HDF\r\n\x1a\n" + bytes(90), b"(\xb5/\xfd" + bytes(90), b"RDX3\n" + bytes(90),
     gzip.compress(b"X\n\0\0\0" + bytes(90)), b"\xd0\xcf\x11\xe0" + bytes(90),
     b"PAR1" + bytes(90)],
    ids=["hdf5", "zstd", "rdata", "packed_rdata", "excel", "parquet"],
)  # fmt: skip
def test_another_format_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    assert fault(path) == "unknown_format"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped])
@pytest.mark.parametrize("name", ["x.h5ad", "x.h5", "x.loom", "x.h5mu"])
def test_packed_hdf5_is_named(tmp_path: Path, toy_counts: AnnData, pack, name: str):
    toy_counts.write_h5ad(tmp_path / "plain.h5ad")
    path = tmp_path / name
    path.write_bytes(pack((tmp_path / "plain.h5ad").read_bytes()))
    assert fault(path) == "unknown_format"


def test_archives_are_named(tmp_path: Path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x.csv"), io.BytesIO())
    path = tmp_path / "x.csv.gz"
    path.write_bytes(stream.getvalue())
    assert fault(path) == "unknown_format"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as book:
        book.writestr("xl/workbook.xml", "")
    assert fault(tmp_path / "x.zip") == "unknown_format"


def test_factors_of_r_in_a_table_of_anndata(tmp_path: Path, toy_counts: AnnData):
    path = tmp_path / "x.h5ad"
    toy_counts.write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["obs/cell_type"]
        factor = file.create_group("obs/cell_type")
        factor["levels"] = np.array(["a", "b"], dtype=object).astype(h5py.string_dtype())
        factor["values"] = np.arange(60) % 2 + 1
    adata = same(path, toy_counts)
    assert list(adata.obs["cell_type"][:3]) == ["a", "b", "a"]
    with h5py.File(path, "a") as file:
        del file["obs/cell_type/levels"]
    with collect_notes() as notes:
        adata = same(path, toy_counts)
    assert "cell_type" not in adata.obs
    assert "obs/cell_type" in notes[0]


def test_a_table_of_cells_that_is_empty(tmp_path: Path, toy_counts: AnnData):
    path = tmp_path / "x.h5ad"
    toy_counts.write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["obs"]
        file["obs"] = h5py.Empty("f8")
    assert fault(path) == "missing_names"


def test_a_folder_of_kb_python_without_barcodes(tmp_path: Path, toy_counts: AnnData):
    scipy.io.mmwrite(tmp_path / "cells_x_genes.mtx", sp.coo_matrix(toy_counts.X))
    for name in ("genes", "genes.names"):
        (tmp_path / f"cells_x_genes.{name}.txt").write_text("\n".join(toy_counts.var_names))
    with pytest.raises(DataError) as error:
        read_counts(tmp_path)
    assert error.value.code == "missing_names"
    (tmp_path / "cells_x_genes.barcodes.txt").write_text("\n".join(toy_counts.obs_names))
    same(tmp_path, toy_counts)
