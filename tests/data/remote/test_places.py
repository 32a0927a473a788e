"""Where the files of a dataset are looked for, and in which order."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from _served import CONTENT, SHA256, Server, failure, get, remote

from bench.data.remote import local_files
from bench.data.remote.local_files import locate_file
from bench.errors import UsageError
from bench.messages import format_size


def test_order_of_places(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data, mirror, cache = tmp_path / "data", tmp_path / "mirror", tmp_path / "cache"
    monkeypatch.setenv("BENCH_DATA_DIR", str(data))
    folders = [
        data / "toy", data, data / "original", mirror / "toy", mirror, cache / "downloads" / "toy",
    ]  # fmt: skip
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "set.csv.gz").write_bytes(CONTENT)
    for folder in folders:
        assert locate_file("toy", remote(server), cache, str(mirror)).path == folder / "set.csv.gz"
        (folder / "set.csv.gz").unlink()
    assert locate_file("toy", remote(server), cache, str(mirror)).path is None


def test_helpers_beside_a_download_are_no_data(server: Server, tmp_path: Path):
    folder = tmp_path / "downloads" / "toy"
    folder.mkdir(parents=True)
    for name in (".set.csv.gz.part", ".set.csv.gz.tag", ".set.csv.gz.lock", "set.csv.gz.sha256"):
        (folder / name).write_bytes(CONTENT)
    assert locate_file("toy", remote(server), tmp_path).path is None


def test_a_wrong_file_of_the_user_is_refused_by_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    mine = tmp_path / "set.csv.gz"
    mine.write_bytes(b"cut")
    line = failure(server, tmp_path / "cache", code="wrong_file")
    for part in (str(mine), hashlib.sha256(b"cut").hexdigest(), SHA256[7:], server.url):
        assert part in line
    assert mine.read_bytes() == b"cut"
    assert server.requests == []


def test_the_folder_named_is_one_the_user_can_write_to(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    line = failure(server, tmp_path / "cache", offline=True)
    assert f"put it into {tmp_path}/toy, then run again." in line
    monkeypatch.setattr(local_files.os, "access", lambda *_: False)
    line = failure(server, tmp_path / "cache", offline=True)
    assert f"put it into {tmp_path}/cache/downloads/toy, then run again." in line


def test_a_mirror_address_comes_first_and_the_original_is_the_way_out(
    server: Server, tmp_path: Path
):
    mirror = f"{server.url}/mirror/"
    get(server, tmp_path / "a", mirror=mirror)
    assert [path for path, _ in server.requests] == ["/mirror/toy/set.csv.gz"]
    server.requests.clear()
    server.faults = [404]
    get(server, tmp_path / "b", mirror=mirror)
    assert [path for path, _ in server.requests] == ["/mirror/toy/set.csv.gz", "/set.csv.gz"]


def test_a_mirror_that_is_nothing(server: Server, tmp_path: Path):
    with pytest.raises(UsageError) as error:
        get(server, tmp_path, mirror=str(tmp_path / "none"))
    assert error.value.code == "no_such_folder"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, ""), (900, "about 900 bytes"), (4_480_000, "about 4.5 MB"),
        (12_300_000, "about 12 MB"), (1_000_000, "about 1.0 MB"), (3_100_000_000, "about 3.1 GB"),
    ],
)  # fmt: skip
def test_sizes_for_people(size: int | None, text: str):
    assert format_size(size) == text
