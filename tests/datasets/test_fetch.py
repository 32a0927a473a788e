from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.dataset import RemoteFile
from bench.datasets import _download, fetch
from bench.datasets.fetch import extract, human, locate, obtain
from bench.errors import DataError, UsageError

CONTENT = bytes(range(256)) * 4000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Server:
    """Serves ``content``; ``faults`` are used up one a request: an HTTP status, or a word."""

    def __init__(self) -> None:
        self.content, self.etag, self.ranges = CONTENT, '"v1"', True
        self.faults: list[Any] = []
        self.requests: list[tuple[str, str]] = []
        self.gzip_header = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.released = threading.Event()
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range", "")
        self.requests.append((handler.path, wanted))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            handler.send_error(fault)
            return
        start = 0
        if self.ranges and wanted and handler.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.gzip_header:
            handler.send_header("Content-Encoding", "gzip")
        if start:
            total = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        handler.end_headers()
        body = self.content[start:]
        if fault == "cut":
            handler.wfile.write(body[: len(body) // 2])
            return
        if fault == "hold":
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            self.released.wait(20)
            return
        if fault == "stall":
            self.released.wait(5)
        handler.wfile.write(body)

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(_download, "PAUSE", 0.01)
    for name in ("BENCH_DATA_DIR", "BENCH_MIRROR", "BENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def said() -> list[str]:
    return []


def remote(server: Server, checksum: str = SHA256, **values: Any) -> RemoteFile:
    return RemoteFile("set.csv.gz", f"{server.url}/set.csv.gz", checksum, **values)


def get(server: Server, cache: Path, said: list[str], *files: RemoteFile, **values: Any) -> Path:
    found = obtain("toy", files or [remote(server)], cache, say=said.append, **values)
    return found["set.csv.gz"]


def failure(*args: Any, **values: Any) -> str:
    with pytest.raises(DataError) as caught:
        get(*args, **values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leftovers(cache: Path) -> set[str]:
    folder = cache / "downloads" / "toy"
    return {path.name for path in folder.iterdir()} - {".set.csv.gz.lock"}


# Downloads.


@pytest.mark.parametrize("checksum", [SHA256, MD5])
def test_a_file_is_fetched_once(server: Server, tmp_path: Path, said: list[str], checksum: str):
    file = remote(server, checksum, size=len(CONTENT))
    first = get(server, tmp_path, said, file)
    assert first.read_bytes() == CONTENT
    assert get(server, tmp_path, said, file) == first
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == {"set.csv.gz"}
    assert "fetching set.csv.gz (about 1.0 MB) from http" in said[0]


def test_without_a_published_checksum_the_first_download_is_noted(
    server: Server, tmp_path: Path, said: list[str]
):
    path = get(server, tmp_path, said, remote(server, ""))
    note = path.with_name("set.csv.gz.sha256")
    assert note.read_text() == f"{SHA256[7:]}  set.csv.gz\n"
    assert any("no checksum of set.csv.gz is published" in line for line in said)
    path.unlink()
    server.content, server.etag = CONTENT[::-1], '"v2"'
    line = failure(server, tmp_path, said, remote(server, ""))
    assert SHA256[7:] in line
    assert f"remove {note} if the change is intended" in line
    assert not path.exists()


def test_a_damaged_download_is_fetched_again_and_said(
    server: Server, tmp_path: Path, said: list[str]
):
    path = get(server, tmp_path, said, remote(server, ""))
    path.write_bytes(CONTENT[:-1] + b"x")
    assert get(server, tmp_path, said, remote(server, "")).read_bytes() == CONTENT
    assert any("damaged since it was downloaded" in line for line in said)


@pytest.mark.parametrize("fault", [500, 503, "cut"])
def test_passing_faults_are_tried_again(
    server: Server, tmp_path: Path, said: list[str], fault: Any
):
    server.faults = [fault, fault]
    assert get(server, tmp_path, said).read_bytes() == CONTENT
    assert len(server.requests) == 3
    assert sum("attempt" in line for line in said) == 2


def test_a_cut_transfer_goes_on_where_it_ended(server: Server, tmp_path: Path, said: list[str]):
    server.faults = ["cut"]
    get(server, tmp_path, said)
    begin = server.requests[1][1]
    assert begin.startswith("bytes=")
    assert begin != "bytes=0-"
    assert any("going on after" in line for line in said)


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path, said: list[str]):
    server.faults, server.ranges = ["cut"], False
    assert get(server, tmp_path, said).read_bytes() == CONTENT


def test_bytes_of_an_older_version_are_not_kept(server: Server, tmp_path: Path, said: list[str]):
    server.faults = ["cut", 404]
    failure(server, tmp_path, said, remote(server, ""))
    assert ".set.csv.gz.part" in leftovers(tmp_path)
    server.content, server.etag = CONTENT[::-1], '"v2"'
    assert get(server, tmp_path, said, remote(server, "")).read_bytes() == CONTENT[::-1]


def test_a_stalled_server_ends_in_one_line(
    server: Server, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_download, "TIMEOUT", (5.0, 0.1))
    monkeypatch.setattr(_download, "ATTEMPTS", 2)
    server.faults = ["hold", "hold"]
    assert "(no answer within 0.1 s; 2 attempts)" in failure(server, tmp_path, said)


@pytest.mark.parametrize("content", [b"<html>sign in</html>", CONTENT[:-1], b""])
def test_wrong_content_is_never_given_its_name(
    server: Server, tmp_path: Path, said: list[str], content: bytes
):
    server.content = content
    line = failure(server, tmp_path, said)
    assert hashlib.sha256(content).hexdigest() in line
    assert SHA256[7:] in line
    assert leftovers(tmp_path) == set()


def test_a_web_page_in_place_of_the_file_is_refused(
    server: Server, tmp_path: Path, said: list[str]
):
    server.content = b"\n<!DOCTYPE html><html>sign in</html>"
    line = failure(server, tmp_path, said, remote(server, ""))
    assert "what it sends is a web page, not the file" in line
    assert leftovers(tmp_path) == set()


def test_a_wrong_size_is_refused(server: Server, tmp_path: Path, said: list[str]):
    line = failure(server, tmp_path, said, remote(server, "", size=5))
    assert "has 1,024,000 bytes, expected 5" in line
    assert leftovers(tmp_path) == set()


def test_a_gz_file_that_the_server_calls_encoded_stays_as_it_is(
    server: Server, tmp_path: Path, said: list[str]
):
    import gzip

    server.content, server.gzip_header = gzip.compress(b"a,b\n1,2\n"), True
    file = RemoteFile("set.csv.gz", f"{server.url}/files/123")
    assert get(server, tmp_path, said, file).read_bytes() == server.content


def test_missing_files_are_named_with_address_and_folder(
    server: Server, tmp_path: Path, said: list[str]
):
    server.faults = [404]
    other = RemoteFile("labels.txt", f"{server.url}/labels.txt", size=4_500_000)
    line = failure(server, tmp_path, said, remote(server), other)
    assert line == (
        f"toy: set.csv.gz cannot be fetched from {server.url}/set.csv.gz (HTTP 404 Not Found); "
        f"download it and labels.txt (about 4.5 MB) from {server.url}/labels.txt elsewhere and "
        f"put them into {tmp_path}/downloads/toy, then run again."
    )
    assert len(server.requests) == 1


def test_no_connection(server: Server, tmp_path: Path, said: list[str]):
    server.close()
    line = failure(server, tmp_path, said)
    assert "(no connection: Connection refused; 4 attempts)" in line


@pytest.mark.parametrize("given", ["environment", "setting"])
def test_offline_never_asks_a_server(
    server: Server, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, given: str
):
    if given == "environment":
        monkeypatch.setenv("BENCH_OFFLINE", "1")
    line = failure(server, tmp_path, said, offline=True if given == "setting" else None)
    assert "offline" in line
    assert server.requests == []


def test_other_protocols_are_refused(server: Server, tmp_path: Path, said: list[str]):
    file = RemoteFile("set.csv.gz", "ftp://ftp.example.org/set.csv.gz")
    assert "only https:// and http:// addresses" in failure(server, tmp_path, said, file)


def test_a_file_only_people_can_download(server: Server, tmp_path: Path, said: list[str]):
    file = RemoteFile("set.csv.gz", "", about=2_000_000, by_hand="https://example.org/folder")
    line = failure(server, tmp_path, said, file)
    assert "set.csv.gz (about 2.0 MB) cannot be fetched from https://example.org/folder" in line
    assert "only a person can download it" in line
    found = get(server, tmp_path, said, file, mirror=f"{server.url}/mirror")
    assert found.read_bytes() == CONTENT


# Disks and processes.


def test_a_full_disk_keeps_what_can_be_used_and_goes_on(
    server: Server, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
):
    write = _download._Transfer.write

    def full(transfer: Any, chunk: bytes) -> None:
        if transfer.stream.tell() > len(CONTENT) // 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(transfer, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(_download._Transfer, "write", full)
        line = failure(server, tmp_path, said)
    assert "no space for set.csv.gz" in line
    assert "BENCH_CACHE_DIR" in line
    assert "the download will go on from there" in line
    assert locate("toy", remote(server), tmp_path) is None
    assert get(server, tmp_path, said).read_bytes() == CONTENT
    assert server.requests[1][1] != ""


def test_too_little_space_is_seen_before_the_transfer(
    server: Server, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
):
    class Usage:
        free = 1000

    monkeypatch.setattr(_download.shutil, "disk_usage", lambda folder: Usage)
    assert "1,024,000 bytes to come, 1,000 free" in failure(server, tmp_path, said)


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path, said: list[str]):
    (tmp_path / "downloads").write_text("a file, not a folder")
    line = failure(server, tmp_path, said)
    assert f"cannot write set.csv.gz to {tmp_path}/downloads/toy" in line


FETCHER = """
import sys
from pathlib import Path
from bench.dataset import RemoteFile
from bench.datasets.fetch import obtain
file = RemoteFile("set.csv.gz", sys.argv[1] + "/set.csv.gz", sys.argv[3])
say = lambda text: print(text, flush=True)
print(len(obtain("toy", [file], Path(sys.argv[2]), say=say)["set.csv.gz"].read_bytes()))
"""


def start(server: Server, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCHER, server.url, str(cache), SHA256],
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_fetch_once(server: Server, tmp_path: Path):
    server.faults = ["stall"]
    first = start(server, tmp_path)
    wait_for(lambda: server.requests)
    second = start(server, tmp_path)
    assert second.stdout is not None
    assert "another process fetches set.csv.gz" in second.stdout.readline()
    server.released.set()
    for process in (first, second):
        assert process.communicate(timeout=30)[0].strip().endswith(str(len(CONTENT)))
        assert process.returncode == 0
    assert len(server.requests) == 1


def test_a_killed_download_is_no_file_and_goes_on(server: Server, tmp_path: Path, said: list[str]):
    server.faults = ["hold"]
    process = start(server, tmp_path)
    part = tmp_path / "downloads" / "toy" / ".set.csv.gz.part"
    wait_for(lambda: part.is_file() and part.stat().st_size > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert locate("toy", remote(server), tmp_path) is None
    assert get(server, tmp_path, said).read_bytes() == CONTENT
    assert server.requests[1][1] != ""


# Where files are looked for.


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
    assert human(size) == text


# Archives.


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


GOOD = {"sub/b.txt": b"two", "a.txt": b"one"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_extract(tmp_path: Path, kind: str):
    archive = tmp_path / f"set.{kind}"
    if kind == "zip":
        make_zip(archive, GOOD)
    else:
        make_tar(archive, GOOD, "w" if kind == "tar" else "w:gz")
    folder = tmp_path / "out" / "set"
    files = extract(archive, folder)
    assert files == [folder / "a.txt", folder / "sub" / "b.txt"]
    assert files[1].read_bytes() == b"two"
    before = files[0].stat().st_mtime_ns
    assert extract(archive, folder) == files
    assert files[0].stat().st_mtime_ns == before
    files[0].unlink()
    assert extract(archive, folder) == files
    assert files[0].read_bytes() == b"one"


def test_a_changed_archive_is_unpacked_again(tmp_path: Path):
    extract(make_zip(tmp_path / "set.zip", GOOD), tmp_path / "out")
    files = extract(make_zip(tmp_path / "set.zip", {"new.txt": b"new"}), tmp_path / "out")
    assert [file.name for file in files] == ["new.txt"]
    assert not (tmp_path / "out" / "a.txt").exists()


@pytest.mark.parametrize(
    "name", ["../out.txt", "/outside/out.txt", "a/../../out.txt", "..\\out.txt"]
)
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_paths_that_point_outside_are_refused(tmp_path: Path, name: str, make: Any):
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = make(inner / "bad", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(DataError, match="points outside the archive's folder") as caught:
        extract(archive, inner / "out")
    assert str(archive) in str(caught.value)
    assert not (inner / "out").exists()
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes):
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match="'link' is a link or a device"):
        extract(tmp_path / "bad.tar", tmp_path / "out")


def test_links_in_a_zip_are_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="'link' is a link or a device"):
        extract(tmp_path / "bad.zip", tmp_path / "out")


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_cut_archive_leaves_nothing(tmp_path: Path, make: Any, share: float):
    whole = make(tmp_path / "whole", {"a.bin": os.urandom(200_000), "b.bin": b"b" * 9})
    archive = tmp_path / "cut"
    archive.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(DataError) as caught:
        extract(archive, tmp_path / "out")
    assert str(archive) in str(caught.value)
    assert not list(tmp_path.glob("*out*/*"))
