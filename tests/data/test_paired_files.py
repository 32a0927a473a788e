"""Paired data of files, of published sets, and of the small sets of a data folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bench.contract.multiome import pair_data, write_pair
from bench.data.checks import check_data
from bench.data.file_dataset import FileDataset
from bench.data.resolve import resolve_dataset
from bench.datasets.sim_multiome import SimMultiome
from bench.errors import DataError, UsageError
from bench.registry import datasets
from bench.settings import load_settings

SMALL = {"n_cells": 40, "rare": 0.1, "n_genes": 30, "n_peaks": 50, "n_types": 3}


@pytest.fixture(scope="module")
def pair():
    return SimMultiome.from_values(SMALL).load()


@pytest.fixture
def folder(tmp_path: Path, pair) -> Path:
    for part in ("rna", "atac"):
        one = pair[part].copy()
        del one.uns["truth"]
        one.write_h5ad(tmp_path / f"{part}.h5ad")
    write_pair(pair_data(pair["rna"].copy(), pair["atac"].copy()), tmp_path / "pair.h5mu")
    return tmp_path


def read(path: Path, **values):
    params = FileDataset.Params.build(values, owner="x")
    dataset = FileDataset.from_path(path, params)
    return dataset, dataset.load()


@pytest.mark.parametrize(
    ("name", "values"),
    [("pair.h5mu", {}), ("pair.h5mu", {"part": "both"}), ("rna.h5ad", {"atac": "atac.h5ad"})],
)
def test_both_parts_of_a_file_or_of_two(folder: Path, pair, name: str, values: dict[str, str]):
    if "atac" in values:
        values = {"atac": str(folder / values["atac"])}
    dataset, data = read(folder / name, **values)
    assert dataset.paired
    card = dataset.card
    assert (card.modality, card.label_key) == ("multiome", "cell_type")
    check_data(data, where="x", label_key="cell_type", batch_key=None, modality="multiome")
    for part in ("rna", "atac"):
        assert (data[part].X != pair[part].X).nnz == 0
        assert list(data[part].var["chrom"]) == list(pair[part].var["chrom"])


def test_one_part_of_a_paired_file(folder: Path, pair):
    dataset, data = read(folder / "pair.h5mu", part="atac")
    assert not dataset.paired
    assert dataset.card.modality == "atac"
    assert data.shape == pair["atac"].shape


def test_cells_without_a_label_leave_both_parts(folder: Path):
    table = "barcode,cell_type\n" + "".join(f"cell{n + 1},t{n % 2}\n" for n in range(30))
    (folder / "labels.csv").write_text(table)
    dataset, data = read(folder / "pair.h5mu", labels=str(folder / "labels.csv"))
    assert data["rna"].n_obs == data["atac"].n_obs == 30
    assert list(data["rna"].obs_names) == list(data["atac"].obs_names)
    assert any("10" in note for note in dataset.notes)


def test_files_whose_cells_differ_are_refused(folder: Path, pair):
    pair["atac"][5:].copy().write_h5ad(folder / "few.h5ad")
    with pytest.raises(DataError, match="5 are in one of them only"):
        read(folder / "rna.h5ad", atac=str(folder / "few.h5ad"))
    with pytest.raises(UsageError) as missing:
        read(folder / "rna.h5ad", atac="nowhere.h5ad")
    assert missing.value.code == "missing_file"


def test_cells_of_a_paired_selector_are_held_out(folder: Path):
    chosen = resolve_dataset(str(folder / "pair.h5mu"), load_settings({}))
    data = chosen.dataset.load()
    assert data["rna"].obs[chosen.dataset.card.train_key].mean() == pytest.approx(0.8, abs=0.05)
    whole = resolve_dataset(f"{folder / 'pair.h5mu'}[train=0]", load_settings({}))
    whole.dataset.load()
    assert whole.dataset.card.train_key is None


# Sets with a name.


@pytest.fixture(scope="module")
def loaded(data_dir, tmp_path_factory: pytest.TempPathFactory):
    """Return dataset and data of a name, read once."""

    @cache
    def load(name: str):
        dataset = datasets().get(name)(cache=tmp_path_factory.mktemp(name), offline=True)
        return dataset, dataset.load()

    return load


@pytest.mark.parametrize(
    ("name", "shape", "found"),
    [("pairedtag", (327, 2000, 5000), 0.58), ("scicar_a549", (2641, 1185, 52761), 0.93)],
)
def test_small_sets_of_the_data_folder(loaded, name: str, shape, found: float):
    dataset, data = loaded(name)
    rna, atac = data["rna"], data["atac"]
    assert (rna.n_obs, rna.n_vars, atac.n_vars) == shape
    assert dataset.card.n_features == rna.n_vars + atac.n_vars
    placed = (rna.var["chrom"] != "").to_numpy()
    assert placed.mean() == pytest.approx(found, abs=0.02)
    assert np.array_equal(placed, rna.var["tss"].to_numpy() >= 0)
    assert atac.var_names[0].startswith("chr")
    assert f"{placed.sum()} of {rna.n_vars} genes found" in " ".join(dataset.notes)
    card = dataset.card
    check_data(data, where=name, label_key=card.label_key, batch_key=None, modality="multiome")


def test_a_known_gene_lies_where_the_genome_browser_shows_it(loaded):
    _, data = loaded("scicar_a549")
    # ERRFI1, hg19 chr1:8,071,779-8,086,393 on the minus strand
    place = data["rna"].var.loc["ERRFI1"]
    assert (place["chrom"], place["strand"]) == ("chr1", "-")
    assert abs(int(place["tss"]) - 8_086_393) < 200
