"""Round trips: each format written from one AnnData reads back equal."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from anndata import AnnData

from bench.data import formats
from bench.messages import collect_notes

Write = Callable[[AnnData, Path], Path]


@pytest.fixture
def counts(toy_counts: AnnData) -> AnnData:
    """60 cells × 40 genes; names of cells and genes hold spaces, commas are left to the quotes."""
    adata = toy_counts.copy()
    adata.obs_names = [f"donor A cell{i}" for i in range(60)]
    adata.var_names = ["Actb", "Gapdh", "B2m", "HLA-A, long", *adata.var_names[4:]]
    adata.obs["batch"] = ["x", "y"] * 30
    return adata


def frame(adata: AnnData, with_obs: bool = False) -> pd.DataFrame:
    values = pd.DataFrame(
        adata.X.toarray().astype(int), index=adata.obs_names, columns=adata.var_names
    )
    return pd.concat([adata.obs, values], axis=1) if with_obs else values


def check(adata: AnnData, expected: AnnData, obs: bool) -> None:
    assert list(adata.obs_names) == list(expected.obs_names)
    assert list(adata.var_names) == list(expected.var_names)
    assert sp.issparse(adata.X)
    assert adata.X.format == "csr"
    np.testing.assert_array_equal(adata.X.toarray(), expected.X.toarray())
    if obs:
        for column in ("cell_type", "batch"):
            assert adata.obs[column].astype(str).tolist() == expected.obs[column].tolist()


def pack(path: Path, text: str, how: str) -> Path:
    if how == "gz":
        path = path.with_name(path.name + ".gz")
        path.write_bytes(gzip.compress(text.encode()))
    elif how == "zip":
        path = path.with_name(path.name + ".zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.csv", text)
    else:
        path.write_text(text)
    return path


# Text.


@pytest.mark.parametrize("how", ["", "gz", "zip"])
@pytest.mark.parametrize(("sep", "suffix"), [(",", "csv"), ("\t", "tsv"), (";", "txt")])
def test_text_with_cells_in_rows(tmp_path: Path, counts: AnnData, sep: str, suffix: str, how: str):
    text = frame(counts, with_obs=True).to_csv(sep=sep)
    with collect_notes() as notes:
        adata = formats.read_counts(pack(tmp_path / f"x.{suffix}", text, how))
    check(adata, counts, obs=True)
    assert len(notes) == 1
    assert "read with cells in rows (columns are named like numbered features)" in notes[0]


@pytest.mark.parametrize("how", ["", "gz", "zip"])
@pytest.mark.parametrize("r_style", [False, True])
def test_text_with_genes_in_rows(tmp_path: Path, counts: AnnData, how: str, r_style: bool):
    text = frame(counts).T.to_csv(sep="\t")
    if r_style:
        text = text.removeprefix("\t")
    with collect_notes() as notes:
        adata = formats.read_counts(pack(tmp_path / "x.tsv", text, how))
    check(adata, counts, obs=False)
    assert "features in rows" in notes[0]
    assert "[transpose=false]'" in notes[0]


def test_spaces_as_r_writes_them(tmp_path: Path, counts: AnnData):
    lines = [" ".join(f'"{name}"' for name in counts.var_names)]
    for name, row in zip(counts.obs_names, counts.X.toarray().astype(int), strict=True):
        lines.append(f'"{name}" ' + " ".join(map(str, row)))
    path = tmp_path / "x.txt"
    path.write_text("\n".join(lines))
    check(formats.read_counts(path), counts, obs=False)


# Folders and HDF5.


def write_10x(
    adata: AnnData, folder: Path, version: int, packed: bool | None = None, prefix: str = ""
) -> Path:
    folder.mkdir()
    packed = version == 3 if packed is None else packed
    matrix = io.BytesIO()
    scipy.io.mmwrite(matrix, sp.coo_matrix(adata.X.T.astype(int)))
    features = [
        f"ENSG{i:011d}\t{name}" + ("\tGene Expression" if version == 3 else "")
        for i, name in enumerate(adata.var_names)
    ]
    texts = {
        "matrix.mtx": matrix.getvalue(),
        "barcodes.tsv": "\n".join(adata.obs_names).encode() + b"\n",
        "features.tsv" if version == 3 else "genes.tsv": "\n".join(features).encode() + b"\n",
    }
    for name, content in texts.items():
        if packed:
            (folder / f"{prefix}{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / f"{prefix}{name}").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("version", "packed", "prefix"),
    [(2, False, ""), (2, True, ""), (3, True, ""), (3, False, ""), (3, True, "GSM1_")],
)
def test_10x_folder(tmp_path: Path, counts: AnnData, version: int, packed: bool, prefix: str):
    folder = write_10x(counts, tmp_path / "f", version, packed, prefix)
    adata = formats.read_counts(folder)
    check(adata, counts, obs=False)
    assert adata.var["gene_ids"].iloc[1] == "ENSG00000000001"
    check(formats.read_10x_mtx(folder), counts, obs=False)


def write_10x_h5(adata: AnnData, path: Path, version: int) -> Path:
    import h5py

    matrix = sp.csc_matrix(adata.X.T.astype(np.int32))
    ids = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        group["data"], group["indices"], group["indptr"] = (
            matrix.data, matrix.indices, matrix.indptr,
        )  # fmt: skip
        group["shape"] = matrix.shape
        group["barcodes"] = np.array(adata.obs_names, dtype="S")
        if version == 2:
            group["genes"] = np.array(ids, dtype="S")
            group["gene_names"] = np.array(adata.var_names, dtype="S")
            return path
        features = group.create_group("features")
        features["id"] = np.array(ids, dtype="S")
        features["name"] = np.array(adata.var_names, dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * adata.n_vars, dtype="S")
        features["genome"] = np.array(["GRCh38"] * adata.n_vars, dtype="S")
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_10x_h5(tmp_path: Path, counts: AnnData, version: int):
    adata = formats.read_counts(write_10x_h5(counts, tmp_path / "x.h5", version))
    check(adata, counts, obs=False)
    assert adata.var["gene_ids"].iloc[1] == "ENSG00000000001"


def write_loom(adata: AnnData, path: Path) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        file["matrix"] = adata.X.T.toarray()
        file["layers/spliced"] = adata.X.T.toarray() * 2
        file["row_attrs/Gene"] = np.array(adata.var_names, dtype="S")
        file["row_attrs/Accession"] = np.array(adata.var_names, dtype="S")
        file["col_attrs/CellID"] = np.array(adata.obs_names, dtype="S")
        for column in adata.obs:
            file[f"col_attrs/{column}"] = np.array(adata.obs[column], dtype="S")
    return path


def test_loom(tmp_path: Path, counts: AnnData):
    adata = formats.read_counts(write_loom(counts, tmp_path / "x.loom"))
    check(adata, counts, obs=True)
    np.testing.assert_array_equal(adata.layers["spliced"].toarray(), adata.X.toarray() * 2)


def test_xy(tmp_path: Path, counts: AnnData):
    import h5py

    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["X"] = counts.X.toarray()
        file["Y"] = np.repeat([1.0, 2.0, 3.0], 20)
        file["gene_names"] = np.array(counts.var_names, dtype="S")
        file["cell_names"] = np.array(counts.obs_names, dtype="S")
    adata = formats.read_counts(path)
    check(adata, counts, obs=False)
    assert adata.obs["cell_type"].tolist() == ["1"] * 20 + ["2"] * 20 + ["3"] * 20


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("suffix", ["h5ad", "zarr", "h5"])
def test_anndata_files(tmp_path: Path, counts: AnnData, suffix: str, dense: bool):
    path = tmp_path / f"x.{suffix}"
    adata = counts.copy()
    if dense:
        adata.X = adata.X.toarray()
    (adata.write_zarr if suffix == "zarr" else adata.write_h5ad)(path)
    check(formats.read_counts(path), counts, obs=True)


@pytest.mark.filterwarnings("ignore")
def test_h5mu(tmp_path: Path, counts: AnnData):
    from mudata import MuData

    other = counts[:, :5].copy()
    other.var_names = [f"chr1:{i}00-{i}50" for i in range(5)]
    other.obs = other.obs[[]]
    both = MuData({"rna": counts, "atac": other})
    both.obs["donor"] = ["p", "q"] * 30
    path = tmp_path / "x.h5mu"
    both.write_h5mu(path)
    adata = formats.read_counts(path, part="rna")
    check(adata, counts, obs=True)
    assert adata.obs["donor"].tolist() == ["p", "q"] * 30
    assert formats.read_counts(path, part="atac").n_vars == 5


@pytest.mark.parametrize("features_in_rows", [True, False])
@pytest.mark.parametrize("header", [True, False])
def test_matrix_market(tmp_path: Path, counts: AnnData, features_in_rows: bool, header: bool):
    matrix = counts.X.T if features_in_rows else counts.X
    scipy.io.mmwrite(tmp_path / "counts.mtx", sp.coo_matrix(matrix.astype(int)))
    top = ["name"] if header else []
    (tmp_path / "cells.txt").write_text("\n".join([*top, *counts.obs_names]))
    (tmp_path / "genes.txt").write_text("\n".join([*top, *counts.var_names]))
    check(formats.read_counts(tmp_path / "counts.mtx"), counts, obs=False)
    adata = formats.read_market(
        tmp_path / "counts.mtx", tmp_path / "cells.txt", tmp_path / "genes.txt"
    )
    check(adata, counts, obs=False)
