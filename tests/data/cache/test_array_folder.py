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
from bench.data.cache import array_folder as folders
from bench.data.cache.data_cache import DataCache
from bench.digests import digest
from bench.errors import DataError

# What is there, and what may go.


@pytest.fixture
def filled(toy_counts, in_memory) -> Callable[[DataCache], dict[str, Path]]:
    """Fill a store with one dataset and two preparations, used in this order."""

    def fill(store: DataCache) -> dict[str, Path]:
        folder = store.dataset(in_memory(toy_counts), "code", "memory").folder
        there = {"dataset": folder}
        for name, recipe in (("raw", Recipe()), ("log", Recipe(log1p=True))):
            stored = store.dataset(in_memory(toy_counts), "code", "memory")
            key = store.prepared_key(stored, recipe)
            store.prepare(folder, recipe, key)
            there[name] = store.root / "prepared" / key
        for number, one in enumerate(there.values()):
            os.utime(one / "used", (number, number))
        return there

    return fill


def test_usage_names_everything_and_the_last_used_first(store: DataCache, filled):
    there = filled(store)
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


def test_clean_removes_the_least_recently_used_until_it_fits(tmp_path: Path, filled):
    there = filled(DataCache(tmp_path))
    store = DataCache(tmp_path)
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
from bench.data.cache.data_cache import DataCache
store = DataCache(Path(sys.argv[1]))
print(store.prepared_ready(sys.argv[2]), flush=True)
time.sleep(60)
"""


def test_what_a_running_process_needs_stays_until_it_is_killed(tmp_path: Path, filled):
    there = filled(DataCache(tmp_path))
    store = DataCache(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path), there["raw"].name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert {one.folder for one in store.usage() if one.busy} == {there["raw"]}
        removed = store.clean(everything=True)
        holder.kill()
    assert {one.folder for one in removed} == {there["dataset"], there["log"]}
    assert store.prepared_ready(there["raw"].name)
    other = DataCache(tmp_path)
    del store
    assert [one.folder for one in other.clean(everything=True)] == [there["raw"]]
    assert list((tmp_path / "users").iterdir()) == []


def test_what_another_version_or_a_killed_writer_left_is_no_data_and_goes(tmp_path: Path, filled):
    key = filled(DataCache(tmp_path))["raw"].name
    info = tmp_path / "prepared" / key / "info.json"
    facts = json.loads(info.read_text())
    del facts["check"]
    facts["layout"] -= 1
    info.write_text(json.dumps(facts | {"check": digest(facts)}))
    partial = tmp_path / "prepared" / ".0123456789abcdef"
    partial.mkdir()
    (partial / "data.npy").write_text("half")
    store = DataCache(tmp_path)
    assert partial.exists()  # perhaps of a writer on another machine
    assert {one.name for one in store.usage() if one.kind == "unusable"} == {key, partial.name}
    with pytest.raises(DataError, match="run the same command again"):
        store.open_prepared(key)
    assert {one.folder.name for one in store.clean()} == {key, partial.name}


def test_leftovers_older_than_a_day_go_at_start(tmp_path: Path):
    DataCache(tmp_path)
    old, new = (tmp_path / "prepared" / name for name in (".old", ".new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    DataCache(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


# Whole or not at all.


def test_a_byte_that_the_disk_lost_is_found_after_a_restart(
    store: DataCache, filled, monkeypatch: pytest.MonkeyPatch
):
    """Nothing shows it but the bytes: they are read once after each start of the machine."""
    raw = filled(store)["raw"]
    rotten = dict(folders._read_notes(raw))
    file = raw / "counts_data.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    assert not folders.is_intact(raw)
    # As if the file system had not noticed:
    rotten[folders._boot()] = folders._stats(raw, list(json.loads(
        (raw / "info.json").read_text())["files"]))  # fmt: skip
    (raw / "verified.json").write_text(json.dumps(rotten))
    assert folders.is_intact(raw)
    assert [whole for one, whole in store.verify() if one.folder == raw] == [False]
    monkeypatch.setattr(folders, "_boot", lambda: "after a restart")
    assert not store.prepared_ready(raw.name)
    with pytest.raises(DataError, match="damaged or gone"):
        store.open_prepared(raw.name)


def test_a_changed_fact_is_damage(store: DataCache, filled):
    raw = filled(store)["raw"]
    text = (raw / "info.json").read_text()
    (raw / "info.json").write_text(text.replace('"log1p": false', '"log1p": true'))
    assert not folders.is_intact(raw)


@pytest.mark.parametrize("largest", [100, 2000, 6000])
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(
    store: DataCache, toy_counts, largest: int, in_memory
):
    """A limit on the size of files stands for a full disk: it ends a write in the middle."""
    stored = store.dataset(in_memory(toy_counts), "code", "memory")
    key = store.prepared_key(stored, Recipe())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(DataError, match=r"cannot write .* make room .*BENCH_CACHE_DIR") as no:
            store.prepare(stored.folder, Recipe(), key)
        with pytest.raises(DataError, match="cannot write"):
            store.dataset(in_memory(toy_counts), "other code", "memory")
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
from bench.contract import Recipe
import bench.prepare

apply_recipe = bench.prepare.apply_recipe

def slow(*given):
    apply_recipe(*given)
    print("written", flush=True)
    time.sleep(60)

bench.prepare.apply_recipe = slow
root, folder, key = sys.argv[1:]
data_cache.DataCache(Path(root)).prepare(Path(folder), Recipe(), key)
"""


def test_what_a_killed_writer_wrote_is_never_used(store: DataCache, toy_counts, in_memory):
    stored = store.dataset(in_memory(toy_counts), "code", "memory")
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
    with folders.new_array_folder(tmp_path) as writer:
        for part in np.split(rows, [1, 1, 4]):
            writer.append("rows", part)
        np.testing.assert_array_equal(writer.read("rows"), rows)
        writer.append("gone", rows)
        writer.drop("gone")
        writer.finish(tmp_path / "done", {})
    assert sorted(folders.read_info(tmp_path / "done")["files"]) == ["rows.npy"]
    np.testing.assert_array_equal(folders.open_arrays(tmp_path / "done")("rows"), rows)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
