"""Paired data: from the dataset through the store to what a fit sees."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mudata import MuData

from bench.contract import parse_interval, peak_intervals, ucsc_chromosome
from bench.contract.multiome import FACTS, PARTS, pair_data, read_feature_columns
from bench.contract.recipe import PairedInfo, PairedRecipe, Recipe, recipe_from_dict
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels, load_counts
from bench.data.checks import check_data
from bench.data.rare_population import RarePopulation, RarePopulationTask
from bench.datasets.sim_multiome import SimMultiome
from bench.errors import DataError
from bench.prepare.in_memory import prepare_counts

SMALL = {"n_cells": 60, "rare": 0.1, "n_genes": 50, "n_peaks": 120, "n_types": 3}
RECIPE = PairedRecipe(
    rna=Recipe(min_cells=2, target_sum=1e4, log1p=True, n_top_features=30, scale=True),
    atac=Recipe(binarize=True, tfidf=True, min_cells=5),
)


def sim(**values) -> SimMultiome:
    return SimMultiome.from_values(SMALL | values)


def test_paired_data_leave_the_log_of_the_process_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    sim().load()
    assert logging.root.handlers == []


def dense(matrix) -> np.ndarray:
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)


def test_both_parts_come_back_with_the_facts_of_their_features(store: DataCache):
    data = sim(sequence=True).load()
    kept = store.load_dataset(sim(sequence=True), "code", "sim")
    back = load_counts(kept.folder)
    assert isinstance(back, MuData)
    cells = list(back.obs_names)
    assert sorted(cells) == sorted(data.obs_names)
    assert cells != list(data.obs_names)
    for part in PARTS:
        np.testing.assert_array_equal(dense(back[part].X), dense(data[part][cells].X))
        assert list(back[part].var_names) == list(data[part].var_names)
        assert list(back[part].var.columns) == list(FACTS[part])
        for name in FACTS[part]:
            assert list(back[part].var[name]) == list(data[part].var[name])
    assert list(CellLabels(kept.folder).types) == list(data["rna"].obs["cell_type"][cells])
    assert isinstance(kept.info, PairedInfo)
    assert kept.info.n_features == 170
    assert {part: one.n_features for part, one in kept.info.parts.items()} == {
        "rna": 50, "atac": 120,
    }  # fmt: skip


def test_parts_are_prepared_like_single_matrices(store: DataCache):
    pair = store.load_dataset(sim(), "code", "sim")
    key = store.prepared_key(pair, RECIPE)
    assert not store.is_prepared(key)
    store.prepare(pair.folder, recipe_from_dict(RECIPE.as_dict()), key)
    assert store.is_prepared(key)
    data, cells = store.open_prepared(key)
    assert list(cells) == list(range(60))
    for part in PARTS:
        in_order = sim().load()[part][load_counts(pair.folder).obs_names]
        single = prepare_counts(in_order, getattr(RECIPE, part))
        np.testing.assert_array_equal(dense(data[part].X), dense(single.X))
        counts = data[part].layers["counts"]
        np.testing.assert_array_equal(dense(counts), dense(single.layers["counts"]))
        assert list(data[part].obs["size_factor"]) == list(single.obs["size_factor"])
        assert list(data[part].var_names) == list(single.var_names)


def test_a_fit_sees_counts_and_listed_facts_only(store: DataCache):
    pair = store.load_dataset(
        RarePopulation(sim(n_batches=2, n_modules=1), RarePopulationTask()), "code", "sim"
    )
    key = store.prepared_key(pair, RECIPE)
    store.prepare(pair.folder, RECIPE, key)
    data, _ = store.open_prepared(key)
    assert not data.uns
    assert not list(data.obs.columns)
    assert sorted(data.mod) == ["atac", "rna"]
    known = sim().load()
    for part in PARTS:
        one = data[part]
        assert list(one.obs.columns) == ["size_factor"]
        assert list(one.layers) == ["counts"]
        assert set(one.var.columns) <= set(FACTS[part])
        for name in one.var.columns:  # of the kept features, by name
            expected = known[part].var[name].loc[one.var_names]
            assert list(one.var[name]) == list(expected)
        assert not one.uns
        assert not one.obsm
        assert not one.varm


def test_cells_must_pass_the_filters_of_both_parts(store: DataCache):
    pair = store.load_dataset(sim(atac_depth=20.0), "code", "sim")
    names = list(load_counts(pair.folder).obs_names)
    data = {part: one[names] for part, one in sim(atac_depth=20.0).load().mod.items()}
    detected = {part: np.diff(data[part].X.indptr) for part in PARTS}
    low = {part: int(np.quantile(detected[part], 0.3)) + 1 for part in PARTS}
    recipe = PairedRecipe(*(Recipe(min_features=low[part]) for part in PARTS))
    key = store.prepared_key(pair, recipe)
    store.prepare(pair.folder, recipe, key)
    prepared, cells = store.open_prepared(key)
    expected = np.flatnonzero((detected["rna"] >= low["rna"]) & (detected["atac"] >= low["atac"]))
    assert 0 < len(expected) < 42
    np.testing.assert_array_equal(cells, expected)
    assert list(prepared["rna"].obs_names) == list(prepared["atac"].obs_names)
    for part in PARTS:
        index = data[part].var_names.get_indexer(prepared[part].var_names)
        np.testing.assert_array_equal(
            dense(prepared[part].layers["counts"]), dense(data[part].X)[cells][:, index]
        )


def test_positions_count_for_pairs_and_not_for_their_parts(store: DataCache):
    class Moved(SimMultiome):
        def load(self):
            data = super().load()
            data["rna"].var["tss"] += 1
            return data

    one = store.load_dataset(sim(), "code", "sim")
    other = store.load_dataset(Moved.from_values(SMALL), "other", "sim")
    assert one.counts_digest != other.counts_digest
    assert one.facts["part_digests"] == other.facts["part_digests"]


def test_some_cells_of_paired_data_are_held_out_by_default(store: DataCache):
    kept = store.load_dataset(RarePopulation(sim(), RarePopulationTask()), "code", "sim")
    assert CellLabels(kept.folder).train.mean() == pytest.approx(0.8, abs=0.02)
    every = store.load_dataset(RarePopulation(sim(), RarePopulationTask(train=0.0)), "code", "sim")
    assert (every.train_digest, CellLabels(every.folder).train) == ("", None)
    single = store.load_dataset(
        RarePopulation(sim(part="rna"), RarePopulationTask()), "code", "sim"
    )
    assert single.train_digest == ""


# What is wrong with a pair.


def parts(**values):
    data = sim(**values).load()
    return data["rna"].copy(), data["atac"].copy()


def test_unequal_barcodes_are_counted_and_named():
    rna, atac = parts()
    atac.obs_names = [f"x{name}" if n in (3, 7) else name
                      for n, name in enumerate(atac.obs_names)]  # fmt: skip
    with pytest.raises(DataError) as error:
        pair_data(rna, atac)
    assert error.value.code == "different_cells"


def test_another_order_is_refused():
    rna, atac = parts()
    with pytest.raises(DataError) as error:
        pair_data(rna, atac[::-1].copy())
    assert error.value.code == "different_order"


def test_an_empty_cell_is_a_warning():
    rna, atac = parts()
    values = atac.X.toarray()
    values[5] = 0
    atac.X = values
    data = pair_data(rna, atac)
    checked = check_data(
        data, where="x", label_key="cell_type", batch_key=None, modality="multiome"
    )
    assert "x (atac): 1 cells have no counts at all." in checked.warnings


def test_other_modalities_are_refused():
    rna, _ = parts()
    data = MuData({"rna": rna, "protein": rna.copy()})
    with pytest.raises(DataError) as error:
        check_data(data, where="x", label_key="cell_type", batch_key=None, modality="multiome")
    assert error.value.code == "wrong_modality"


def test_positions_of_peaks_come_from_names_without_columns():
    _, atac = parts()
    said = atac.var[["chrom", "start", "end"]]
    facts = read_feature_columns(atac.var.drop(columns=["chrom", "start", "end"]), "atac", "x")
    for name in said:
        assert list(facts[name]) == list(said[name])
    atac.var_names = [f"peak{n}" for n in range(atac.n_vars)]
    assert read_feature_columns(atac.var[[]], "atac", "x") == {}


def test_sequences_of_different_lengths_are_refused():
    _, atac = parts(sequence=True)
    atac.var.iloc[0, atac.var.columns.get_loc("sequence")] = "ACGT"
    with pytest.raises(DataError) as error:
        read_feature_columns(atac.var, "atac", "x")
    assert error.value.code == "invalid_column"


# Names of peaks.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chr1:100-200", ("chr1", 100, 200)),
        ("chr18_69424813_69624806", ("chr18", 69424813, 69624806)),
        ("1-9963-10665", ("chr1", 9963, 10665)),
        ("X:5-9", ("chrX", 5, 9)),
        ("MT-1-20", ("chrM", 1, 20)),
        ("chrUn_GL000220v1_10_20", ("chrUn_GL000220v1", 10, 20)),
        ("GL456210.1:10-20", ("GL456210.1", 10, 20)),
        ("chr1:200-100", None),
        ("chr1:100-100", None),
        ("chr1:-100", None),
        ("GAPDH", None),
        ("", None),
    ],
)
def test_names_of_peaks(name: str, expected):
    assert parse_interval(name) == expected


@given(
    st.sampled_from(["1", "19", "X", "Y", "chr2", "chr2L", "chrUn_KI270302v1", "GL456210.1"]),
    st.integers(0, 10**9),
    st.integers(1, 10**6),
    st.sampled_from([":-", "__", "--", "_-", ":_"]),
)
def test_any_place_is_read_back_from_its_name(home: str, start: int, width: int, marks: str):
    name = f"{home}{marks[0]}{start}{marks[1]}{start + width}"
    assert parse_interval(name) == (ucsc_chromosome(home), start, start + width)


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_none(text: str):
    found = parse_interval(text)
    sites, bad = peak_intervals([text])
    assert (bad == [text]) == (found is None)
    assert found is None or (found[1] < found[2] and tuple(sites.iloc[0]) == found)


def test_the_names_of_chromosomes_agree_whatever_their_spelling():
    assert {ucsc_chromosome(name) for name in ("MT", "M", "chrM", "chrMT")} == {"chrM"}
    assert ucsc_chromosome(ucsc_chromosome("7")) == "chr7"
