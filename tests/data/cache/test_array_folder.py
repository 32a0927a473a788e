"""The files of the store: what is there and what may go, and that a copy is whole or not used."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.contract import Recipe
from bench.data.cache.array_folder import ArrayFolder, new_array_folder
from bench.data.cache.data_cache import DataCache
from bench.data.cache.folder_state import is_intact, read_info
from bench.errors import DataError

# What is there, and what may go.


@pytest.fixture
def filled(toy_counts, in_memory) -> Callable[[DataCache], dict[str, Path]]:
    """Fill a store with one dataset and two preparations, used in this order."""

    def fill(store: DataCache) -> dict[str, Path]:
        folder = store.load_dataset(in_memory(toy_counts), "code", "memory").folder
        there = {"dataset": folder}
        for name, recipe in (("raw", Recipe()), ("log", Recipe(log1p=True))):
            stored = store.load_dataset(in_memory(toy_counts), "code", "memory")
            key = store.prepared_key(stored, recipe)
            store.prepare(folder, recipe, key)
            there[name] = store.root / "prepared" / key
        for number, one in enumerate(there.values()):
            os.utime(one / "used", (number, number))
        return there

    return fill


def test_entries_are_listed_with_the_last_used_first(store: DataCache, filled):
    there = filled(store)
    entries = store.list_entries()
    assert [one.folder for one in entries] == [there["log"], there["raw"], there["dataset"]]
    assert [one.kind for one in entries] == ["prepared", "prepared", "dataset"]
    assert {one.name for one in entries} == {"memory"}
    assert [one.used for one in entries] == [2, 1, 0]
    assert all(one.busy for one in entries)  # by this process
    for one in entries:
        assert one.bytes == sum(path.stat().st_size for path in one.folder.iterdir())
    store.open_prepared(there["raw"].name)
    assert store.list_entries()[0].folder == there["raw"]


def test_clean_removes_the_least_recently_used_until_it_fits(tmp_path: Path, filled):
    there = filled(DataCache(tmp_path))
    store = DataCache(tmp_path)
    sizes = {one.folder: one.bytes for one in store.list_entries()}
    assert store.clean(sum(sizes.values())) == []
    removed = store.clean(sum(sizes.values()) - 1)
    assert [one.folder for one in removed] == [there["dataset"]]
    assert not list((tmp_path / "pointers").iterdir())
    assert [one.folder for one in store.clean(sizes[there["log"]])] == [there["raw"]]
    assert [one.folder for one in store.clean(everything=True)] == [there["log"]]
    assert store.list_entries() == []


HOLD = """
import sys, time
from pathlib import Path
from bench.data.cache.data_cache import DataCache
store = DataCache(Path(sys.argv[1]))
print(store.is_prepared(sys.argv[2]), flush=True)
time.sleep(60)
"""


def test_what_a_running_process_needs_stays_until_it_is_killed(tmp_path: Path, filled):
    there = filled(DataCache(tmp_path))
    store = DataCache(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path), there["raw"].name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert {one.folder for one in store.list_entries() if one.busy} == {there["raw"]}
        removed = store.clean(everything=True)
        holder.kill()
    assert {one.folder for one in removed} == {there["dataset"], there["log"]}
    assert store.is_prepared(there["raw"].name)
    other = DataCache(tmp_path)
    del store
    assert [one.folder for one in other.clean(everything=True)] == [there["raw"]]
    assert list((tmp_path / "users").iterdir()) == []


def test_damaged_and_unfinished_folders_are_never_used_and_removed(tmp_path: Path, filled):
    key = filled(DataCache(tmp_path))["raw"].name
    (tmp_path / "prepared" / key / "info.json").write_text("{")
    partial = tmp_path / "prepared" / ".0123456789abcdef"
    partial.mkdir()
    (partial / "data.npy").write_text("half")
    store = DataCache(tmp_path)
    assert partial.exists()  # perhaps of a writer on another machine
    unusable = {entry.name for entry in store.list_entries() if entry.kind == "unusable"}
    assert unusable == {key, partial.name}
    with pytest.raises(DataError) as error:
        store.open_prepared(key)
    assert error.value.code == "damaged_cache"
    assert {entry.folder.name for entry in store.clean()} == {key, partial.name}


def test_leftovers_older_than_a_day_go_at_start(tmp_path: Path):
    DataCache(tmp_path)
    old, new = (tmp_path / "prepared" / name for name in (".old", ".new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    DataCache(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


# Whole or not at all.


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_a_file_is_read_only_if_its_stats_differ_from_the_record(store: DataCache, filled):
    raw = filled(store)["raw"]
    record = raw / "stats.json"
    flip_last_byte(raw / "counts_data.npy")
    assert not is_intact(raw)
    stats = json.loads(record.read_text())
    stat = (raw / "counts_data.npy").stat()
    stats["counts_data.npy"] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    record.write_text(json.dumps(stats))  # as if the file system had not noticed
    assert is_intact(raw)
    assert [intact for entry, intact in store.verify() if entry.folder == raw] == [False]
    flip_last_byte(raw / "counts_data.npy")
    assert is_intact(raw)
    assert json.loads(record.read_text()) != stats  # recorded after the bytes were read
    record.unlink()
    assert is_intact(raw)
    assert record.is_file()


def test_a_changed_fact_is_damage(store: DataCache, filled):
    raw = filled(store)["raw"]
    text = (raw / "info.json").read_text()
    (raw / "info.json").write_text(text.replace('"log1p": false', '"log1p": true'))
    assert not is_intact(raw)


@pytest.mark.parametrize("largest", [100, 2000, 6000])
def test_a_full_disk_leaves_nothing(store: DataCache, toy_counts, largest: int, in_memory):
    """A limit on the size of files stands for a full disk: it ends a write in the middle."""
    stored = store.load_dataset(in_memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, Recipe())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(DataError) as error:
            store.prepare(stored.folder, Recipe(), key)
        assert error.value.code == "not_writable"
        with pytest.raises(DataError) as error:
            store.load_dataset(in_memory(toy_counts), "other code", "memory")
        assert error.value.code == "not_writable"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((store.root / "prepared").iterdir()) == []
    assert list((store.root / "datasets").iterdir()) == [stored.folder]
    store.prepare(stored.folder, Recipe(), key)
    assert store.is_prepared(key)


KILLED = """
import sys, time
from pathlib import Path
from bench.contract import Recipe
from bench.data.cache import prepared_files
from bench.data.cache.data_cache import DataCache

apply_recipe = prepared_files.apply_recipe

def slow(*arguments):
    apply_recipe(*arguments)
    print("written", flush=True)
    time.sleep(60)

prepared_files.apply_recipe = slow
root, folder, key = sys.argv[1:]
DataCache(Path(root)).prepare(Path(folder), Recipe(), key)
"""


def test_what_a_killed_writer_wrote_is_never_used(store: DataCache, toy_counts, in_memory):
    stored = store.load_dataset(in_memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, Recipe())
    command = [sys.executable, "-c", KILLED, str(store.root), str(stored.folder), key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        (partial,) = (store.root / "prepared").iterdir()
        assert store.clean(everything=True) == []  # it is being written
        writer.kill()
    assert not store.is_prepared(key)
    store.prepare(stored.folder, Recipe(), key)
    assert store.is_prepared(key)
    assert [one.folder for one in store.clean()] == [partial]


def test_arrays_grow_row_by_row(tmp_path: Path):
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    with new_array_folder(tmp_path) as writer:
        for part in np.split(rows, [1, 1, 4]):
            writer.append("rows", part)
        np.testing.assert_array_equal(writer.read("rows"), rows)
        writer.append("gone", rows)
        writer.drop("gone")
        writer.finish(tmp_path / "done", {})
    assert sorted(read_info(tmp_path / "done")["files"]) == ["rows.npy"]
    np.testing.assert_array_equal(ArrayFolder(tmp_path / "done").read("rows"), rows)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
