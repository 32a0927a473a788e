from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from _command import bench, bench_json
from anndata import AnnData

from bench.data import manage as data
from bench.data.cache.data_cache import DataCache
from bench.data.file_dataset import FileDataset
from bench.data.resolve import ResolvedDataset, resolve_datasets
from bench.data.user_dataset_writer import add_dataset
from bench.data.user_datasets import remove_dataset, user_datasets
from bench.errors import DataError, UsageError
from bench.selectors import Exclusion
from bench.settings import load_settings

PLUGIN = """
from bench.contract import Card, RemoteFile
from bench.datasets._published import Published


class Toy(Published):
    name = "toy_set"
    card = Card(
        modality="rna", summary="toy", label_key="cell_type", reference="Toy 2020",
        licence="CC0", labels_from="sorting", tags=("toys",),
        files=(RemoteFile("toy_counts.h5ad", "{url}/toy_counts.h5ad", "sha256:{sha}", {size}),),
    )

    def read(self, files):
        import anndata

        adata = anndata.read_h5ad(files["toy_counts.h5ad"])
        adata.uns["bench_notes"] = ["3 cells without a label left out"]
        return adata
"""


class Counting(SimpleHTTPRequestHandler):
    requests: list[str] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


class World:
    """A server with one file, a plugin with a dataset that needs it, and empty folders."""

    def __init__(self, root: Path, toy: AnnData, log: pytest.LogCaptureFixture) -> None:
        self.root, self._log = root, log
        self.served, self.data, self.mirror = root / "served", root / "data", root / "mirror"
        for folder in (self.served, self.data, self.mirror):
            folder.mkdir()
        self.original = self.served / "toy_counts.h5ad"
        toy.write_h5ad(self.original)
        self.requests: list[str] = []
        handler = type("Handler", (Counting,), {"requests": self.requests})
        self.http = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(self.served))
        )
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.plugin = root / "toys.py"
        content = self.original.read_bytes()
        sha = hashlib.sha256(content).hexdigest()
        self.plugin.write_text(
            PLUGIN.replace("{url}", self.url)
            .replace("{sha}", sha)
            .replace("{size}", str(len(content)))
        )
        self.settings = load_settings(
            {"plugins": (str(self.plugin),), "cache_dir": root / "cache", "mirror": ""}
        )
        self.store = DataCache(self.settings.cache_dir)
        self.downloaded = root / "cache" / "downloads" / "toy_set" / "toy_counts.h5ad"

    def choose(self, text: str, **values: Any) -> tuple[list[ResolvedDataset], list[Exclusion]]:
        settings = self.settings.model_copy(update=values)
        return resolve_datasets(text, settings, self.store)

    def one(self, text: str = "toy_set", **values: Any) -> ResolvedDataset:
        (found,), _ = self.choose(text, **values)
        return found

    @property
    def messages(self) -> list[str]:
        return self._log.messages


@pytest.fixture
def world(
    tmp_path: Path, toy_counts: AnnData, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[World]:  # fmt: skip
    for name in ("BENCH_DATA_DIR", "BENCH_MIRROR", "BENCH_OFFLINE", "BENCH_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.INFO, "bench")
    world = World(tmp_path, toy_counts, caplog)
    monkeypatch.setenv("BENCH_PLUGINS", str(world.plugin))
    monkeypatch.setenv("BENCH_CACHE_DIR", str(world.settings.cache_dir))
    monkeypatch.chdir(tmp_path)
    yield world
    world.http.shutdown()
    world.http.server_close()


@pytest.fixture
def keep(world: World) -> Callable[..., Any]:
    """Add the toy file under a name."""

    def run(name: str = "mine", path: Path | None = None, **values: Any) -> Any:
        facts = {key: values.pop(key) for key in ("reference", "licence") if key in values}
        origin = path or world.original
        source = FileDataset.from_path(origin, FileDataset.Params(**values))
        return add_dataset(name, source, origin, world.settings.cache_dir, facts)

    return run


# What a name stands for.


def test_patterns_fetch_nothing_and_say_how(world: World):
    found, left = world.choose("toy_*,sim_rna")
    assert [one.label for one in found] == ["sim_rna"]
    size = world.original.stat().st_size / 1000
    assert left == [
        Exclusion("all", "toy_set", "skipped",
             f"not fetched: bench data fetch toy_set (about {size:.0f} kB)")
    ]  # fmt: skip
    assert world.requests == []


def test_nothing_left_is_an_error_that_says_how(world: World):
    with pytest.raises(UsageError) as error:
        world.choose("tag:toys")
    assert error.value.code == "not_fetched"


def test_a_name_in_full_is_fetched_even_beside_a_pattern(world: World):
    found, left = world.choose("toy_set,tag:toys")
    assert (len(found), left) == (1, [])
    stored = world.store.load_dataset(found[0].dataset, found[0].source, "toy_set")
    assert stored.info.n_cells == 60
    assert stored.facts["warnings"][0] == "3 cells without a label left out"
    assert world.requests == ["/toy_counts.h5ad"]


def test_a_dataset_in_the_cache_needs_its_files_no_more(world: World):
    one = world.one()
    world.store.load_dataset(one.dataset, one.source, one.label)
    world.downloaded.unlink()
    again, left = world.choose("tag:toys", offline=True)
    assert left == []
    stored = world.store.load_dataset(again[0].dataset, again[0].source, "toy_set")
    assert stored.info.n_cells == 60
    assert len(world.requests) == 1


def test_order_of_what_a_name_stands_for(
    world: World, keep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BENCH_DATA_DIR", str(world.data))
    data.fetch_files("toy_set", world.settings)
    keep("toy_set", licence="MIT")
    shutil.copy(world.original, world.data / "toy_set.h5ad")
    shutil.copy(world.original, world.data / "toy_counts.h5ad")
    seen = []
    for gone in (
        world.data / "toy_counts.h5ad",
        world.data / "toy_set.h5ad",
        world.settings.cache_dir / "data" / "toy_set.json",
        world.downloaded,
        None,
    ):
        seen.append(data.dataset_location("toy_set", world.settings)["state"])
        if gone is not None:
            gone.unlink()
    assert seen == ["local", "stand-in", "added", "downloaded", "to fetch"]


def test_a_stand_in_keeps_what_is_known_of_the_dataset(
    world: World, toy_counts: AnnData, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BENCH_DATA_DIR", str(world.data))
    mine = toy_counts.copy()
    mine.uns["licence"] = "MIT"
    mine.write_h5ad(world.data / "toy_set.h5ad")
    one = world.one()
    assert world.messages == [
        f"toy_set: reading {world.data}/toy_set.h5ad, which stands in for the original files"
    ]
    one.dataset.load()
    card = one.dataset.card
    assert (card.reference, card.licence, card.labels_from) == ("Toy 2020", "MIT", "sorting")
    assert one.dataset.name == one.label == "toy_set"
    assert world.requests == []


def test_mirror_and_cache_come_from_the_settings(world: World):
    (world.mirror / "toy_set").mkdir()
    shutil.copy(world.original, world.mirror / "toy_set")
    one = world.one(mirror=str(world.mirror), offline=True)
    assert one.dataset.load().n_obs == 60
    assert data.dataset_location("toy_set", world.settings)["state"] == "to fetch"


# The verbs.


def test_run_without_network_and_file_is_one_line(world: World):
    result = bench("run", "-m", "pca", "-d", "toy_set", BENCH_OFFLINE="1")
    assert result.exit_code == 2
    assert result.stderr.startswith("toy_set: loading and checking\nbench: toy_set: ")
    assert "toy_counts.h5ad" in result.stderr
    assert world.requests == []


def test_fetch_verify_where(world: World):
    result = bench("data", "fetch", "toy_set", "--offline")
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    for part in ("toy_counts.h5ad", f"{world.url}/toy_counts.h5ad", str(world.downloaded.parent)):
        assert part in line
    (row,) = bench_json("data", "fetch", "toy_set")
    assert (row["state"], row["path"]) == ("download", str(world.downloaded))
    (row,) = bench_json("data", "where", "toy_set")
    assert row["path"] == str(world.downloaded)
    world.downloaded.write_bytes(b"damaged")
    (row,) = bench_json("data", "verify", exit_code=1)
    assert row["state"] == "damaged"
    assert "has 7 bytes, expected" in row["note"]
    assert bench("data", "fetch", "toy_set").exit_code == 0
    assert bench("data", "verify", "toy_set").exit_code == 0


def test_fetch_goes_on_after_a_dataset_that_cannot_be_had(world: World):
    world.original.unlink()
    rows, problems = data.fetch_files("toy_set,sim_rna", world.settings)
    assert [(row["dataset"], row["state"]) for row in rows] == [("toy_set", "missing")]
    assert len(problems) == 1
    assert "HTTP 404" in problems[0]
    assert "sim_rna: needs no file" in world.messages


def test_add_gives_a_dataset_with_a_name(world: World):
    result = bench(
        "data", "add", "mine", str(world.original), "--citation", "Me 2026", "--licence", "CC0",
        "--labels-from", "sorting", "--organism", "mouse",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "mine: 60 cells × 40 features, 3 types in 'cell_type', rna" in result.stdout
    one = world.one("tag:added")
    world.original.unlink()
    adata, card = one.dataset.load(), one.dataset.card
    assert adata.shape == (60, 40)
    assert (card.reference, card.licence) == ("Me 2026", "CC0")
    assert (card.labels_from, card.organism) == ("sorting", "mouse")
    listed = {row["dataset"]: row for row in bench_json("datasets")}
    assert (listed["mine"]["state"], listed["mine"]["cells"]) == ("added", 60)
    assert listed["toy_set"]["state"].startswith("to fetch (about ")
    assert listed["sim_rna"]["state"] == "ready"
    shown = bench_json("datasets", "mine")
    assert shown["licence"] == "CC0"


def test_what_is_added_equals_the_file(
    world: World, keep: Callable[..., Any], toy_counts: AnnData
):
    path = world.root / "odd.h5ad"
    odd = toy_counts.copy()
    odd.obs["donor"] = ["p1", "p2"] * 30
    odd.obs["score"] = range(60)
    odd.obs["note"] = ["x", None] * 30
    odd.layers["other"] = odd.X
    odd.obsm["ADT"] = odd.X[:, :3].toarray()
    odd.write_h5ad(path)
    kept = keep("odd", path, batch_key="donor")
    assert any("layers['other']" in message for message in world.messages)
    assert (kept.card.batch_key, kept.card.n_types) == ("donor", 3)
    read = world.one("odd").dataset.load()
    assert (read.X != toy_counts.X).nnz == 0
    assert list(read.obs_names) == list(toy_counts.obs_names)
    assert list(read.obs["cell_type"]) == list(toy_counts.obs["cell_type"])
    assert list(read.obs["score"]) == list(range(60))
    assert read.obsm["ADT"].shape == (60, 3)


def test_paired_data_from_two_files_and_from_one(world: World, keep: Callable[..., Any]):
    from bench.contract.multiome import write_pair
    from bench.datasets.sim_multiome import SimMultiome

    data = SimMultiome(SimMultiome.Params(n_cells=40, n_genes=30, n_peaks=60)).load()
    paths = {part: world.root / f"{part}.h5ad" for part in ("rna", "atac")}
    for part, path in paths.items():
        data[part].uns.clear()
        data[part].varm.clear()
        data[part].write_h5ad(path)
    write_pair(data, world.root / "pair.h5mu")
    kept = keep("two", paths["rna"], atac=str(paths["atac"]))
    assert kept.path.suffix == ".h5mu"
    assert (kept.card.modality, kept.card.n_features) == ("multiome", 90)
    keep("one", world.root / "pair.h5mu")
    for path in [*paths.values(), world.root / "pair.h5mu"]:
        path.unlink()
    for name in ("two", "one"):
        read = world.one(name).dataset.load()
        for part in ("rna", "atac"):
            assert (read[part].X != data[part].X).nnz == 0
            assert list(read[part].var["chrom"]) == list(data[part].var["chrom"])
        assert list(read["rna"].obs["cell_type"]) == list(data["rna"].obs["cell_type"])
    # A dataset of one matrix in its place leaves no file of the other kind.
    keep("two")
    assert [path.name for path in kept.path.parent.glob("two.*")] == ["two.h5ad", "two.json"]


def test_data_that_fail_a_check_are_not_added(
    world: World, keep: Callable[..., Any], toy_counts: AnnData
):
    path = world.root / "log.h5ad"
    logged = toy_counts.copy()
    logged.X = logged.X.log1p()
    logged.write_h5ad(path)
    with pytest.raises(DataError) as error:
        keep("log", path)
    assert error.value.code == "not_counts"
    assert user_datasets(world.settings.cache_dir) == {}
    assert not list(world.settings.cache_dir.glob("data/*"))


def test_a_full_disk_leaves_the_dataset_that_was_there(
    world: World, keep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    keep("mine")

    def full(adata: AnnData, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AnnData, "write_h5ad", full)
    with pytest.raises(DataError, match=r"No space left") as error:
        keep("mine")
    assert error.value.code == "not_writable"
    assert world.one("mine").dataset.load().n_obs == 60
    assert sorted(path.suffix for path in world.settings.cache_dir.glob("data/mine*")) == [
        ".h5ad", ".json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("sim_rna", "name_in_use"),
        ("toy_set", "name_in_use"),
        ("mine", "name_in_use"),
        ("there", "name_in_use"),
        ("all", "invalid_name"),
        ("a,b", "invalid_name"),
        ("../x", "invalid_name"),
        ("x.h5ad", "invalid_name"),
    ],
)
def test_names_that_are_refused(
    world: World, keep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
    name: str, code: str,
):  # fmt: skip
    monkeypatch.setenv("BENCH_DATA_DIR", str(world.data))
    shutil.copy(world.original, world.data / "there.h5ad")
    keep("mine")
    with pytest.raises(UsageError) as error:
        data.check_new_name(name, world.settings, replace=False)
    assert error.value.code == code
    if code == "name_in_use":
        data.check_new_name(name, world.settings, replace=True)


def test_verify_remove_and_unfinished_sets(world: World, keep: Callable[..., Any]):
    one = keep("mine")
    assert [row["state"] for row in data.verify_files("mine", world.settings)] == ["ok"]
    one.path.write_bytes(one.path.read_bytes() + b"x")
    assert [row["state"] for row in data.verify_files("mine", world.settings)] == ["damaged"]
    with pytest.raises(UsageError) as error:
        remove_dataset("toy_set", world.settings.cache_dir)
    assert error.value.code == "unknown_name"
    remove_dataset("mine", world.settings.cache_dir)
    assert user_datasets(world.settings.cache_dir) == {}
    assert world.original.is_file()
    one.path.with_suffix(".json").write_text("{")
    assert user_datasets(world.settings.cache_dir) == {}


def test_clean(world: World, keep: Callable[..., Any]):
    keep("mine")
    for name in ("toy_set", "mine"):
        one = world.one(name)
        DataCache(world.settings.cache_dir).load_dataset(one.dataset, one.source, one.label)
    states = [row["state"] for row in data.locate_files("toy_set", world.settings)]
    assert states == ["download", "cached"]
    del world.store
    assert data.clean_cache(world.settings, max_bytes=10**9) == []
    gone = data.clean_cache(world.settings, max_bytes=0, everything=True)
    assert {row["dataset"] for row in gone} == {"toy_set", "mine"}
    assert world.downloaded.is_file()
    data.clean_cache(world.settings, max_bytes=10**9, downloads=True)
    assert not world.downloaded.exists()
    assert list(user_datasets(world.settings.cache_dir)) == ["mine"]


def test_clean_leaves_what_another_process_fetches(world: World):
    from filelock import FileLock

    data.fetch_files("toy_set", world.settings)
    with FileLock(world.downloaded.with_name(".toy_counts.h5ad.lock")):
        assert data.clean_cache(world.settings, max_bytes=0, downloads=True) == []
    assert world.downloaded.is_file()
    data.clean_cache(world.settings, max_bytes=0, downloads=True)
    assert not world.downloaded.exists()
