"""A server on this machine with faults on demand, and a file that it serves."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.contract import RemoteFile
from bench.data.remote.fetch import get_files
from bench.errors import DataError

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


def remote(server: Server, checksum: str = SHA256, **values: Any) -> RemoteFile:
    return RemoteFile("set.csv.gz", f"{server.url}/set.csv.gz", checksum, **values)


def get(server: Server, cache: Path, *files: RemoteFile, **values: Any) -> Path:
    return get_files("toy", files or [remote(server)], cache, **values)["set.csv.gz"]


def failure(*args: Any, code: str = "not_fetched", **values: Any) -> str:
    with pytest.raises(DataError) as caught:
        get(*args, **values)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leftovers(cache: Path) -> set[str]:
    folder = cache / "downloads" / "toy"
    return {path.name for path in folder.iterdir()} - {".set.csv.gz.lock"}
