"""Counts in X, in a layer or in raw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from bench.data.count_layers import choose_counts
from bench.data.file_dataset import FileDataset
from bench.errors import DataError, UsageError
from bench.messages import collect_notes


@pytest.fixture
def logged(toy_counts: AnnData) -> AnnData:
    """Log-normalised values in X and in a layer; no counts yet."""
    adata = toy_counts.copy()
    adata.X = adata.X.log1p()
    adata.layers["scaled"] = adata.X * 0.5
    return adata


def chosen(adata: AnnData, layer: str | None = None) -> tuple[AnnData, list[str]]:
    with collect_notes() as notes:
        return choose_counts(adata, "x.h5ad", layer), notes


@pytest.mark.parametrize("name", ["counts", "raw_counts", "Counts", "spliced", "raw"])
def test_the_layer_with_counts_is_taken_with_a_note(
    logged: AnnData, toy_counts: AnnData, name: str
):
    logged.layers[name] = toy_counts.X.copy()
    adata, notes = chosen(logged)
    assert (adata.X != toy_counts.X).nnz == 0
    assert len(notes) == 1
    assert "X holds no whole numbers; took" in notes[0]


def test_raw_has_features_of_its_own(logged: AnnData, toy_counts: AnnData):
    few = logged[:, :10].copy()
    few.raw = toy_counts
    adata, notes = chosen(few)
    assert adata.shape == (60, 40)
    assert adata.obs["cell_type"].tolist() == toy_counts.obs["cell_type"].tolist()
    assert "took raw" in notes[0]


def test_a_usual_name_comes_before_others(logged: AnnData, toy_counts: AnnData):
    logged.layers["ambiguous"] = toy_counts.X * 0 + toy_counts.X * 3
    logged.layers["counts"] = toy_counts.X.copy()
    assert (chosen(logged)[0].X != toy_counts.X).nnz == 0


def test_several_layers_without_a_usual_name(logged: AnnData, toy_counts: AnnData):
    logged.layers["spliced"] = toy_counts.X.copy()
    logged.layers["unspliced"] = toy_counts.X * 2
    with pytest.raises(DataError) as error:
        chosen(logged)
    assert error.value.code == "ambiguous_layer"
    assert (chosen(logged, "spliced")[0].X != toy_counts.X).nnz == 0


def test_counts_in_x_stay(toy_counts: AnnData):
    toy_counts = toy_counts.copy()
    toy_counts.layers["counts"] = toy_counts.X * 2
    adata, notes = chosen(toy_counts)
    assert adata is toy_counts
    assert notes == []


def test_values_without_counts_anywhere_stay_for_the_checks(logged: AnnData):
    assert chosen(logged) == (logged, [])


@pytest.mark.parametrize("layer", ["X", "counts", "raw", "scaled"])
def test_the_user_chooses(logged: AnnData, toy_counts: AnnData, layer: str):
    logged.layers["counts"] = toy_counts.X.copy()
    logged.raw = toy_counts
    expected = {"X": logged.X, "scaled": logged.layers["scaled"]}.get(layer, toy_counts.X)
    adata, notes = chosen(logged.copy(), layer)
    np.testing.assert_array_equal(adata.X.toarray(), expected.toarray())
    assert notes == []


def test_an_unknown_layer(logged: AnnData):
    with pytest.raises(DataError) as error:
        chosen(logged, "counts")
    assert error.value.code == "unknown_layer"


def test_the_layer_of_a_file(tmp_path: Path, logged: AnnData, toy_counts: AnnData):
    logged.layers["counts"] = toy_counts.X.copy()
    logged.write_h5ad(tmp_path / "x.h5ad")
    dataset = FileDataset.from_path(tmp_path / "x.h5ad", FileDataset.Params(layer="counts"))
    assert (dataset.load().X != toy_counts.X).nnz == 0
    paired = FileDataset.Params(layer="counts", atac=str(tmp_path / "x.h5ad"))
    with pytest.raises(UsageError):
        FileDataset.from_path(tmp_path / "x.h5ad", paired).load()
