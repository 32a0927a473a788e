"""Download one file over HTTP; an interrupted transfer resumes where it ended."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import IO, Any

import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from urllib3.exceptions import (
    MaxRetryError,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Retry

from bench.errors import DataError

from .local_files import is_url

logger = logging.getLogger(__name__)

RETRIES = 3
PAUSE = 1.0
"""Backoff factor of ``urllib3.util.Retry``, in seconds."""
TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and between two bytes."""
LINE_INTERVAL = 20.0
"""Seconds between two lines of progress where there is no terminal."""
_CHUNK_BYTES = 1 << 16
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RETRY_STATUS = (408, 429, 500, 502, 503, 504)
_COMPRESSED = (".gz", ".tgz", ".bgz")


class DownloadFailed(Exception):
    """No server delivers the file; the message is a reason of a few words."""


def download(url: str, part: Path, owner: str) -> bool:
    """Download ``url`` into ``part``; returns whether bytes of an earlier transfer were reused.

    Bytes in ``part`` are reused if the server confirms that its file has not changed. Raises
    ``DownloadFailed``, and ``DataError`` if writing fails.
    """
    if not is_url(url):
        raise DownloadFailed("only https:// and http:// addresses can be fetched")
    retries = Retry(
        RETRIES, backoff_factor=PAUSE, status_forcelist=_RETRY_STATUS, raise_on_status=False
    )
    resumed = False
    with requests.Session() as session:
        session.mount("https://", HTTPAdapter(max_retries=retries))
        session.mount("http://", HTTPAdapter(max_retries=retries))
        while True:
            transfer = Transfer(part, owner)
            try:
                transfer.run(session, url)
                return resumed or transfer.offset > 0
            except (ProtocolError, ReadTimeoutError, SSLError) as error:
                # Retry covers a request up to its headers; the body is repeated here.
                retries = _next_retry(retries, url, error)
                logger.info(f"{owner}: {_reason(error)}; trying again")
                retries.sleep()
            except requests.RequestException as error:
                raise DownloadFailed(_reason(error)) from None
            except OSError as error:
                raise _disk_error(error, transfer) from None
            resumed = resumed or transfer.offset > 0


def _next_retry(retries: Retry, url: str, error: Exception) -> Retry:
    try:
        return retries.increment("GET", url, error=error)
    except MaxRetryError:
        raise DownloadFailed(_reason(error)) from None


class Transfer:
    """One request and the bytes that it delivers."""

    def __init__(self, part: Path, owner: str) -> None:
        self.part, self.owner = part, owner
        self.name = part.name[1:].removesuffix(".part")
        self.tag = part.with_suffix(".tag")
        """Holds the version (ETag or date) of the file that the bytes in ``part`` are from."""
        version = self.tag.read_text() if self.tag.is_file() else ""
        self.offset = part.stat().st_size if version and part.is_file() else 0
        """Bytes of an earlier transfer that are reused."""
        self.headers = {"Accept-Encoding": "identity"}
        if self.offset:
            self.headers |= {"Range": f"bytes={self.offset}-", "If-Range": version}
        self.stream: IO[bytes]

    def run(self, session: requests.Session, url: str) -> None:
        """Send the request and store the body.

        Raises ``DownloadFailed``, ``requests`` and ``urllib3`` exceptions, and ``OSError`` if
        writing fails.
        """
        with session.get(url, headers=self.headers, stream=True, timeout=TIMEOUT) as response:
            begin = response.headers.get("Content-Range", "")
            if response.status_code == 416:
                if begin != f"bytes */{self.offset}":
                    self._discard()
                    raise ProtocolError("the file on the server is shorter than the part here")
            elif not response.ok:
                raise DownloadFailed(f"HTTP {response.status_code} {response.reason}")
            elif response.status_code != 206:
                self.offset = 0
                self._receive(response)
            elif begin.startswith(f"bytes {self.offset}-"):
                logger.info(f"{self.owner}: continuing after {self.offset:,} bytes")
                self._receive(response)
            else:
                self._discard()
                raise ProtocolError("the server sent another range than requested")
        self.tag.unlink(missing_ok=True)

    def _receive(self, response: requests.Response) -> None:
        """Append the body to the reused bytes."""
        # Some servers call a stored .gz file "encoded"; it must stay as it is.
        decode = not self.part.stem.lower().endswith(_COMPRESSED)
        length = response.headers.get("Content-Length", "")
        total = None
        if length.isdigit() and not (decode and response.headers.get("Content-Encoding")):
            total = self.offset + int(length)
            free = shutil.disk_usage(self.part.parent).free
            if int(length) > free:
                raise OSError(errno.ENOSPC, f"{int(length):,} bytes to come, {free:,} free")
        etag = response.headers.get("ETag", "")
        version = "" if etag.startswith("W/") else etag
        with (
            self.part.open("ab" if self.offset else "wb") as self.stream,
            DownloadProgress(self.name, self.owner, self.offset, total) as progress,
        ):
            self.tag.write_text(version or response.headers.get("Last-Modified", ""))
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=decode):
                self.write(chunk)
                progress.update(self.stream.tell())
            self.stream.flush()
            os.fsync(self.stream.fileno())

    def write(self, chunk: bytes) -> None:
        """Store bytes of the body."""
        self.stream.write(chunk)

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


class DownloadProgress:
    """A progress bar on a terminal, else a log line now and then."""

    def __init__(self, name: str, owner: str, offset: int, total: int | None) -> None:
        self._owner, self._last_line = owner, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True),
            transient=True, disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._bar.add_task(name, completed=offset, total=total)

    def __enter__(self) -> DownloadProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, count: int) -> None:
        """Show ``count`` bytes as received."""
        self._bar.update(self._task, completed=count)
        if not self._bar.disable or time.monotonic() - self._last_line < LINE_INTERVAL:
            return
        self._last_line = time.monotonic()
        task = self._bar.tasks[0]
        total = f" of {task.total / 1e6:.0f} MB ({task.percentage:.0f}%)" if task.total else " MB"
        logger.info(f"{self._owner}: {task.description}: {count / 1e6:.0f}{total}")


def _reason(error: Exception) -> str:
    """Return the reason of a failed request in a few words."""
    if isinstance(error, ReadTimeoutError | requests.Timeout) or "timed out" in str(error):
        return f"no answer within {TIMEOUT[1]:g} s"
    if isinstance(error, ProtocolError):
        return str(error.args[0])
    if isinstance(error, SSLError | requests.exceptions.SSLError):
        return f"no secure connection: {_innermost(error)}"
    if isinstance(error, requests.ConnectionError):
        cause: Any = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(cause, NameResolutionError):
            return "host name not resolved: no network?"
        return f"no connection: {_innermost(error)}"
    return _innermost(error)


def _innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]


def _disk_error(error: OSError, transfer: Transfer) -> DataError:
    """Return the ``DataError`` for a disk that cannot hold the file."""
    part, folder = transfer.part, transfer.part.parent
    if error.errno not in _DISK_FULL:
        return DataError(
            f"{transfer.owner}: {transfer.name} cannot be written to {folder}: "
            f"{error.strerror or error}.",
            code="not_writable",
        )
    reuse = ""
    if transfer.tag.is_file() and transfer.tag.read_text() and part.stat().st_size:
        reuse = f"; {part.stat().st_size:,} bytes are kept, the download will continue there"
    else:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return DataError(
        f"{transfer.owner}: no space for {transfer.name} in {folder} ({error.strerror}); free "
        f"some or set BENCH_CACHE_DIR to a larger disk, then run again{reuse}.",
        code="disk_full",
    )
