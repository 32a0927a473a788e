from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest

from bench import folders
from bench.dataset import Card, Dataset
from bench.errors import DataError, UsageError
from bench.keys import digest
from bench.prepare import blocks, prepare
from bench.recipe import Recipe
from bench.store import Store, Truth, load_counts


class Memory(Dataset):
    name = "memory"
    card = Card("rna", "in memory", label_key="cell_type")

    def __init__(self, adata) -> None:
        super().__init__()
        self.adata, self.loads = adata, 0

    def load(self):
        self.loads += 1
        return self.adata.copy()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_counts_and_labels_come_back_and_loading_happens_once(store: Store, toy_counts):
    dataset = Memory(toy_counts)
    first = store.dataset(dataset, "code", "memory")
    again = store.dataset(dataset, "code", "memory")
    assert dataset.loads == 1
    assert first.facts == again.facts
    counts = load_counts(first.folder)
    assert (counts.X != toy_counts.X).nnz == 0
    assert list(counts.obs_names) == list(toy_counts.obs_names)
    assert counts.obs.columns.empty
    assert list(Truth(first.folder).types) == list(toy_counts.obs["cell_type"])
    assert first.facts["types"] == {"a": 20, "b": 20, "c": 20}


def test_other_code_or_content_is_loaded_again(store: Store, toy_counts):
    dataset = Memory(toy_counts)
    first = store.dataset(dataset, "code", "memory")
    assert store.dataset(dataset, "edited", "memory").folder == first.folder
    assert dataset.loads == 2
    changed = toy_counts.copy()
    changed.X[0, 0] += 1
    other = store.dataset(Memory(changed), "edited again", "memory")
    assert other.counts_digest != first.counts_digest
    assert other.labels_digest == first.labels_digest


def test_what_is_in_the_cache_is_known_without_loading(store: Store, toy_counts):
    dataset = Memory(toy_counts)
    assert store.known(dataset, "code", "memory") is None
    kept = store.dataset(dataset, "code", "memory")
    assert store.known(dataset, "code", "memory") == kept
    assert store.known(dataset, "edited", "memory") is None
    assert dataset.loads == 1
    (kept.folder / "info.json").unlink()
    assert store.known(dataset, "code", "memory") is None


def test_labels_are_no_part_of_the_counts_digest(store: Store, toy_counts):
    first = store.dataset(Memory(toy_counts), "one", "memory")
    permuted = toy_counts.copy()
    permuted.obs["cell_type"] = permuted.obs["cell_type"].to_numpy()[::-1]
    second = store.dataset(Memory(permuted), "two", "memory")
    assert first.counts_digest == second.counts_digest
    assert first.labels_digest != second.labels_digest
    assert first.folder != second.folder


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "info"])
def test_a_damaged_copy_is_never_used(store: Store, toy_counts, damage: str):
    dataset = Memory(toy_counts)
    folder = store.dataset(dataset, "code", "memory").folder
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
    said: list[str] = []
    again = store.dataset(dataset, "code", "memory", said.append)
    assert dataset.loads == 2
    assert "damaged" in said[0]
    assert (load_counts(again.folder).X != toy_counts.X).nnz == 0


RECIPES = [
    Recipe(),
    Recipe(binarize=True, tfidf=True),
    Recipe(target_sum=1e4, log1p=True, n_top_features=20, scale=True, max_value=10),
    Recipe(min_features=25),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["raw", "tfidf", "scaled", "filtered"])
def test_prepared_data_equal_a_direct_preparation(store: Store, toy_counts, recipe: Recipe):
    stored = store.dataset(Memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, recipe)
    assert not store.prepared_ready(key)
    store.prepare(stored.folder, recipe, key)
    assert store.prepared_ready(key)
    data, cells = store.open_prepared(key)
    direct = prepare(toy_counts, recipe)
    dense = lambda m: m.toarray() if hasattr(m, "toarray") else np.asarray(m)  # noqa: E731
    np.testing.assert_array_equal(dense(data.X), dense(direct.X))
    np.testing.assert_array_equal(dense(data.layers["counts"]), dense(direct.layers["counts"]))
    np.testing.assert_array_equal(data.obs["size_factor"], direct.obs["size_factor"])
    assert list(data.var_names) == list(direct.var_names)
    assert list(toy_counts.obs_names[cells]) == list(data.obs_names) == list(direct.obs_names)


def test_prepared_data_cannot_be_changed_by_a_method(store: Store, toy_counts):
    stored = store.dataset(Memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, Recipe())
    store.prepare(stored.folder, Recipe(), key)
    data, _ = store.open_prepared(key)
    with pytest.raises(ValueError, match="read-only"):
        data.X.data[0] = 5


def test_two_processes_prepare_the_same_at_once(store: Store, toy_counts):
    recipe = Recipe(target_sum=1e4, log1p=True)
    stored = store.dataset(Memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, recipe)
    code = (
        "from pathlib import Path\n"
        "from bench.recipe import Recipe\n"
        "from bench.store import Store\n"
        f"Store(Path({str(store.root)!r})).prepare("
        f"Path({str(stored.folder)!r}), Recipe(**{recipe.as_dict()!r}), {key!r})"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert store.prepared_ready(key)
    assert [p.name for p in (store.root / "prepared").iterdir()] == [key]


def test_a_cache_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="BENCH_CACHE_DIR"):
        Store(blocked / "cache")


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
def test_a_backed_dataset_is_kept_like_one_in_memory(
    store: Store, toy_counts, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
):
    expected = store.dataset(Memory(toy_counts), "code", "memory")
    adata = toy_counts.copy()
    adata.X = {"csr": adata.X, "dense": adata.X.toarray(), "csc": adata.X.tocsc()}[form]
    adata.write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setattr(blocks, "ENTRIES", 300)
    kept = store.dataset(Backed(tmp_path / "x.h5ad"), "code", "memory")
    assert kept.folder == expected.folder
    assert (load_counts(kept.folder).X != toy_counts.X).nnz == 0
    assert load_counts(kept.folder).X.indices.dtype == np.int32


def test_what_a_loader_notes_is_kept_with_the_warnings(store: Store, toy_counts):
    adata = toy_counts.copy()
    adata.X = adata.X.multiply(np.arange(60)[:, None] > 0).tocsr()
    dataset = Memory(adata)
    dataset.notes = ["3 cells had no label."]
    kept = store.dataset(dataset, "code", "memory")
    assert kept.facts["warnings"] == [
        "3 cells had no label.", "1 cells have no counts at all.",
    ]  # fmt: skip


def test_batches_reach_only_recipes_that_ask_for_them(store: Store, toy_counts):
    adata = toy_counts.copy()
    adata.obs["donor"] = ["x", "y"] * 30
    dataset = Memory(adata)
    dataset.card = Card("rna", "in memory", label_key="cell_type", batch_key="donor")
    stored = store.dataset(dataset, "code", "memory")
    recipe = Recipe(target_sum=1e4, log1p=True, n_top_features=10, batch_aware=True)
    key = store.prepared_key(stored, recipe)
    store.prepare(stored.folder, recipe, key)
    data, _ = store.open_prepared(key)
    direct = prepare(adata, recipe, adata.obs["donor"].to_numpy())
    assert list(data.var_names) == list(direct.var_names)
    adata.obs["donor"] = ["x"] * 20 + ["y"] * 40
    other = store.dataset(dataset, "other", "memory")
    assert other.counts_digest == stored.counts_digest
    assert store.prepared_key(other, recipe) != key
    plain = Recipe(target_sum=1e4, log1p=True)
    assert store.prepared_key(other, plain) == store.prepared_key(stored, plain)


def test_a_method_whose_recipe_needs_the_batch_must_say_that_it_uses_it(store, toy_counts):
    from bench.config import Settings
    from bench.jobs import Configured, make_job
    from bench.methods.pca import PrincipalComponents

    class Sly(PrincipalComponents):
        def recipe(self, info):
            return Recipe(n_top_features=5, batch_aware=True)

    stored = store.dataset(Memory(toy_counts), "code", "memory")
    sly = Configured(Sly, "bench.methods.pca", "sly", Sly(Sly.Params()))
    with pytest.raises(UsageError, match=r"sly: its recipe has batch_aware, but uses\(\) lacks"):
        make_job(sly, stored, 0, Settings(), store)


# What is there, and what may go.


def filled(store: Store, toy_counts) -> dict[str, Path]:
    """A store with one dataset and two preparations, used in this order."""
    folder = store.dataset(Memory(toy_counts), "code", "memory").folder
    there = {"dataset": folder}
    for name, recipe in (("raw", Recipe()), ("log", Recipe(log1p=True))):
        key = store.prepared_key(store.dataset(Memory(toy_counts), "code", "memory"), recipe)
        store.prepare(folder, recipe, key)
        there[name] = store.root / "prepared" / key
    for number, one in enumerate(there.values()):
        os.utime(one / "used", (number, number))
    return there


def test_usage_names_everything_and_the_last_used_first(store: Store, toy_counts):
    there = filled(store, toy_counts)
    usage = store.usage()
    assert [one.folder for one in usage] == [there["log"], there["raw"], there["dataset"]]
    assert [one.kind for one in usage] == ["prepared", "prepared", "dataset"]
    assert {one.name for one in usage} == {"memory"}
    assert [one.used for one in usage] == [2, 1, 0]
    assert all(one.busy for one in usage)  # by this process
    for one in usage:
        assert one.bytes == sum(path.stat().st_size for path in one.folder.iterdir())
    store.open_prepared(there["raw"].name)
    assert store.usage()[0].folder == there["raw"]


def test_clean_removes_the_least_recently_used_until_it_fits(tmp_path: Path, toy_counts):
    there = filled(Store(tmp_path), toy_counts)
    store = Store(tmp_path)
    sizes = {one.folder: one.bytes for one in store.usage()}
    assert store.clean(sum(sizes.values())) == []
    removed = store.clean(sum(sizes.values()) - 1)
    assert [one.folder for one in removed] == [there["dataset"]]
    assert not list((tmp_path / "pointers").iterdir())
    assert [one.folder for one in store.clean(sizes[there["log"]])] == [there["raw"]]
    assert [one.folder for one in store.clean(everything=True)] == [there["log"]]
    assert store.usage() == []


HOLD = """
import sys, time
from pathlib import Path
from bench.store import Store
store = Store(Path(sys.argv[1]))
print(store.prepared_ready(sys.argv[2]), flush=True)
time.sleep(60)
"""


def test_what_a_running_process_needs_stays_until_it_is_killed(tmp_path: Path, toy_counts):
    there = filled(Store(tmp_path), toy_counts)
    store = Store(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path), there["raw"].name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert {one.folder for one in store.usage() if one.busy} == {there["raw"]}
        removed = store.clean(everything=True)
        holder.kill()
    assert {one.folder for one in removed} == {there["dataset"], there["log"]}
    assert store.prepared_ready(there["raw"].name)
    other = Store(tmp_path)
    del store
    assert [one.folder for one in other.clean(everything=True)] == [there["raw"]]
    assert list((tmp_path / "users").iterdir()) == []


def test_what_another_version_or_a_killed_writer_left_is_no_data_and_goes(
    tmp_path: Path, toy_counts
):
    key = filled(Store(tmp_path), toy_counts)["raw"].name
    info = tmp_path / "prepared" / key / "info.json"
    facts = json.loads(info.read_text())
    del facts["check"]
    facts["layout"] -= 1
    info.write_text(json.dumps(facts | {"check": digest(facts)}))
    partial = tmp_path / "prepared" / ".0123456789abcdef"
    partial.mkdir()
    (partial / "data.npy").write_text("half")
    store = Store(tmp_path)
    assert partial.exists()  # perhaps of a writer on another machine
    assert {one.name for one in store.usage() if one.kind == "unusable"} == {key, partial.name}
    with pytest.raises(DataError, match="run the same command again"):
        store.open_prepared(key)
    assert {one.folder.name for one in store.clean()} == {key, partial.name}


def test_leftovers_older_than_a_day_go_at_start(tmp_path: Path):
    Store(tmp_path)
    old, new = (tmp_path / "prepared" / name for name in (".old", ".new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    Store(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


# Whole or not at all.


def test_a_byte_that_the_disk_lost_is_found_after_a_restart(
    store: Store, toy_counts, monkeypatch: pytest.MonkeyPatch
):
    """Nothing shows it but the bytes: they are read once after each start of the machine."""
    raw = filled(store, toy_counts)["raw"]
    rotten = dict(folders._read_notes(raw))
    file = raw / "counts_data.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    assert not folders.intact(raw)
    # As if the file system had not noticed:
    rotten[folders._boot()] = folders._stats(raw, list(json.loads(
        (raw / "info.json").read_text())["files"]))  # fmt: skip
    (raw / "verified.json").write_text(json.dumps(rotten))
    assert folders.intact(raw)
    assert [whole for one, whole in store.verify() if one.folder == raw] == [False]
    monkeypatch.setattr(folders, "_boot", lambda: "after a restart")
    assert not store.prepared_ready(raw.name)
    with pytest.raises(DataError, match="damaged or gone"):
        store.open_prepared(raw.name)


def test_a_changed_fact_is_damage(store: Store, toy_counts):
    raw = filled(store, toy_counts)["raw"]
    text = (raw / "info.json").read_text()
    (raw / "info.json").write_text(text.replace('"log1p": false', '"log1p": true'))
    assert not folders.intact(raw)


@pytest.mark.parametrize("largest", [100, 2000, 6000])
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(
    store: Store, toy_counts, largest: int
):
    """A limit on the size of files stands for a full disk: it ends a write in the middle."""
    stored = store.dataset(Memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, Recipe())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(DataError, match=r"cannot write .* make room .*BENCH_CACHE_DIR") as no:
            store.prepare(stored.folder, Recipe(), key)
        with pytest.raises(DataError, match="cannot write"):
            store.dataset(Memory(toy_counts), "other code", "memory")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(no.value)
    assert list((store.root / "prepared").iterdir()) == []
    assert list((store.root / "datasets").iterdir()) == [stored.folder]
    store.prepare(stored.folder, Recipe(), key)
    assert store.prepared_ready(key)


KILLED = """
import sys, time
from pathlib import Path
from bench import store
from bench.recipe import Recipe
import bench.prepare

carry_out = bench.prepare.carry_out

def slow(*given):
    carry_out(*given)
    print("written", flush=True)
    time.sleep(60)

bench.prepare.carry_out = slow
root, folder, key = sys.argv[1:]
store.Store(Path(root)).prepare(Path(folder), Recipe(), key)
"""


def test_what_a_killed_writer_wrote_is_never_used(store: Store, toy_counts):
    stored = store.dataset(Memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, Recipe())
    command = [sys.executable, "-c", KILLED, str(store.root), str(stored.folder), key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        (partial,) = (store.root / "prepared").iterdir()
        assert store.clean(everything=True) == []  # it is being written
        writer.kill()
    assert not store.prepared_ready(key)
    store.prepare(stored.folder, Recipe(), key)
    assert store.prepared_ready(key)
    assert [one.folder for one in store.clean()] == [partial]


def test_arrays_grow_row_by_row(tmp_path: Path):
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    with folders.writing(tmp_path) as writer:
        for part in np.split(rows, [1, 1, 4]):
            writer.append("rows", part)
        np.testing.assert_array_equal(writer.read("rows"), rows)
        writer.append("gone", rows)
        writer.drop("gone")
        writer.finish(tmp_path / "done", {})
    assert sorted(folders.read_info(tmp_path / "done")["files"]) == ["rows.npy"]
    np.testing.assert_array_equal(folders.reader(tmp_path / "done")("rows"), rows)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
