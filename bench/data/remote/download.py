"""One file over https: goes on where an earlier attempt ended, tries again, shows progress."""

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

from bench.errors import DataError

logger = logging.getLogger(__name__)

ATTEMPTS = 4
PAUSE = 1.0
"""Seconds before the second attempt; doubled for each further one."""
TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and without a byte."""
LINES_EVERY = 20.0
"""Seconds between two lines of progress where there is no terminal."""
_CHUNK = 1 << 18
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AGAIN = (408, 429, 500, 502, 503, 504)


class DownloadFailed(Exception):
    """No server gives the file; the text is a reason of a few words."""


class _Broken(Exception):
    """An attempt failed in a way that may pass."""


def download(url: str, part: Path, owner: str) -> bool:
    """Fetch ``url`` into ``part``; return whether bytes of an earlier attempt were kept.

    What ``part`` holds is kept if the server confirms that its file is still the same. Raises
    ``DownloadFailed`` with a short reason, and ``DataError`` if the disk is full.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadFailed("only https:// and http:// addresses can be fetched")
    resumed = False
    for attempt in range(1, ATTEMPTS + 1):
        transfer = _Transfer(url, part, owner)
        try:
            transfer.run()
            return resumed or transfer.offset > 0
        except _Broken as error:
            if attempt == ATTEMPTS:
                raise DownloadFailed(f"{error}; {ATTEMPTS} attempts") from None
            pause = PAUSE * 2 ** (attempt - 1)
            logger.info(f"{owner}: {error}; attempt {attempt + 1} of {ATTEMPTS} in {pause:g} s")
            time.sleep(pause)
        except OSError as error:
            raise _disk(error, transfer) from None
        resumed = resumed or transfer.offset > 0
    raise AssertionError("unreachable")


class _Transfer:
    """One request and its answer."""

    def __init__(self, url: str, part: Path, owner: str) -> None:
        self.url, self.part, self.owner = url, part, owner
        self.tag = part.with_suffix(".tag")
        """Remembers which version of the file (ETag or date) the bytes in ``part`` are from."""
        self.offset = 0
        """Bytes of an earlier attempt that stay."""
        self.total: int | None = None
        self.stream: IO[bytes]
        self._progress = _Progress(part.name[1:].removesuffix(".part"), owner)

    def run(self) -> None:
        """Send the request; raises ``_Broken``, ``DownloadFailed`` or ``OSError`` (disk)."""
        import pooch
        import requests

        known = self.tag.read_text() if self.tag.is_file() else ""
        self.offset = self.part.stat().st_size if known and self.part.is_file() else 0
        headers = {"Accept-Encoding": "identity"}
        if self.offset:
            headers |= {"Range": f"bytes={self.offset}-", "If-Range": known}
        with self.part.open("ab") as self.stream, self._progress:
            try:
                # pooch streams the body; the hook sees status and headers before it does.
                fetch = pooch.HTTPDownloader(
                    chunk_size=_CHUNK, timeout=TIMEOUT, headers=headers,
                    hooks={"response": self._answer},
                )  # fmt: skip
                fetch(self.url, self, None)
            except requests.HTTPError as error:
                self._refused(error.response)
            except requests.RequestException as error:
                raise _reason(error) from None
            self.stream.flush()
            os.fsync(self.stream.fileno())
            size = self.stream.tell()
        if self.total is not None and size != self.total:
            raise _Broken(f"the transfer ended after {size:,} of {self.total:,} bytes")
        self.tag.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Take bytes of the body."""
        self.stream.write(chunk)
        self._progress.at(self.stream.tell())

    def flush(self) -> None:
        """Flushing after each chunk, as pooch asks for, gains nothing."""

    def _answer(self, response: Any, *_: Any, **__: Any) -> None:
        """Decide from the head of the answer whether the bytes in ``part`` stay."""
        if response.is_redirect or not response.ok:
            return
        length = response.headers.get("Content-Length", "")
        begins = response.headers.get("Content-Range", "")
        if self.offset and not (
            response.status_code == 206 and begins.startswith(f"bytes {self.offset}-")
        ):
            self.offset = 0
            if response.status_code == 206:
                self._forget()
                raise _Broken("the server sent another part than asked for")
        self.stream.truncate(self.offset)
        self.stream.seek(self.offset)
        # Some servers call a stored .gz file "encoded"; it must stay as it is.
        if self.part.stem.lower().endswith((".gz", ".tgz", ".bgz")):
            response.raw.headers.pop("Content-Encoding", None)
        if length.isdigit() and not response.raw.headers.get("Content-Encoding"):
            self.total = self.offset + int(length)
        etag = response.headers.get("ETag", "")
        version = "" if etag.startswith("W/") else etag
        self.tag.write_text(version or response.headers.get("Last-Modified", ""))
        self._room()
        if self.offset:
            logger.info(f"{self.owner}: going on after {self.offset:,} bytes")
        self._progress.start(self.offset, self.total)

    def _room(self) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if self.total is not None and self.total - self.offset > free:
            raise OSError(
                errno.ENOSPC, f"{self.total - self.offset:,} bytes to come, {free:,} free"
            )

    def _forget(self) -> None:
        self.stream.truncate(0)
        self.tag.unlink(missing_ok=True)

    def _refused(self, response: Any) -> None:
        status = response.status_code
        if status == 416:  # nothing left to send, or what is here is longer than the file
            if response.headers.get("Content-Range", "") == f"bytes */{self.offset}":
                return
            self._forget()
            raise _Broken("the server has less than was fetched before")
        text = f"HTTP {status} {response.reason}"
        if status in _AGAIN:
            raise _Broken(text)
        raise DownloadFailed(text)


class _Progress:
    """A line that updates on a terminal, else a line now and then."""

    def __init__(self, name: str, owner: str) -> None:
        self.name, self.owner = name, owner
        self._bar: Any = None
        self._task: Any = None
        self._total: int | None = None
        self._last = time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, offset: int, total: int | None) -> None:
        """Begin, once the size is known (``None``: the server does not say)."""
        self._total = total
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(self.name, completed=offset, total=total)
        self._bar.start()

    def at(self, count: int) -> None:
        """Show that ``count`` bytes are there."""
        if self._bar is not None:
            self._bar.update(self._task, completed=count)
            return
        if time.monotonic() - self._last < LINES_EVERY:
            return
        self._last = time.monotonic()
        share = (
            f" of {self._total / 1e6:.0f} MB ({count / self._total:.0%})" if self._total else " MB"
        )
        logger.info(f"{self.owner}: {self.name}: {count / 1e6:.0f}{share}")


def _reason(error: Any) -> Exception:
    """Return the exception to raise for a failed request, with a reason of a few words."""
    import requests
    from urllib3.exceptions import NameResolutionError

    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return _Broken(f"no answer within {TIMEOUT[1]:g} s")
    if isinstance(error, requests.exceptions.SSLError):
        return DownloadFailed(f"no secure connection: {_innermost(error)}")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return _Broken("the connection broke off")
    if isinstance(error, requests.ConnectionError):
        cause = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(cause, NameResolutionError):
            return _Broken("host name not resolved: no network?")
        return _Broken(f"no connection: {_innermost(error)}")
    return DownloadFailed(_innermost(error))


def _innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]


def _disk(error: OSError, transfer: _Transfer) -> DataError:
    """Return the one line about a disk that cannot take the file."""
    part, folder = transfer.part, transfer.part.parent
    name = part.name[1:].removesuffix(".part")
    if error.errno not in _FULL:
        return DataError(
            f"{transfer.owner}: {name} cannot be written to {folder}: {error.strerror or error}."
        )
    kept = ""
    if transfer.tag.is_file() and transfer.tag.read_text() and part.stat().st_size:
        kept = f"; {part.stat().st_size:,} bytes are kept and the download will go on from there"
    else:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return DataError(
        f"{transfer.owner}: no space for {name} in {folder} ({error.strerror}); free some or set "
        f"BENCH_CACHE_DIR to a larger disk, then run again{kept}."
    )
