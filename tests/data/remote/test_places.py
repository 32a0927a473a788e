"""Where the files of a dataset are looked for, and in which order."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from _served import CONTENT, SHA256, Server, failure, get, remote

from bench.data.remote import fetch
from bench.data.remote.fetch import locate
from bench.errors import UsageError
from bench.messages import format_size


def test_order_of_places(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data, mirror, cache = tmp_path / "data", tmp_path / "mirror", tmp_path / "cache"
    monkeypatch.setenv("BENCH_DATA_DIR", str(data))
    monkeypatch.setenv("BENCH_MIRROR", str(mirror))
    folders = [
        data / "toy", data, data / "original", mirror / "toy", mirror, cache / "downloads" / "toy",
    ]  # fmt: skip
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "set.csv.gz").write_bytes(CONTENT)
    for folder in folders:
        assert locate("toy", remote(server), cache) == folder / "set.csv.gz"
        (folder / "set.csv.gz").unlink()
    assert locate("toy", remote(server), cache) is None


def test_helpers_beside_a_download_are_no_data(server: Server, tmp_path: Path):
    folder = tmp_path / "downloads" / "toy"
    folder.mkdir(parents=True)
    for name in (".set.csv.gz.part", ".set.csv.gz.tag", ".set.csv.gz.lock", "set.csv.gz.sha256"):
        (folder / name).write_bytes(CONTENT)
    assert locate("toy", remote(server), tmp_path) is None


def test_a_wrong_file_of_the_user_is_refused_by_name(
    server: Server, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    mine = tmp_path / "set.csv.gz"
    mine.write_bytes(b"cut")
    line = failure(server, tmp_path / "cache", said)
    for part in (str(mine), hashlib.sha256(b"cut").hexdigest(), SHA256[7:], server.url):
        assert part in line
    assert mine.read_bytes() == b"cut"
    assert server.requests == []


def test_the_folder_named_is_one_the_user_can_write_to(
    server: Server, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    line = failure(server, tmp_path / "cache", said, offline=True)
    assert f"put it into {tmp_path}/toy, then run again." in line
    monkeypatch.setattr(fetch.os, "access", lambda *_: False)
    line = failure(server, tmp_path / "cache", said, offline=True)
    assert f"put it into {tmp_path}/cache/downloads/toy, then run again." in line


def test_a_mirror_address_comes_first_and_the_original_is_the_way_out(
    server: Server, tmp_path: Path, said: list[str]
):
    mirror = f"{server.url}/mirror/"
    get(server, tmp_path / "a", said, mirror=mirror)
    assert [path for path, _ in server.requests] == ["/mirror/toy/set.csv.gz"]
    server.requests.clear()
    server.faults = [404]
    get(server, tmp_path / "b", said, mirror=mirror)
    assert [path for path, _ in server.requests] == ["/mirror/toy/set.csv.gz", "/set.csv.gz"]
    assert any("not from the mirror (HTTP 404 Not Found)" in line for line in said)


def test_a_mirror_that_is_nothing(server: Server, tmp_path: Path, said: list[str]):
    with pytest.raises(UsageError, match=r"BENCH_MIRROR=.*no such folder; expected a folder or"):
        get(server, tmp_path, said, mirror=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, ""), (900, "about 900 bytes"), (4_480_000, "about 4.5 MB"),
        (12_300_000, "about 12 MB"), (1_000_000, "about 1.0 MB"), (3_100_000_000, "about 3.1 GB"),
    ],
)  # fmt: skip
def test_sizes_for_people(size: int | None, text: str):
    assert format_size(size) == text
