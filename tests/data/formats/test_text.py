"""Delimited text: properties of the reader, its decisions, and its errors."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.data.formats import read_counts, read_text
from bench.errors import DataError
from bench.messages import collect_notes

WORD = st.text(st.sampled_from('abcXYZ019 -._"é'), min_size=1, max_size=8).map(
    lambda text: f"n{text}n"
)


@st.composite
def tables(draw: st.DrawFn, least: int = 1) -> tuple[list[str], list[str], np.ndarray]:
    """Names of rows, names of columns, counts."""
    height, width = draw(st.integers(least, 6)), draw(st.integers(least, 6))
    rows = draw(st.lists(WORD, min_size=height, max_size=height, unique=True))
    columns = draw(st.lists(WORD, min_size=width, max_size=width, unique=True))
    values = draw(st.lists(st.integers(0, 3), min_size=height * width, max_size=height * width))
    return rows, columns, np.array(values).reshape(height, width)


def as_text(
    rows: list[str], columns: list[str], values: np.ndarray, *, sep: str = ",",
    corner: str | None = "", quoting: int = csv.QUOTE_MINIMAL, end: str = "\n",
) -> str:  # fmt: skip
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=sep, quoting=quoting, lineterminator=end)
    writer.writerow(columns if corner is None else [corner, *columns])
    for name, row in zip(rows, values.tolist(), strict=True):
        writer.writerow([name, *row])
    return stream.getvalue()


@given(
    table=tables(),
    sep=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    corner=st.sampled_from(["", "gene", None]),
    end=st.sampled_from(["\n", "\r\n"]),
    orientation=st.sampled_from(["cells", "genes"]),
    packed=st.booleans(),
)
def test_a_written_table_is_read_back(
    tmp_path: Path, table, sep, quoting, corner, end, orientation, packed
):
    rows, columns, values = table
    text = as_text(*table, sep=sep, corner=corner, quoting=quoting, end=end).encode()
    path = tmp_path / "x.txt"
    path.write_bytes(gzip.compress(text, 1) if packed else text)
    adata = read_text(path, orientation=orientation)
    if orientation == "genes":
        rows, columns, values = columns, rows, values.T
    assert (list(adata.obs_names), list(adata.var_names)) == (rows, columns)
    np.testing.assert_array_equal(adata.X.toarray(), values)
    assert adata.X.dtype == np.float32


@given(
    table=tables(least=2),
    bad=st.sampled_from(["", "NA", "nan", "abc", "1,5", "1_0", "inf", "0x1", " "]),
    place=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_the_error_names_a_cell_that_is_no_number(tmp_path: Path, table, bad: str, place):
    rows, columns, values = table
    i, j = place[0] % len(rows), place[1] % len(columns)
    changed = values.astype(object)
    changed[i, j] = bad
    path = tmp_path / "x.csv"
    path.write_text(as_text(rows, columns, changed))
    with pytest.raises(DataError) as error:
        read_text(path, orientation="cells")
    assert f"line {i + 2}, column '{columns[j]}'" in str(error.value)
    assert error.value.code == "not_a_number"


@given(table=tables(least=2), row=st.integers(0, 5), more=st.booleans())
def test_the_error_names_a_ragged_row(tmp_path: Path, table, row: int, more: bool):
    rows, columns, _ = table
    assume(len(rows) > 2 and len(columns) > 2)
    # A first row that differs is read as another header style, or the header is at fault.
    row = 1 + row % (len(rows) - 1)
    lines = as_text(*table).splitlines()
    lines[row + 1] = lines[row + 1] + ",1" if more else lines[row + 1].rsplit(",", 1)[0]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"line {row + 2}: ") as error:
        read_text(path)
    assert error.value.code == "invalid_line"


# Orientation.

BARCODES = ["AAACCTGAGAAACC-1", "TTTGGTCAGGGTTT-1", "GGGTTTCACAAACC-1", "CCCAAATTTGGGCC-1"]


def decided(tmp_path: Path, rows: list[str], columns: list[str], values=None) -> tuple[bool, str]:
    """Return whether the reader found features in rows, and its note."""
    if values is None:
        values = np.arange(len(rows) * len(columns)).reshape(len(rows), len(columns))
    path = tmp_path / "x.csv"
    path.write_text(as_text(rows, columns, np.asarray(values)))
    with collect_notes() as notes:
        adata = read_counts(path)
    assert len(notes) == 1
    return list(adata.var_names) == rows, notes[0]


FEATURES = {
    "Ensembl identifiers": ["ENSG00000223849", "ENSG00000225355.3", "ENSG00000135093"],
    "genome intervals": ["chr1:10-20", "chr1:30-40", "chr2:10-90"],
    "numbered features": ["gene1", "gene2", "gene_3"],
    "genes (ACTB, B2M, GAPDH)": ["Actb", "Xkr4", "B2m", "Gapdh"],
    "mouse genes (…Rik)": ["0610007P14Rik", "0610009B22Rik", "0610009E02Rik"],
}


@pytest.mark.parametrize("what", FEATURES)
@pytest.mark.parametrize("in_rows", [True, False])
def test_names_of_features_decide(tmp_path: Path, what: str, in_rows: bool):
    names, others = FEATURES[what], ["p one", "p two", "p three", "p four", "p five"]
    rows, columns = (names, others) if in_rows else (others, names)
    found, notes = decided(tmp_path, rows, columns)
    assert found is in_rows
    side = "rows" if in_rows else "columns"
    assert f"read with {'features' if in_rows else 'cells'} in rows ({side} are named like {what}"\
        in notes  # fmt: skip
    assert notes.endswith(f"[transpose={'false' if in_rows else 'true'}]'")


@pytest.mark.parametrize("cells", [BARCODES, ["cell1", "cell2"], ["CELL_000001", "CELL_000002"]])
def test_names_of_cells_decide(tmp_path: Path, cells: list[str]):
    others = ["Abc", "Def", "Ghi"]
    assert decided(tmp_path, others, cells)[0]
    assert not decided(tmp_path, cells, others)[0]


def test_columns_of_text_decide(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("id,kind,Aa,Bb\nx1,beta,1,0\nx2,delta,0,2\n")
    adata = read_counts(path)
    assert adata.obs["kind"].tolist() == ["beta", "delta"]
    assert adata.X.toarray().tolist() == [[1, 0], [0, 2]]
    path.write_text("id,symbol,Aa,Bb\nx1,Actb,1,0\nx2,Xkr4,0,2\n")
    adata = read_counts(path)
    assert adata.var["symbol"].tolist() == ["Actb", "Xkr4"]
    assert adata.X.toarray().tolist() == [[1, 0], [0, 2]]


def test_metadata_in_numbers_is_no_count(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("id,cluster,plate,Aa\nx1,1,7,5\nx2,2,8,6\n")
    adata = read_counts(path, obs_columns=["plate"])
    assert list(adata.var_names) == ["Aa"]
    assert adata.obs["cluster"].tolist() == ["1", "2"]
    assert adata.obs["plate"].tolist() == ["7", "8"]


SEURAT = "orig.ident,nCount_RNA,nFeature_RNA,percent.mt,RNA_snn_res.0.8,seurat_clusters,S.Score"
SCANPY = "n_genes,n_counts,n_genes_by_counts,log1p_total_counts,pct_counts_mt,leiden_0.5"
OTHERS = "cluster_id,annotation,subclass,sample_id,doublet_score,CellType,nUMI,UMAP_1"


@pytest.mark.parametrize("header", [SEURAT, SCANPY, OTHERS])
def test_metadata_of_programs_is_no_count_and_is_noted(tmp_path: Path, header: str):
    names = header.split(",")
    genes = ["Actb", "y", "w", "PC", "N", "Plat"]
    path = tmp_path / "x.csv"
    values = [",".join(["x"] + ["1"] * len(names) + ["2"] * len(genes))] * 3
    rows = [row.replace("x", f"cell{i}", 1) for i, row in enumerate(values)]
    path.write_text("\n".join([",".join(["", *names, *genes]), *rows]))
    with collect_notes() as notes:
        adata = read_counts(path, obs_columns=names[:1])
    assert list(adata.var_names) == genes
    assert list(adata.obs) == names
    (line,) = [one for one in notes if "as metadata by name" in one]
    assert f"not as counts: '{names[1]}', '{names[2]}'" in line
    assert f"'{names[0]}'" not in line


def test_totals_decide_last(tmp_path: Path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(rng.normal(0, 2, 40))[:, None] * np.ones(30))
    genes, cells = [f"{i}z" for i in range(40)], [f"{i}q" for i in range(30)]
    found, notes = decided(tmp_path, genes, cells, counts)
    assert found
    assert "assumed features in rows (totals of rows differ more" in notes
    found, notes = decided(tmp_path, cells, genes, counts.T)
    assert not found
    assert "assumed cells in rows (totals of columns differ more" in notes


def test_the_default_is_features_in_rows(tmp_path: Path):
    found, notes = decided(tmp_path, ["q", "r"], ["s", "t"])
    assert found
    assert "assumed features in rows (names do not decide" in notes


@pytest.mark.parametrize("transpose", [True, False])
def test_transpose_forces(tmp_path: Path, transpose: bool):
    path = tmp_path / "x.csv"
    path.write_text(as_text(["gene1", "gene2"], BARCODES, np.ones((2, 4), int)))
    with collect_notes() as notes:
        adata = read_counts(path, transpose=transpose)
    assert adata.shape == ((4, 2) if transpose else (2, 4))
    assert notes == []


# Repairs are noted.


def test_features_that_occur_twice(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(as_text(["c1", "c2"], ["Aa", "Bb", "Aa"], np.ones((2, 3), int)))
    with collect_notes() as notes:
        adata = read_counts(path, transpose=False)
    assert list(adata.var_names) == ["Aa", "Bb", "Aa-1"]
    assert "'Aa'" in notes[0]


def test_intervals_in_three_columns(tmp_path: Path):
    path = tmp_path / "x.tsv"
    path.write_text("chr\tstart\tend\tc1\tc2\nchr1\t10\t20\t1\t0\nchr1\t30\t40\t0\t2\n")
    adata = read_counts(path)
    assert list(adata.var_names) == ["chr1:10-20", "chr1:30-40"]
    assert list(adata.obs_names) == ["c1", "c2"]


def test_labels_in_the_first_column(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("cell_type,Aa,Bb\nbeta,1,2\nbeta,0,3\ndelta,1,1\n")
    with collect_notes() as notes:
        adata = read_counts(path)
    assert adata.obs["cell_type"].tolist() == ["beta", "beta", "delta"]
    assert list(adata.obs_names) == ["cell1", "cell2", "cell3"]
    assert "the first column, 'cell_type', holds no names; cells are numbered" in notes[0]


# Errors.

GOOD = ",Aa,Bb\nc1,1,0\nc2,0,3\nc3,1,1\n"
WRONG = {
    "": "empty_file",
    "\n\n": "empty_file",
    ",Aa,Bb\n": "empty_file",
    "c1,1,0\nc2,0,3\n": "missing_header",
    "Aa\n1\n2\n": "invalid_line",
    "a,b,c,d\nc1,1\n": "invalid_line",
    "id,kind\nc1,beta\nc2,delta\n": "no_counts",
    GOOD.replace("c2", "c1"): "duplicate_names",
    GOOD.replace("c2", '"c2'): "invalid_line",
    GOOD.replace("c2,0,3", "type,beta,delta"): "not_a_number",
    GOOD.replace("3", "1e39"): "not_a_number",
    "Aa,Bb,Cc\n1,2,0\n1,0,3\n2,0,0\n": "missing_names",
    "id,kind,kind,Aa\nc1,x,y,1\nc2,x,y,2\n": "duplicate_names",
}


@pytest.mark.parametrize("text", WRONG)
def test_faults(tmp_path: Path, text: str):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_counts(path, transpose=False)
    assert error.value.code == WRONG[text]
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_utf8(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(GOOD.replace("c2", "é").encode("latin-1"))
    with pytest.raises(DataError, match="byte 0xe9") as error:
        read_counts(path)
    assert error.value.code == "not_utf8"
    path.write_bytes(("\ufeff" + GOOD).encode())
    assert read_counts(path, transpose=False).obs_names[0] == "c1"


@pytest.mark.parametrize("cut", [12, 200, -30])
def test_a_truncated_gz(tmp_path: Path, cut: int):
    rng = np.random.default_rng(0)
    text = as_text([f"c{i}" for i in range(99)], ["A", "B", "C"], rng.integers(0, 99, (99, 3)))
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(text.encode())[:cut])
    with pytest.raises(DataError) as error:
        read_counts(path)
    assert error.value.code == "unreadable"


def test_damage_inside_a_gz(tmp_path: Path):
    packed = bytearray(gzip.compress(os.urandom(3000).hex().encode()))
    packed[500:520] = bytes(20)
    path = tmp_path / "x.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(DataError) as error:
        read_counts(path)
    assert error.value.code == "unreadable"


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, GOOD)
    return path


def test_archives(tmp_path: Path):
    adata = read_counts(
        archive(tmp_path / "x.zip", "a/x.csv", "__MACOSX/._x.csv"), transpose=False
    )
    assert adata.shape == (3, 2)
    with pytest.raises(DataError) as error:
        read_counts(archive(tmp_path / "two.zip", "a.csv", "b.csv"))
    assert error.value.code == "ambiguous_file"
    for name in ("../x.csv", "/x.csv", "a\\..\\x.csv"):
        with pytest.raises(DataError) as error:
            read_counts(archive(tmp_path / "out.zip", name))
        assert error.value.code == "unsafe_archive"
    path = archive(tmp_path / "cut.zip", "a.csv")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError) as error:
        read_counts(path)
    assert error.value.code == "unreadable"


# Memory.


def test_more_memory_than_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import psutil

    path = tmp_path / "x.csv"
    values = np.ones((1000, 20), int)
    path.write_text(as_text([f"c{i}" for i in range(1000)], [f"g{i}" for i in range(20)], values))
    assert read_counts(path).n_obs == 1000
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**16))
    with pytest.raises(DataError) as error:
        read_counts(path)
    assert error.value.code == "not_enough_memory"


def test_the_dense_matrix_is_never_in_memory(tmp_path: Path):
    """500 × 2,000 with 0.2 % above zero: 4 MB dense in 32 bits, read in half of that."""
    import tracemalloc

    rng = np.random.default_rng(0)
    zeros = ["0"] * 2000
    path = tmp_path / "x.csv"
    with path.open("w") as stream:
        stream.write("," + ",".join(f"g{i}" for i in range(2000)) + "\n")
        for i in range(500):
            row = zeros.copy()
            for place in rng.integers(0, 2000, 4):
                row[place] = "2"
            stream.write(f"c{i}," + ",".join(row) + "\n")
    tracemalloc.start()
    adata = read_counts(path, transpose=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(adata, AnnData)
    assert peak < 4 * 500 * 2000 / 2
