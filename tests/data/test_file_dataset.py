from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from bench.cli.main import app
from bench.data.cache.data_cache import DataCache
from bench.data.checks import check_counts
from bench.data.file_dataset import FileDataset
from bench.data.file_names import find_named_file, is_data_path
from bench.data.file_reader import guess_modality
from bench.errors import DataError, UsageError


@pytest.fixture
def saved(tmp_path: Path, toy_counts: AnnData):
    """Write the toy counts after a change and return the path."""

    def write(change=lambda adata: None, name: str = "toy.h5ad") -> Path:
        adata = toy_counts.copy()
        change(adata)
        path = tmp_path / name
        adata.write_h5ad(path)
        return path

    return write


def load(path: Path, **keys: Any) -> tuple[FileDataset, AnnData]:
    dataset = FileDataset.from_path(path, FileDataset.Params.build(keys, owner="test"))
    return dataset, dataset.load()


def error_of(path: Path, **keys: Any) -> DataError:
    with pytest.raises(DataError) as error:
        load(path, **keys)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return error.value


def fault(path: Path, **keys: Any) -> str:
    """Return the code of the error."""
    return error_of(path, **keys).code


def test_a_file_becomes_a_dataset(saved, toy_counts: AnnData):
    path = saved(lambda a: a.uns.update(source="GSE1", licence="MIT", organism="mouse"))
    dataset, adata = load(path)
    assert dataset.name == "toy"
    card = dataset.card
    assert (card.modality, card.label_key, card.batch_key) == ("rna", "cell_type", None)
    assert (card.reference, card.licence, card.organism) == ("GSE1", "MIT", "mouse")
    assert (adata.X != toy_counts.X).nnz == 0


# Paths.


def test_no_such_file(tmp_path: Path):
    (tmp_path / "folder.h5ad").mkdir()
    (tmp_path / "counts.rds").write_text("a,b\n")
    for name, code in {
        "none.h5ad": "missing_file", "folder.h5ad": "missing_file", "counts.rds": "unknown_format"
    }.items():  # fmt: skip
        with pytest.raises((UsageError, DataError)) as error:
            FileDataset.from_path(tmp_path / name)
        assert error.value.code == code


def test_an_unknown_modality(saved):
    with pytest.raises(UsageError, match="protein"):
        load(saved(), modality="protein")
    assert load(saved(), modality="atac")[0].card.modality == "atac"


# Content.


def test_text_under_the_name_of_an_h5ad(tmp_path: Path):
    path = tmp_path / "text.h5ad"
    path.write_text("not HDF5\nat all\n")
    assert fault(path) == "unreadable"
    path.write_bytes(b"")
    assert fault(path) == "unreadable"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file(saved, share: float):
    path = saved()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert fault(path) == "unreadable"


def test_hdf5_that_is_no_anndata(tmp_path: Path):
    import h5py

    path = tmp_path / "other.h5ad"
    with h5py.File(path, "w") as file:
        file["matrix/data"] = np.arange(3)
    assert fault(path) == "unreadable"


def test_the_error_of_a_missing_label_column_lists_the_columns(saved):
    def change(adata: AnnData) -> None:
        adata.obs["depth"] = 1.0
        adata.obs["louvain"] = "1"
        adata.obs = adata.obs.rename(columns={"cell_type": "Annotation"})

    error = error_of(saved(change))
    assert error.code == "missing_column"
    # Columns named like labels come first.
    assert "its columns: louvain, Annotation, depth;" in str(error)
    assert fault(saved(change), label_key="annot") == "missing_column"
    assert load(saved(change), label_key="Annotation")[0].card.label_key == "Annotation"


def test_no_columns_at_all(saved):
    def change(adata: AnnData) -> None:
        adata.obs = adata.obs[[]]

    assert load(saved(change))[0].card.label_key == ""
    error = error_of(saved(change), label_key="cell_type")
    assert error.code == "missing_column"
    assert "labels='FILE', label_key='COLUMN'" in str(error)


@pytest.mark.parametrize(
    ("values", "asked", "expected"),
    [
        (None, None, None),
        (["x", "y"], None, "batch"),
        (["x"], None, None),
        (["x"], "batch", "batch"),
        (["x", "y"], "cell_type", "cell_type"),
    ],
)
def test_batches(saved, values: list[str] | None, asked: str | None, expected: str | None):
    def change(adata: AnnData) -> None:
        if values:
            adata.obs["batch"] = (values * 60)[:60]

    assert load(saved(change), batch_key=asked)[0].card.batch_key == expected


def test_a_missing_batch_column(saved):
    assert fault(saved(), batch_key="donor") == "missing_column"


@pytest.mark.parametrize(
    ("said", "names", "expected"),
    [
        ("", "gene{}", "rna"),
        ("", "chr1:{0}00-{0}50", "atac"),
        ("", "chr1_{0}00_{0}50", "atac"),
        ("", "1-{0}00-{0}50", "atac"),
        ("", "chrX-{0}00-{0}50", "atac"),
        ("", "GL000194.1:{0}00-{0}50", "atac"),
        ("", "HLA-DRB{}", "rna"),
        ("", "RP11-34P13.{}", "rna"),
        ("", "Mir{0}-1", "rna"),
        ("", "feature_{}", "rna"),
        ("atac", "feature_{}", "atac"),
        ("Chromatin accessibility", "feature_{}", "atac"),
        ("rna", "chr1:{0}00-{0}50", "rna"),
        ("scATAC-seq", "g{}", "atac"),
    ],
)
def test_modality(toy_counts: AnnData, said: str, names: str, expected: str):
    adata = toy_counts.copy()
    adata.var_names = [names.format(number + 1) for number in range(adata.n_vars)]
    if said:
        adata.uns["modality"] = said
    assert guess_modality(adata) == expected


@pytest.mark.filterwarnings("error")
def test_loading_warns_of_nothing(saved):
    """Names that are not unique are an error of the checks, in one line."""
    load(saved())


def test_two_files_do_not_share_a_card(saved):
    one = load(saved(lambda a: a.uns.update(modality="atac"), "one.h5ad"))[0]
    two = load(saved(name="two.h5ad"))[0]
    assert (one.card.modality, two.card.modality) == ("atac", "rna")


# Any format, with labels in a second file.


@pytest.fixture
def table(tmp_path: Path, toy_counts: AnnData) -> Path:
    """The toy counts as text, genes in rows, without labels; the labels are in types.csv."""
    path = tmp_path / "toy.csv"
    toy_counts.to_df().astype(int).T.to_csv(path)
    labels = toy_counts.obs.assign(donor=["x", "y"] * 30).iloc[::-1]
    labels.rename(columns={"cell_type": "type"}).to_csv(tmp_path / "types.csv")
    return path


def test_text_with_labels_in_a_second_file(table: Path, toy_counts: AnnData):
    labels = str(table.with_name("types.csv"))
    dataset, adata = load(table, labels=labels, label_key="type", batch_key="donor")
    assert dataset.name == "toy"
    assert (dataset.card.label_key, dataset.card.batch_key) == ("type", "donor")
    assert dataset.card.labels_from == "column type of types.csv"
    assert adata.obs["type"].tolist() == toy_counts.obs["cell_type"].tolist()
    assert (adata.X != toy_counts.X).nnz == 0
    assert dataset.notes == [
        "read with features in rows (rows are named like numbered features); if that is wrong, "
        f"'{table.name}[transpose=false]'"
    ]
    assert fault(table, labels=labels, label_key="kind") == "missing_column"


def test_a_file_of_labels_with_one_column_needs_no_key(table: Path):
    labels = table.with_name("one.csv")
    labels.write_text("".join(["cell,group\n", *(f"cell{i},{i % 3}\n" for i in range(60))]))
    assert load(table, labels=str(labels))[0].card.label_key == "group"


def test_labels_in_the_obs_of_another_file(table: Path, saved):
    dataset, adata = load(table, labels=str(saved()))
    assert dataset.card.label_key == "cell_type"
    assert adata.n_obs == 60


def test_dropped_cells_are_counted(table: Path):
    labels = table.with_name("few.csv")
    labels.write_text("cell,group\n" + "".join(f"cell{i},{i % 3 or 'NA'}\n" for i in range(30)))
    dataset, adata = load(table, labels=str(labels))
    assert adata.n_obs == 20
    assert dataset.notes[1:] == [
        f"{labels}: 30 of 60 cells are not in it and were dropped ('cell30', 'cell31', 'cell32', "
        "...)",
        f"{labels}: 10 of 30 cells have no value in column 'group' and were dropped",
    ]


def test_the_notes_are_stored_with_the_data(table: Path, tmp_path: Path):
    labels = str(table.with_name("types.csv"))
    params = FileDataset.Params(labels=labels, label_key="type")
    store = DataCache(tmp_path / "cache")
    for _ in range(2):
        facts = store.load_dataset(FileDataset.from_path(table, params), "s", "toy").facts
        assert "read with features in rows" in facts["warnings"][0]
    # The same counts read out of another layout have notes of their own.
    turned = tmp_path / "turned" / "toy.csv"
    turned.parent.mkdir()
    pd.read_csv(table, index_col=0).T.to_csv(turned)
    facts = store.load_dataset(FileDataset.from_path(turned, params), "s", "toy").facts
    assert "read with cells in rows" in facts["warnings"][0]


def test_no_such_file_of_labels(table: Path):
    with pytest.raises(UsageError) as error:
        load(table, labels="none.csv")
    assert error.value.code == "missing_file"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x.csv.gz", True), ("x.h5mu", True), ("x.zarr", True), ("baron", False), ("*", False)],
)
def test_data_paths(name: str, expected: bool):
    assert is_data_path(name) is expected


def test_the_command_line(table: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(table.parent)
    selector = "toy.csv[labels=types.csv,label_key=type]"
    words = ["plan", "-m", "pca", "-d", selector, "--json", "--cache-dir", "cache"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "toy" in result.stdout
    assert "toy: read with features in rows" in result.stderr


# Files by name.


def test_find_named_file(saved, monkeypatch: pytest.MonkeyPatch):
    path = saved()
    monkeypatch.setenv("BENCH_DATA_DIR", str(path.parent))
    assert find_named_file("toy") == path
    assert find_named_file("none") is None
    assert find_named_file(f"../{path.parent.name}/toy") is None
    monkeypatch.setenv("HOME", str(path.parent.parent))
    monkeypatch.setenv("BENCH_DATA_DIR", f"~/{path.parent.name}")
    assert find_named_file("toy") == path
    monkeypatch.setenv("BENCH_DATA_DIR", "")
    assert find_named_file("toy") is None
    monkeypatch.delenv("BENCH_DATA_DIR")
    assert find_named_file("toy") is None


REAL = {
    "zeisel_200genes": ("rna", None, 7),
    "baron_mouse": ("rna", "batch", 13),
    "cellbench_3cl_batches": ("rna", "batch", 3),
    "pairedtag_rna": ("rna", None, 20),
    "leukemia": ("atac", None, 6),
    "forebrain_half": ("atac", None, 8),
    "schep_celllines": ("atac", None, 12),
}


def facts_of(path: Path) -> tuple[str, str | None, int]:
    dataset, adata = load(path)
    card = dataset.card
    check_counts(
        adata, where=dataset.name, label_key=card.label_key, batch_key=card.batch_key,
        modality=card.modality,
    )  # fmt: skip
    return card.modality, card.batch_key, adata.obs[card.label_key].nunique()


@pytest.mark.parametrize("name", REAL)
def test_real_files(data_dir: Path, name: str):
    path = find_named_file(name)
    if path is None:
        pytest.skip(f"no {name}.h5ad in BENCH_DATA_DIR")
    assert facts_of(path) == REAL[name]


@pytest.mark.slow
def test_every_real_file_passes(data_dir: Path):
    for path in sorted(data_dir.glob("*.h5ad")):
        modality, _, n_types = facts_of(path)
        assert modality in ("rna", "atac"), path.name
        assert n_types > 1, path.name
