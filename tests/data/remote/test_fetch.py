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
from bench.data.remote import download
from bench.data.remote.download import Transfer
from bench.data.remote.local_files import locate_file


@pytest.mark.parametrize("checksum", [SHA256, MD5])
def test_a_file_is_fetched_once(server: Server, tmp_path: Path, checksum: str):
    file = remote(server, checksum, size=len(CONTENT))
    first = get(server, tmp_path, file)
    assert first.read_bytes() == CONTENT
    assert get(server, tmp_path, file) == first
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == {"set.csv.gz"}


def test_without_a_published_checksum_the_first_download_is_noted(server: Server, tmp_path: Path):
    path = get(server, tmp_path, remote(server, ""))
    note = path.with_name("set.csv.gz.sha256")
    assert note.read_text() == f"{SHA256[7:]}  set.csv.gz\n"
    path.unlink()
    server.content, server.etag = CONTENT[::-1], '"v2"'
    assert SHA256[7:] in failure(server, tmp_path, remote(server, ""))
    assert note.is_file()
    assert not path.exists()


def test_a_damaged_download_is_fetched_again(server: Server, tmp_path: Path):
    path = get(server, tmp_path, remote(server, ""))
    path.write_bytes(CONTENT[:-1] + b"x")
    assert get(server, tmp_path, remote(server, "")).read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [500, 503, "cut"])
def test_passing_faults_are_tried_again(server: Server, tmp_path: Path, fault: Any):
    server.faults = [fault, fault]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_cut_transfer_goes_on_where_it_ended(server: Server, tmp_path: Path):
    server.faults = ["cut"]
    get(server, tmp_path)
    begin = server.requests[1][1]
    assert begin.startswith("bytes=")
    assert begin != "bytes=0-"


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path):
    server.faults, server.ranges = ["cut"], False
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_bytes_of_an_older_version_are_discarded(server: Server, tmp_path: Path):
    server.faults = ["cut", 404]
    failure(server, tmp_path, remote(server, ""))
    assert ".set.csv.gz.part" in leftovers(tmp_path)
    server.content, server.etag = CONTENT[::-1], '"v2"'
    assert get(server, tmp_path, remote(server, "")).read_bytes() == CONTENT[::-1]


def test_a_stalled_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "TIMEOUT", (5.0, 0.1))
    monkeypatch.setattr(download, "RETRIES", 1)
    server.faults = ["hold", "hold"]
    assert "no answer within 0.1 s" in failure(server, tmp_path)
    assert len(server.requests) == 2


@pytest.mark.parametrize("content", [b"<html>sign in</html>", CONTENT[:-1], b""])
def test_wrong_content_is_never_given_its_name(server: Server, tmp_path: Path, content: bytes):
    server.content = content
    line = failure(server, tmp_path)
    assert hashlib.sha256(content).hexdigest() in line
    assert SHA256[7:] in line
    assert leftovers(tmp_path) == set()


def test_a_web_page_in_place_of_the_file_is_refused(server: Server, tmp_path: Path):
    server.content = b"\n<!DOCTYPE html><html>sign in</html>"
    line = failure(server, tmp_path, remote(server, ""))
    assert "is a web page" in line
    assert leftovers(tmp_path) == set()


def test_a_wrong_size_is_refused(server: Server, tmp_path: Path):
    line = failure(server, tmp_path, remote(server, "", size=5))
    assert "has 1,024,000 bytes, expected 5" in line
    assert leftovers(tmp_path) == set()


def test_a_gz_file_that_the_server_calls_encoded_stays_as_it_is(server: Server, tmp_path: Path):
    import gzip

    server.content, server.gzip_header = gzip.compress(b"a,b\n1,2\n"), True
    file = RemoteFile("set.csv.gz", f"{server.url}/files/123")
    assert get(server, tmp_path, file).read_bytes() == server.content


def test_missing_files_are_named_with_address_and_folder(server: Server, tmp_path: Path):
    server.faults = [404]
    other = RemoteFile("labels.txt", f"{server.url}/labels.txt", size=4_500_000)
    line = failure(server, tmp_path, remote(server), other)
    assert line == (
        f"toy: set.csv.gz cannot be fetched from {server.url}/set.csv.gz (HTTP 404 Not Found); "
        f"download it and labels.txt (about 4.5 MB) from {server.url}/labels.txt elsewhere and "
        f"put them into {tmp_path}/downloads/toy, then run again."
    )
    assert len(server.requests) == 1


def test_no_connection(server: Server, tmp_path: Path):
    server.close()
    line = failure(server, tmp_path)
    assert "Connection refused" in line


def test_offline_sends_no_request(server: Server, tmp_path: Path):
    failure(server, tmp_path, offline=True)
    assert server.requests == []


def test_other_protocols_are_refused(server: Server, tmp_path: Path):
    file = RemoteFile("set.csv.gz", "ftp://ftp.example.org/set.csv.gz")
    assert "only https://" in failure(server, tmp_path, file)


def test_a_file_only_people_can_download(server: Server, tmp_path: Path):
    file = RemoteFile(
        "set.csv.gz", "", approximate_size=2_000_000, manual_page="https://example.org/folder"
    )
    assert "https://example.org/folder" in failure(server, tmp_path, file)
    found = get(server, tmp_path, file, mirror=f"{server.url}/mirror")
    assert found.read_bytes() == CONTENT


# Disks and processes.


def test_a_full_disk_keeps_what_can_be_used_and_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write = Transfer.write

    def full(transfer: Any, chunk: bytes) -> None:
        if transfer.stream.tell() > len(CONTENT) // 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(transfer, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(Transfer, "write", full)
        failure(server, tmp_path, code="disk_full")
    assert locate_file("toy", remote(server), tmp_path).path is None
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[1][1] != ""


def test_too_little_space_is_seen_before_the_transfer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Usage:
        free = 1000

    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: Usage)
    failure(server, tmp_path, code="disk_full")


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path):
    (tmp_path / "downloads").write_text("a file, not a folder")
    failure(server, tmp_path, code="not_writable")


FETCHER = """
import logging, sys
from pathlib import Path
from bench.contract import RemoteFile
from bench.data.remote.fetch import get_files
file = RemoteFile("set.csv.gz", sys.argv[1] + "/set.csv.gz", sys.argv[3])
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
print(len(get_files("toy", [file], Path(sys.argv[2]))["set.csv.gz"].read_bytes()))
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


def test_a_killed_download_is_resumed(server: Server, tmp_path: Path):
    server.faults = ["hold"]
    process = start(server, tmp_path)
    part = tmp_path / "downloads" / "toy" / ".set.csv.gz.part"
    wait_for(lambda: part.is_file() and part.stat().st_size > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert locate_file("toy", remote(server), tmp_path).path is None
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[1][1] != ""
