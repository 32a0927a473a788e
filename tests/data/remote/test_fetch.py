"""Downloads: checksums, faults, disks, two processes."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from _served import CONTENT, MD5, SHA256, Server, failure, get, leftovers, remote

from bench.contract import RemoteFile
from bench.data.remote import download as _download
from bench.data.remote.fetch import locate


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
from bench.contract import RemoteFile
from bench.data.remote.fetch import obtain
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
