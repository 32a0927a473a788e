"""New cells are prepared by what the preparation learned from the cells of the fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.apply.estimator import estimator
from bench.contract import PairedRecipe, Recipe, accessible_peaks, log_normalized, pair_data
from bench.errors import DataError, UsageError
from bench.prepare.in_memory import prepare_data
from bench.prepare.new_cells import Preparation

RECIPES = [
    Recipe(),
    Recipe(min_features=3, min_cells=2, max_cells=0.8),
    Recipe(binarize=True, tfidf=True),
    Recipe(target_sum=1e4, log1p=True, n_top_features=12),
    Recipe(min_cells=2, target_sum=100, log1p=True, n_top_features=12, scale=True, max_value=1.5),
    Recipe(max_abs=True),
    Recipe(log1p=True, max_abs=True, scale=True),
]


def counts(n_cells: int = 40, n_features: int = 25, seed: int = 0) -> AnnData:
    rng = np.random.default_rng(seed)
    matrix = rng.poisson(rng.gamma(1.0, 1.0, (1, n_features)), (n_cells, n_features))
    matrix[:, 0] = 0  # nowhere detected
    matrix[0, 1] = 1
    return AnnData(
        sp.csr_matrix(matrix, dtype=np.float32),
        obs=pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(n_features)]),
    )


def dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def same(one: AnnData, other: AnnData) -> None:
    assert list(one.obs_names) == list(other.obs_names)
    assert list(one.var_names) == list(other.var_names)
    assert sp.issparse(one.X) == sp.issparse(other.X)
    np.testing.assert_allclose(dense(one.X), dense(other.X), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(dense(one.layers["counts"]), dense(other.layers["counts"]))
    np.testing.assert_allclose(one.obs["size_factor"], other.obs["size_factor"], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RECIPES), st.integers(0, 99), st.booleans())
def test_the_cells_of_the_fit_come_out_as_they_were(recipe: Recipe, seed: int, as_dense: bool):
    """In any order of cells and features, beside features that the fit has not seen."""
    data = counts(seed=seed)
    prepared = prepare_data(data, recipe)
    preparation = Preparation.fit(data, recipe, prepared)
    kept = data[prepared.obs_names].copy()
    same(preparation.apply(kept), prepared)
    rng = np.random.default_rng(seed)
    mixed = kept[rng.permutation(kept.n_obs)][:, rng.permutation(kept.n_vars)].copy()
    more = counts(kept.n_obs, 3, seed)
    names = [*mixed.var_names, "x", "y", "z"]
    wide = AnnData(sp.hstack([mixed.X, more.X]).tocsr(), obs=mixed.obs)
    wide.var_names = names
    if as_dense:
        wide.X = wide.X.toarray()
    again = preparation.apply(wide)
    same(again[prepared.obs_names].copy(), prepared)


@pytest.mark.parametrize("recipe", RECIPES)
def test_new_cells_change_nothing_for_each_other(recipe: Recipe):
    data, new = counts(), counts(15, seed=7)
    preparation = Preparation.fit(data, recipe, prepare_data(data, recipe))
    together_, alone = preparation.apply(new), preparation.apply(new[3:4].copy())
    same(alone, together_[3:4].copy())


def test_by_hand(tmp_path: Path):
    """Depth over all that the filters left, mean and deviation of the two cells of the fit."""
    data = AnnData(np.array([[1.0, 3.0, 0.0], [3.0, 1.0, 0.0]], dtype=np.float32))
    recipe = Recipe(target_sum=8, scale=True)
    preparation = Preparation.fit(data, recipe, prepare_data(data, recipe))
    new = AnnData(np.array([[1.0, 1.0, 9.0]], dtype=np.float32))
    preparation.save(tmp_path)
    loaded = Preparation.load(tmp_path)
    assert loaded is not None
    for one in (preparation, loaded):
        made = one.apply(new)
        # The third feature passed no filter. 8 counts: 4, 4; the cells of the fit had 2, 6 and
        # 6, 2: mean 4, deviation sqrt(8).
        np.testing.assert_allclose(made.X, [[0.0, 0.0]], atol=1e-6)
        far = one.apply(AnnData(np.array([[3.0, 0.0, 0.0]], dtype=np.float32)))
        np.testing.assert_allclose(far.X, [[4 / 8**0.5, -4 / 8**0.5]], rtol=1e-6)
        assert far.obs["size_factor"].tolist() == [0.75]


@pytest.mark.parametrize("recipe", RECIPES)
def test_saved_and_read(tmp_path: Path, recipe: Recipe):
    data = counts()
    preparation = Preparation.fit(data, recipe, prepare_data(data, recipe))
    preparation.save(tmp_path)
    again = Preparation.load(tmp_path)
    assert again is not None
    assert again.parts[""].recipe == recipe
    same(again.apply(counts(9, seed=3)), preparation.apply(counts(9, seed=3)))


def test_a_damaged_file_is_named(tmp_path: Path):
    assert Preparation.load(tmp_path) is None
    (tmp_path / "preparation.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError) as error:
        Preparation.load(tmp_path)
    assert error.value.code == "damaged_file"
    data = counts()
    Preparation.fit(data, Recipe(), prepare_data(data, Recipe())).save(tmp_path)
    with np.load(tmp_path / "preparation.npz") as file:
        arrays = dict(file)
    arrays["/columns"] = arrays["/columns"][:5]
    np.savez(tmp_path / "preparation.npz", **arrays)
    with pytest.raises(DataError) as error:
        Preparation.load(tmp_path)
    assert error.value.code == "damaged_file"


def test_missing_features_are_refused_or_filled():
    data = counts()
    preparation = Preparation.fit(data, Recipe(), prepare_data(data, Recipe()))
    short = data[:, [name for name in data.var_names if name not in ("g4", "g9")]].copy()
    with pytest.raises(DataError, match=r"2 of 22 features .* missing \('g4', 'g9'\)") as error:
        preparation.apply(short)
    assert error.value.code == "missing_features"
    filled = preparation.apply(short, fill_missing=True)
    zeroed = data.to_df()
    zeroed[["g4", "g9"]] = 0
    same(filled, preparation.apply(AnnData(zeroed)))
    other = data.copy()
    other.var_names = [f"ENSG{i}" for i in range(data.n_vars)]
    for fill in (False, True):
        with pytest.raises(DataError) as error:
            preparation.apply(other, fill_missing=fill)
        assert error.value.code == "missing_features"


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(max_abs=True), Recipe(scale=True)])
def test_names_that_stand_there_twice(recipe: Recipe):
    """A fit works with them, new cells cannot."""
    data = counts()
    double = data.copy()
    double.var_names = ["g5" if name == "g6" else name for name in data.var_names]
    preparation = Preparation.fit(data, recipe, prepare_data(data, recipe))
    with pytest.raises(DataError) as error:
        preparation.apply(double)
    assert error.value.code == "duplicate_names"
    unclear = Preparation.fit(double, recipe, prepare_data(double, recipe))
    with pytest.raises(DataError) as error:
        unclear.apply(data)
    assert error.value.code == "duplicate_names"


def test_a_block_without_values(monkeypatch: pytest.MonkeyPatch):
    """The last cells have counts in features only that the filter or the selection left out."""
    monkeypatch.setattr("bench.prepare.blocks.ENTRIES", 100)
    matrix = counts().to_df()
    matrix.iloc[-8:] = 0
    matrix.iloc[-1, 0] = 5
    data = AnnData(matrix)
    for recipe in RECIPES:
        prepared = prepare_data(data, recipe)
        preparation = Preparation.fit(data, recipe, prepared)
        same(preparation.apply(data[prepared.obs_names].copy()), prepared)


def test_no_cells():
    data = counts()
    preparation = Preparation.fit(data, Recipe(), prepare_data(data, Recipe()))
    with pytest.raises(DataError) as error:
        preparation.apply(data[:0].copy())
    assert error.value.code == "no_cells"


def test_cells_below_the_filter_of_the_fit_remain():
    data = counts()
    recipe = Recipe(min_features=8)
    preparation = Preparation.fit(data, recipe, prepare_data(data, recipe))
    new = AnnData(counts(5).to_df())
    new.X[2] = 0
    made = preparation.apply(new)
    assert made.n_obs == 5
    assert made.obs["size_factor"].iloc[2] == 0


def test_peaks_also_go_by_coordinates():
    data = counts()
    data.var_names = [f"chr1:{100 * i}-{100 * i + 50}" for i in range(data.n_vars)]
    recipe = accessible_peaks()
    preparation = Preparation.fit(data, recipe, prepare_data(data, recipe))
    other = data.copy()
    other.var_names = [f"1_{100 * i}_{100 * i + 50}" for i in range(data.n_vars)]
    same(preparation.apply(other), preparation.apply(data))


def test_one_column_is_not_two_features():
    """Of two names for one interval in the fit, a file with one of them has one."""
    data = counts(30, 4)
    data.var_names = ["chr1:5-9", "chr1:100-150", "1_100_150", "chr1:300-350"]
    preparation = Preparation.fit(data, Recipe(), prepare_data(data, Recipe()))
    short = data[:, [0, 1, 3]].copy()
    with pytest.raises(DataError) as error:
        preparation.apply(short)
    assert error.value.code == "missing_features"
    filled = preparation.apply(short, fill_missing=True)
    assert filled[:, "1_100_150"].X.sum() == 0
    np.testing.assert_array_equal(dense(filled[:, "chr1:100-150"].X), dense(short.X)[:, [1]])


def test_paired_data_keep_the_facts_of_features(tmp_path: Path):
    rna, atac = counts(30, 20), counts(30, 22, seed=1)
    rna.var["chrom"] = "chr1"
    rna.var["tss"] = np.arange(20)
    atac.var_names = [f"chr2:{100 * i}-{100 * i + 50}" for i in range(22)]
    pair = pair_data(rna, atac)
    recipe = PairedRecipe(log_normalized_of(rna), accessible_peaks())
    prepared = prepare_data(pair, recipe)
    preparation = Preparation.fit(pair, recipe, prepared)
    preparation.save(tmp_path)
    loaded = Preparation.load(tmp_path)
    assert loaded is not None
    for one in (preparation, loaded):
        made = one.apply(pair)
        for part in ("rna", "atac"):
            same(made[part][prepared.obs_names].copy(), prepared[part])
            pd.testing.assert_frame_equal(
                made[part].var, prepared[part].var, check_dtype=False, check_names=False
            )
    with pytest.raises(DataError) as error:
        preparation.apply(rna)
    assert error.value.code == "wrong_modality"


def log_normalized_of(data: AnnData) -> Recipe:
    from bench.prepare.in_memory import describe_data

    info = describe_data(data, name="", modality="rna", has_batch=False)
    return replace(log_normalized(info), n_top_features=10)


def test_the_estimator_embeds_new_counts(tmp_path: Path):
    """The cells of the fit, as new ones, get their embedding; also after saving and loading."""
    data = counts(60, 40)
    fitted = estimator("pca", n_components=5).fit(data)
    mixed = data[:, ::-1].copy()
    np.testing.assert_allclose(fitted.transform(mixed), fitted.embedding_, rtol=1e-3, atol=1e-4)
    fitted.save(tmp_path)
    again = estimator("pca", n_components=5).load(tmp_path)
    np.testing.assert_allclose(again.transform(mixed), fitted.embedding_, rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError):
        estimator("pca").transform(data)
