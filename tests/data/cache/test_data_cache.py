from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest

from bench.contract import Card, Dataset, Recipe
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels, load_counts
from bench.errors import DataError, UsageError
from bench.prepare import blocks
from bench.prepare.in_memory import prepare_counts


def test_counts_and_labels_come_back_and_loading_happens_once(
    store: DataCache, toy_counts, in_memory
):
    dataset = in_memory(toy_counts)
    first = store.load_dataset(dataset, "code", "memory")
    again = store.load_dataset(dataset, "code", "memory")
    assert dataset.loads == 1
    assert first.facts == again.facts
    counts = load_counts(first.folder)
    in_order = toy_counts[counts.obs_names]
    assert (counts.X != in_order.X).nnz == 0
    assert sorted(counts.obs_names) == sorted(toy_counts.obs_names)
    assert counts.obs.columns.empty
    assert list(CellLabels(first.folder).types) == list(in_order.obs["cell_type"])
    assert first.facts["types"] == {"a": 20, "b": 20, "c": 20}


def test_other_code_or_content_is_loaded_again(store: DataCache, toy_counts, in_memory):
    dataset = in_memory(toy_counts)
    first = store.load_dataset(dataset, "code", "memory")
    assert store.load_dataset(dataset, "edited", "memory").folder == first.folder
    assert dataset.loads == 2
    changed = toy_counts.copy()
    changed.X[0, 0] += 1
    other = store.load_dataset(in_memory(changed), "edited again", "memory")
    assert other.counts_digest != first.counts_digest
    assert other.labels_digest == first.labels_digest


def test_equal_counts_of_another_modality_are_another_dataset(
    store: DataCache, toy_counts, in_memory
):
    first = store.load_dataset(in_memory(toy_counts), "code", "memory")
    other = in_memory(toy_counts)
    other.card = Card("atac", "in memory", label_key="cell_type")
    second = store.load_dataset(other, "edited", "memory")
    assert [one.info.modality for one in (first, second)] == ["rna", "atac"]
    assert (
        first.info.modality == store.load_dataset(in_memory(toy_counts), "code", "m").info.modality
    )


def test_cached_datasets_are_found_without_loading(store: DataCache, toy_counts, in_memory):
    dataset = in_memory(toy_counts)
    assert store.find_dataset(dataset, "code", "memory") is None
    kept = store.load_dataset(dataset, "code", "memory")
    assert store.find_dataset(dataset, "code", "memory") == kept
    assert store.find_dataset(dataset, "edited", "memory") is None
    assert dataset.loads == 1
    (kept.folder / "info.json").unlink()
    assert store.find_dataset(dataset, "code", "memory") is None


def test_labels_are_no_part_of_the_counts_digest(store: DataCache, toy_counts, in_memory):
    first = store.load_dataset(in_memory(toy_counts), "one", "memory")
    permuted = toy_counts.copy()
    permuted.obs["cell_type"] = permuted.obs["cell_type"].to_numpy()[::-1]
    second = store.load_dataset(in_memory(permuted), "two", "memory")
    assert first.counts_digest == second.counts_digest
    assert first.labels_digest != second.labels_digest
    assert first.folder != second.folder


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "info"])
def test_a_damaged_copy_is_never_used(store: DataCache, toy_counts, damage: str, in_memory):
    dataset = in_memory(toy_counts)
    folder = store.load_dataset(dataset, "code", "memory").folder
    file = folder / "data.npy"
    if damage == "truncate":
        file.write_bytes(file.read_bytes()[:-3])
    elif damage == "flip":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    elif damage == "remove":
        file.unlink()
    else:
        (folder / "info.json").write_text("{")
    again = store.load_dataset(dataset, "code", "memory")
    assert dataset.loads == 2
    counts = load_counts(again.folder)
    assert (counts.X != toy_counts[counts.obs_names].X).nnz == 0


RECIPES = [
    Recipe(),
    Recipe(binarize=True, tfidf=True),
    Recipe(target_sum=1e4, log1p=True, n_top_features=20, scale=True, max_value=10),
    Recipe(min_features=25),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["raw", "tfidf", "scaled", "filtered"])
def test_prepared_data_equal_a_direct_preparation(
    store: DataCache, toy_counts, recipe: Recipe, in_memory
):
    stored = store.load_dataset(in_memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, recipe)
    assert not store.is_prepared(key)
    store.prepare(stored.folder, recipe, key)
    assert store.is_prepared(key)
    data, cells = store.open_prepared(key)
    names = load_counts(stored.folder).obs_names
    direct = prepare_counts(toy_counts[names], recipe)

    def dense(matrix):
        return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)

    np.testing.assert_array_equal(dense(data.X), dense(direct.X))
    np.testing.assert_array_equal(dense(data.layers["counts"]), dense(direct.layers["counts"]))
    np.testing.assert_array_equal(data.obs["size_factor"], direct.obs["size_factor"])
    assert list(data.var_names) == list(direct.var_names)
    assert list(names[cells]) == list(direct.obs_names)
    assert list(data.obs_names) == [f"cell{number}" for number in cells]


def test_prepared_data_cannot_be_changed_by_a_method(store: DataCache, toy_counts, in_memory):
    stored = store.load_dataset(in_memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, Recipe())
    store.prepare(stored.folder, Recipe(), key)
    data, _ = store.open_prepared(key)
    with pytest.raises(ValueError, match="read-only"):
        data.X.data[0] = 5


@pytest.mark.slow
def test_two_processes_prepare_the_same_at_once(store: DataCache, toy_counts, in_memory):
    recipe = Recipe(target_sum=1e4, log1p=True)
    stored = store.load_dataset(in_memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, recipe)
    code = (
        "from pathlib import Path\n"
        "from bench.contract import Recipe\n"
        "from bench.data.cache.data_cache import DataCache\n"
        f"DataCache(Path({str(store.root)!r})).prepare("
        f"Path({str(stored.folder)!r}), Recipe(**{recipe.as_dict()!r}), {key!r})"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert store.is_prepared(key)
    assert [p.name for p in (store.root / "prepared").iterdir()] == [key]


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError) as error:
        DataCache(blocked / "cache")
    assert error.value.code == "not_writable"


class Backed(Dataset):
    """A dataset whose counts stay on the disk."""

    name = "memory"
    card = Card("rna", "in a file", label_key="cell_type")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def load(self):
        return anndata.read_h5ad(self.path, backed="r")


@pytest.mark.parametrize("form", ["csr", "dense", "csc"])
def test_a_backed_dataset_is_stored_like_one_in_memory(
    store: DataCache,
    toy_counts,
    tmp_path: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    in_memory,
):
    expected = store.load_dataset(in_memory(toy_counts), "code", "memory")
    adata = toy_counts.copy()
    adata.X = {"csr": adata.X, "dense": adata.X.toarray(), "csc": adata.X.tocsc()}[form]
    adata.write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setattr(blocks, "ENTRIES", 300)
    kept = store.load_dataset(Backed(tmp_path / "x.h5ad"), "code", "memory")
    assert kept.folder == expected.folder
    counts = load_counts(kept.folder)
    assert (counts.X != toy_counts[counts.obs_names].X).nnz == 0
    assert counts.X.indices.dtype == np.int32


def test_notes_of_a_loader_are_stored_with_the_warnings(store: DataCache, toy_counts, in_memory):
    adata = toy_counts.copy()
    adata.X = adata.X.multiply(np.arange(60)[:, None] > 0).tocsr()
    dataset = in_memory(adata)
    dataset.notes = ["3 cells had no label."]
    kept = store.load_dataset(dataset, "code", "memory")
    assert kept.facts["warnings"] == [
        "3 cells had no label.", "1 cells have no counts at all.",
    ]  # fmt: skip


def test_only_batch_aware_recipes_depend_on_the_batches(store: DataCache, toy_counts, in_memory):
    adata = toy_counts.copy()
    adata.obs["donor"] = ["x", "y"] * 30
    dataset = in_memory(adata)
    dataset.card = Card("rna", "in memory", label_key="cell_type", batch_key="donor")
    stored = store.load_dataset(dataset, "code", "memory")
    recipe = Recipe(target_sum=1e4, log1p=True, n_top_features=10, batch_aware=True)
    key = store.prepared_key(stored, recipe)
    store.prepare(stored.folder, recipe, key)
    data, _ = store.open_prepared(key)
    direct = prepare_counts(adata, recipe, adata.obs["donor"].to_numpy())
    assert list(data.var_names) == list(direct.var_names)
    adata.obs["donor"] = ["x"] * 20 + ["y"] * 40
    other = store.load_dataset(dataset, "other", "memory")
    assert other.counts_digest == stored.counts_digest
    assert store.prepared_key(other, recipe) != key
    plain = Recipe(target_sum=1e4, log1p=True)
    assert store.prepared_key(other, plain) == store.prepared_key(stored, plain)


def test_a_batch_aware_recipe_needs_the_batch_in_uses(store, toy_counts, in_memory):
    from bench.methods.pca import PrincipalComponents
    from bench.plan.grid import make_job
    from bench.plan.methods import ConfiguredMethod
    from bench.settings import Settings

    class Sly(PrincipalComponents):
        def recipe(self, info):
            return Recipe(n_top_features=5, batch_aware=True)

    stored = store.load_dataset(in_memory(toy_counts), "code", "memory")
    sly = ConfiguredMethod(Sly, "bench.methods.pca", "sly", Sly(Sly.Params()))
    with pytest.raises(UsageError) as error:
        make_job(sly, stored, 0, Settings(), store)
    assert error.value.code == "wrong_recipe"
