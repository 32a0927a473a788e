"""Loading and checking a user's file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from anndata import AnnData

from bench.data.file_dataset import FileDataset
from bench.data.user_file import load_checked, read_user_file
from bench.errors import DataError


@pytest.fixture
def text_file(tmp_path: Path, toy_counts: AnnData) -> Path:
    """Genes in rows, without labels; the first cell has no counts."""
    table = toy_counts.to_df().astype(int).T
    table.iloc[:, 0] = 0
    table.to_csv(tmp_path / "toy.csv")
    return tmp_path / "toy.csv"


def test_notes_come_before_warnings_without_the_name_of_the_file(text_file: Path):
    file = FileDataset.from_path(text_file, labels_needed=False)
    data, (note, warning) = load_checked(file, labels_needed=False)
    assert data.n_obs == 60
    assert note.startswith("read with features in rows")
    assert warning == "1 cells have no counts at all."


def test_notes_and_warnings_are_logged(text_file: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "bench"):
        file, data = read_user_file(text_file, {})
    assert (file.name, file.card.label_key, data.n_obs) == ("toy", "", 60)
    assert len(caplog.messages) == 2


def test_the_notes_are_logged_if_the_checks_fail(
    text_file: Path, caplog: pytest.LogCaptureFixture
):
    text_file.write_text(text_file.read_text().replace(",1,", ",-1,", 1))
    with caplog.at_level(logging.INFO, "bench"), pytest.raises(DataError) as error:
        read_user_file(text_file, {})
    assert error.value.code == "negative_values"
    assert "features in rows" in caplog.messages[0]


@pytest.mark.parametrize("gap", ["", None, float("nan")])
def test_cells_without_a_label_are_fitted(tmp_path: Path, toy_counts: AnnData, gap: object):
    adata = toy_counts.copy()
    adata.obs["cell_type"] = [gap, *adata.obs["cell_type"].astype(str)[1:]]
    adata.write_h5ad(tmp_path / "gap.h5ad")
    file, data = read_user_file(tmp_path / "gap.h5ad", {})
    assert data.n_obs == 60
    assert file.notes[-1].startswith("1 of 60 cells have no label in column 'cell_type'")
    with pytest.raises(DataError) as error:
        load_checked(FileDataset.from_path(tmp_path / "gap.h5ad"))
    assert error.value.code == "missing_values"


@pytest.mark.parametrize("kind", ["one type", "no type", "identifiers"])
def test_optional_labels_that_tell_nothing_are_left_out(
    tmp_path: Path, toy_counts: AnnData, kind: str
):
    data = toy_counts.copy()
    values = {"one type": ["a"] * 60, "no type": [""] * 60, "identifiers": list(data.obs_names)}
    data.obs["cell_type"] = values[kind]
    data.write_h5ad(tmp_path / "x.h5ad")
    file = FileDataset.from_path(tmp_path / "x.h5ad", labels_needed=False)
    _, notes = load_checked(file, labels_needed=False)
    assert file.card.label_key == ""
    assert any("cell_type" in note and "not used" in note for note in notes)
    # Who asks for the column is told that it cannot be used.
    params = FileDataset.Params.build({"label_key": "cell_type"}, owner="x")
    asked = FileDataset.from_path(tmp_path / "x.h5ad", params, labels_needed=False)
    with pytest.raises(DataError) as error:
        load_checked(asked, labels_needed=False)
    assert error.value.code in ("single_type", "missing_values", "too_few_cells")
    assert read_user_file(tmp_path / "x.h5ad", {}, check_columns=False)[1].n_obs == 60
