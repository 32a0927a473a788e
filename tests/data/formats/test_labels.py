"""Labels in a second file: joined by barcode, never by position."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from bench.data.formats import (
    join_labels,
    read_cell_table,
    read_labels,
    read_labels_by_position,
)
from bench.errors import DataError
from bench.messages import collect_notes

NAMES = st.lists(st.text("ACGT-1 x", min_size=1, max_size=5), min_size=1, max_size=9, unique=True)


def cells(names: list[str]) -> AnnData:
    import scipy.sparse as sp

    return AnnData(sp.csr_matrix((len(names), 2)), obs=pd.DataFrame(index=names))


def table(types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"type": list(types.values())}, index=list(types), dtype=object)


@given(names=NAMES, others=NAMES, seed=st.integers(0, 99))
def test_every_cell_gets_its_own_label(names: list[str], others: list[str], seed: int):
    types = {name: f"type of {name}" for name in others}
    order = list(types.items())
    random.Random(seed).shuffle(order)
    both = [name for name in names if name in types]
    if not both:
        with pytest.raises(DataError) as error:
            join_labels(cells(names), table(types), where="t.csv")
        assert error.value.code == "unknown_cells"
        return
    with collect_notes() as notes:
        joined = join_labels(cells(names), table(dict(order)), where="t.csv")
    assert list(joined.obs_names) == both
    assert joined.obs["type"].tolist() == [types[name] for name in both]
    expected = []
    if len(both) < len(names):
        expected.append(f"t.csv: {len(names) - len(both)} of {len(names)} cells are not in it")
    if len(both) < len(types):
        expected.append(f"t.csv: {len(types) - len(both)} of {len(types)} barcodes in it are not")
    assert len(notes) == len(expected)
    assert all(line.startswith(start) for line, start in zip(notes, expected, strict=True))


def test_unmatched_barcodes_are_named_on_both_sides():
    types = table({"b": "1", "y": "2", "a": "3"})
    with collect_notes() as notes:
        joined = join_labels(cells(["a", "b", "c", "d"]), types, where="t.csv")
    assert joined.obs["type"].tolist() == ["3", "1"]
    assert notes == [
        "t.csv: 2 of 4 cells are not in it and were dropped ('c', 'd')",
        "t.csv: 1 of 3 barcodes in it are not in the counts ('y')",
    ]


def test_a_column_of_barcodes_that_is_not_the_first():
    types = table({"1": "x", "2": "y"}).assign(code=["b", "a"])
    with collect_notes() as notes:
        joined = join_labels(cells(["a", "b"]), types, where="t.csv")
    assert joined.obs["type"].tolist() == ["y", "x"]
    assert notes == ["t.csv: joined by its column 'code'"]


@pytest.mark.parametrize(
    ("names", "barcodes", "hint"),
    [
        (["ACGT-1", "TTTT-1"], ["ACGT", "TTTT"], "cells have a suffix that the barcodes lack"),
        (["ACGT", "TTTT"], ["ACGT-1", "TTTT-1"], "barcodes have a suffix that the cells lack"),
        (["ACGT-1", "TTTT-1"], ["ACGT-2", "TTTT-2"], "the suffixes differ"),
        (["a.ACGT", "a.TTTT"], ["a-ACGT", "a-TTTT"], "dots stand for dashes"),
    ],
)
def test_a_hint_if_only_a_suffix_differs(names: list[str], barcodes: list[str], hint: str):
    with pytest.raises(DataError, match=hint):
        join_labels(cells(names), table(dict.fromkeys(barcodes, "x")), where="t.csv")


def test_no_match_shows_names_of_both():
    with pytest.raises(DataError, match=r"cells: 'a', 'b'; barcodes: 'x', 'y'\)"):
        join_labels(cells(["a", "b"]), table({"x": "1", "y": "2"}), where="t.csv")


def test_a_barcode_on_two_lines():
    double = pd.DataFrame({"type": ["1", "2", "3"]}, index=["a", "b", "a"])
    with pytest.raises(DataError) as error:
        join_labels(cells(["a", "b"]), double, where="t.csv")
    assert error.value.code == "duplicate_names"


# The table.

READ = {
    "comma": "barcode,type,n\na,T cell,1\nb,B cell,2\n",
    "tab": "barcode\ttype\tn\na\tT cell\t1\nb\tB cell\t2\n",
    "quotes": '"barcode","type","n"\n"a","T cell",1\n"b","B cell",2\n',
    "header of R": '"type" "n"\n"a" "T cell" 1\n"b" "B cell" 2\n',
    "empty corner": ",type,n\na,T cell,1\nb,B cell,2\n",
    "barcodes last": "type,n,barcode\nT cell,1,a\nB cell,2,b\n",
}


@pytest.mark.parametrize("how", READ)
@pytest.mark.parametrize("packed", [False, True])
def test_layouts(tmp_path: Path, how: str, packed: bool):
    path = tmp_path / "t.txt"
    text = READ[how].encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    found = read_labels(path)
    assert list(found.index) == ["a", "b"]
    assert {name: found[name].tolist() for name in found} == {
        "type": ["T cell", "B cell"],
        "n": ["1", "2"],
    }


def test_gaps_are_missing_and_numbers_stay_text(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("barcode,type\na,01\nb,NA\nc,\nd,None\n")
    found = read_labels(path)["type"]
    assert found.isna().tolist() == [False, True, True, False]
    assert found.iloc[0] == "01"


WRONG = {
    "type\nT\nB\n": "missing_column",
    "barcode,type\n": "missing_column",
    "": "empty_file",
    "barcode,type\na,T\nb\n": "invalid_line",
    "barcode,type,type\na,T,B\n": "duplicate_names",
}


@pytest.mark.parametrize("text", WRONG)
def test_faults_of_tables(tmp_path: Path, text: str):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_labels(path)
    assert error.value.code == WRONG[text]


HEADERLESS = {
    "first line is a cell": "a\tT\nb\tB\nc\tT\n",
    "commas": "a,T\nb,B\nc,T\n",
    "spaces": "a T\nb B\nc T\n",
    "first line is another cell": "z\tT\na\tT\nb\tB\nc\tT\n",
    "reverse order": "c\tT\nb\tB\na\tT\n",
    "more columns": "a\tT\t1\nb\tB\t2\nc\tT\t1\n",
}


@pytest.mark.parametrize("how", HEADERLESS)
def test_a_table_without_a_header(tmp_path: Path, how: str):
    """A first line taken as a header would drop a cell silently."""
    path = tmp_path / "t.txt"
    path.write_text(HEADERLESS[how])
    with collect_notes() as notes:
        joined = join_labels(cells(["a", "b", "c"]), read_labels(path), where=str(path))
    assert joined.obs["cell_type"].tolist() == ["T", "B", "T"]
    assert "no header line" in notes[0]


def test_a_header_behind_a_hash(tmp_path: Path):
    path = tmp_path / "t.txt"
    path.write_text("# made by a tool\n#barcode\ttype\na\tT\nb\tB\n")
    joined = join_labels(cells(["a", "b"]), read_labels(path), where=str(path))
    assert joined.obs["type"].tolist() == ["T", "B"]


def test_cells_without_labels_stay_on_request():
    joined = join_labels(cells(["a", "b"]), table({"b": "1"}), where="t.csv", all_cells=True)
    assert joined.obs["type"].isna().tolist() == [True, False]


POSITIONS = {
    "T\nB\nT\n": ["T", "B", "T"],
    "1\n2\n1\n": ["1", "2", "1"],
    "label\n1\n2\n1\n": ["1", "2", "1"],
    "T cell\nB cell\nT cell\n": ["T cell", "B cell", "T cell"],
    "T,x\nB,y\nT,x\n": ["T", "B", "T"],
}


@pytest.mark.parametrize("text", POSITIONS)
def test_labels_by_position(tmp_path: Path, text: str):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with collect_notes() as notes:
        found = read_labels_by_position(path, pd.Index(["a", "b", "c"]))
    assert list(found.index) == ["a", "b", "c"]
    assert found.iloc[:, 0].tolist() == POSITIONS[text]
    assert "by position" in notes[0]


@pytest.mark.parametrize("text", ["T\nB\n", "T\n\nB\n", "a\nb\nc\nd\ne\n", "T,x\nB\nT,x\n"])
def test_labels_by_position_that_do_not_fit(tmp_path: Path, text: str):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_labels_by_position(path, pd.Index(["a", "b", "c"]))
    assert error.value.code == "size_mismatch"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x\ta\ny\tb\nx\tc\n", "cell_type"),  # no header, types first
        ("kind\tid\nx\ta\ny\tb\nx\tc\n", "kind"),
        ("kind\tcell\nx\ta\ny\tb\nx\tc\n", "kind"),
    ],
)
def test_names_of_cells_in_the_last_column(tmp_path: Path, text: str, name: str):
    path = tmp_path / "types.tsv"
    path.write_text(text)
    with collect_notes():
        joined = join_labels(cells(["c", "a", "b"]), read_labels(path), where="t.tsv")
    assert list(joined.obs[name]) == ["x", "x", "y"]


def test_a_file_with_types_before_names_gives_the_labels(tmp_path: Path, toy_counts: AnnData):
    from bench.data.file_dataset import FileDataset

    toy_counts[:, :].copy().write_h5ad(tmp_path / "x.h5ad")
    rows = zip(toy_counts.obs["cell_type"], toy_counts.obs_names, strict=True)
    lines = [f"{kind}\t{cell}\n" for kind, cell in rows]
    for header, key in (("", "cell_type"), ("kind\tid\n", "kind")):
        (tmp_path / "types.tsv").write_text(header + "".join(lines))
        values = {"labels": str(tmp_path / "types.tsv")}
        params = FileDataset.Params.build(values, owner="x")
        dataset = FileDataset.from_path(tmp_path / "x.h5ad", params)
        data = dataset.load()
        assert dataset.card.label_key == key
        assert list(data.obs[key]) == list(toy_counts.obs["cell_type"])


@pytest.mark.parametrize("named", [True, False])
def test_labels_in_parquet(tmp_path: Path, named: bool):
    path, types = tmp_path / "types.parquet", pd.DataFrame({"type": ["x", "y"]}, ["b", "a"])
    (types if named else types.reset_index(names="barcode")).to_parquet(path)
    joined = join_labels(cells(["a", "b"]), read_cell_table(path), where=str(path))
    assert list(joined.obs["type"]) == ["y", "x"]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError) as error:
        read_cell_table(path)
    assert error.value.code == "unreadable"
