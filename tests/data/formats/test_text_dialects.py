"""Texts as tools export them: encodings, comments, separators at the end, names in numbers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bench.data.formats import read_counts, read_labels
from bench.errors import DataError

GOOD = ",Aa,Bb\nc1,1,0\nc2,0,3\nc3,1,1\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("packed", [True, False])
def test_encodings(tmp_path: Path, encoding: str, packed: bool):
    path = tmp_path / "x.csv"
    content = GOOD.replace("c2", "é").encode(encoding)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert list(read_counts(path, transpose=False).obs_names) == ["c1", "é", "c3"]


COMMENTS = {
    "one": "# made by a tool\n" + GOOD,
    "two": "## a\n# b; c\n" + GOOD,
    "with separators": "# a, b, c\n" + GOOD,
    "before a header with a hash": "# a\n#id,Aa,Bb\n" + GOOD.split("\n", 1)[1],
    "only a header with a hash": "#id,Aa,Bb\n" + GOOD.split("\n", 1)[1],
    "many": "# a\n" * 40 + GOOD,
    "a narrow header with a hash": "#Aa,Bb\n" + GOOD.split("\n", 1)[1],
    "a header with a hash and a space": "# id,Aa,Bb\n" + GOOD.split("\n", 1)[1],
    "as wide as the header": "#made,by,tool\n" + GOOD,
    "one narrower than the header": "#made,by\n" + GOOD,
    "before a narrow header": "#made,by\n" + GOOD[1:],
}


@pytest.mark.parametrize("how", COMMENTS)
def test_comments(tmp_path: Path, how: str):
    path = tmp_path / "x.csv"
    path.write_text(COMMENTS[how])
    adata = read_counts(path, transpose=False)
    assert (list(adata.obs_names), list(adata.var_names)) == (["c1", "c2", "c3"], ["Aa", "Bb"])
    path.write_text(COMMENTS[how].replace("0,3", "0,x"))
    with pytest.raises(DataError, match=f"line {COMMENTS[how].count(chr(10)) - 1}, column 'Bb'"):
        read_counts(path, transpose=False)


@pytest.mark.parametrize("comment", ["#a,b,c", "# a,b,c", "#a,b"])
def test_a_comment_before_names_that_are_numbers(tmp_path: Path, comment: str):
    path = tmp_path / "x.csv"
    for header in (",1,2", "1,2"):
        path.write_text(f"{comment}\n{header}\ng1,5,0\ng2,0,3\n")
        adata = read_counts(path, transpose=True)
        assert (list(adata.obs_names), list(adata.var_names)) == (["1", "2"], ["g1", "g2"])


def test_a_header_of_labels_with_a_hash(tmp_path: Path):
    path = tmp_path / "types.tsv"
    path.write_text("# exported\n#barcode\tcell_type\nc1\tB cell\nc2\tT cell\n")
    assert read_labels(path)["cell_type"].to_dict() == {"c1": "B cell", "c2": "T cell"}


@pytest.mark.parametrize("mark", ["sep=,", '"sep=,"', "sep=;"])
def test_the_separator_that_excel_writes(tmp_path: Path, mark: str):
    path = tmp_path / "x.csv"
    content = GOOD.replace(",", ";") if ";" in mark else GOOD
    path.write_text(f"{mark}\n{content}")
    assert list(read_counts(path, transpose=False).var_names) == ["Aa", "Bb"]
    path.write_text(f"{mark}\n{content.replace('0', 'x')}")
    with pytest.raises(DataError, match="line 3, column 'Bb'"):
        read_counts(path, transpose=False)


TRAILING = {
    "every line": GOOD.replace("\n", ",\n"),
    "twice": GOOD.replace("\n", ",,\n"),
    "rows only": GOOD.replace("\n", ",\n").replace(",\n", "\n", 1),
    "tabs": GOOD.replace("\n", ",\n").replace(",", "\t"),
    "semicolons": GOOD.replace("\n", ",\r\n").replace(",", ";"),
}


@pytest.mark.parametrize("how", TRAILING)
def test_separators_at_the_end_of_lines(tmp_path: Path, how: str):
    path = tmp_path / "x.csv"
    path.write_text(TRAILING[how])
    adata = read_counts(path, transpose=False)
    assert list(adata.var_names) == ["Aa", "Bb"]
    assert adata.X.toarray().tolist() == [[1, 0], [0, 3], [1, 1]]


def test_a_missing_last_value_is_no_separator(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(GOOD.replace("0,3", "0,"))
    with pytest.raises(DataError) as error:
        read_counts(path, transpose=False)
    assert error.value.code == "not_a_number"


NUMBERS = {
    "identifiers of genes": ",1001,2005\nc1,1,0\nc2,0,3\n",
    "under a name": "cell,1001,2005\nc1,1,0\nc2,0,3\n",
    "header of R": "1001,2005\nc1,1,0\nc2,0,3\n",
    "both": ",1001,2005\n17,1,0\n23,0,3\n",
    "from zero": ",0,1\n0,1,0\n1,0,3\n",
}


@pytest.mark.parametrize("how", NUMBERS)
def test_names_that_are_numbers(tmp_path: Path, how: str):
    path = tmp_path / "x.csv"
    path.write_text(NUMBERS[how])
    adata = read_counts(path, transpose=False)
    assert adata.X.toarray().tolist() == [[1, 0], [0, 3]]
    assert list(adata.var_names) == (["0", "1"] if how == "from zero" else ["1001", "2005"])
