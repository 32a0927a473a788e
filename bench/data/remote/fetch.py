"""Download the files of published datasets that are missing; nothing incomplete is used."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock, Timeout

from bench.errors import DataError
from bench.messages import format_size

from .download import DownloadFailed, download
from .local_files import (
    checksum_file,
    download_folder,
    file_digest,
    find_fault,
    is_url,
    locate_file,
    manual_folder,
    recorded_checksum,
)

if TYPE_CHECKING:
    from bench.contract import RemoteFile

logger = logging.getLogger(__name__)


def get_files(
    owner: str,
    files: Sequence[RemoteFile],
    cache: Path,
    *,
    mirror: str | None = None,
    offline: bool = False,
) -> dict[str, Path]:
    """Return the path of each file by its name, after downloading the missing ones.

    Every file is compared with its checksum. Raises ``DataError`` for missing files, with their
    addresses and the folder to put them into, and for a file that differs from the published one.
    """
    paths = {file.name: _valid_path(owner, file, cache, mirror) for file in files}
    missing = [file for file in files if paths[file.name] is None]
    if missing and offline:
        raise _missing_files(owner, missing, cache, "offline is set")
    for number, file in enumerate(missing):
        try:
            paths[file.name] = _fetch(owner, file, cache, mirror)
        except DownloadFailed as error:
            raise _missing_files(owner, missing[number:], cache, str(error)) from None
    return {name: path for name, path in paths.items() if path is not None}


def _valid_path(owner: str, file: RemoteFile, cache: Path, mirror: str | None) -> Path | None:
    """Return the path of an intact file; ``None`` if it has to be downloaded."""
    location = locate_file(owner, file, cache, mirror)
    path = location.path
    if path is None:
        return None
    fault = find_fault(file, path)
    if not fault:
        return path
    if location.kind == "download":
        logger.info(f"{owner}: {path} {fault}: damaged since it was downloaded, fetching it again")
        return None
    raise DataError(
        f"{owner}: {path} {fault}: not the published file, or an incomplete copy; replace it by "
        f"the one at {file.source} or move it away, then run again.",
        code="wrong_file",
    )


def _fetch(owner: str, file: RemoteFile, cache: Path, mirror: str | None) -> Path:
    """Download one file, from the mirror first; one process at a time.

    Raises ``DownloadFailed`` if no server delivers it, ``DataError`` if writing fails.
    """
    target = download_folder(owner, cache) / file.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target, owner):
            if not target.is_file() or find_fault(file, target):
                _fetch_from_servers(owner, file, target, mirror)
    except OSError as error:
        raise DataError(
            f"{owner}: cannot write {file.name} to {target.parent}: {error.strerror or error}; "
            "free space there or set BENCH_CACHE_DIR to a folder you may write to.",
            code="not_writable",
        ) from None
    return target


@contextmanager
def _lock(target: Path, owner: str) -> Iterator[None]:
    """Lock one file; log a line if another process has locked it."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info(f"{owner}: another process fetches {target.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_from_servers(owner: str, file: RemoteFile, target: Path, mirror: str | None) -> None:
    """Download a file from the first server that delivers it, and rename it to its final name."""
    addresses = [file.url] if file.url else []
    if mirror and is_url(mirror):
        addresses.insert(0, f"{mirror.rstrip('/')}/{owner}/{quote(file.name)}")
    if not addresses:
        raise DownloadFailed("the file has no direct address; it must be downloaded by hand")
    part = target.with_name(f".{file.name}.part")
    for address in addresses:
        try:
            _fetch_valid(owner, file, address, part)
            break
        except DownloadFailed as error:
            if address == addresses[-1]:
                raise
            logger.info(f"{owner}: not from the mirror ({error})")
    if not file.checksum and not recorded_checksum(target):
        _record_checksum(owner, file, part, target)
    part.replace(target)
    logger.info(f"{owner}: {file.name} is there ({target.stat().st_size:,} bytes)")


def _fetch_valid(owner: str, file: RemoteFile, address: str, part: Path) -> None:
    """Download from one address; raises ``DownloadFailed`` if the content is wrong."""
    logger.info(f"{owner}: fetching {_name_and_size(file)} from {address}")
    resumed = download(address, part, owner)
    fault = _find_difference(file, part)
    if fault and resumed:
        logger.info(f"{owner}: {file.name} {fault}; fetching it again from the start")
        part.unlink()
        download(address, part, owner)
        fault = _find_difference(file, part)
    if fault:
        part.unlink()
        raise DownloadFailed(f"what it sends {fault}")


def _find_difference(file: RemoteFile, part: Path) -> str:
    """Return how a download differs from the card, or from the first download of the file."""
    target = part.with_name(file.name)
    fault = find_fault(file, part)
    recorded = "" if file.checksum else recorded_checksum(target)
    if fault or not recorded:
        return fault
    actual = file_digest(part)
    if recorded == f"sha256:{actual}":
        return ""
    return (
        f"has sha256 {actual}, the first download had {recorded[7:]}; remove "
        f"{checksum_file(target)} if the change is intended"
    )


def _record_checksum(owner: str, file: RemoteFile, part: Path, target: Path) -> None:
    """Write the digest of the first download of a file without a published checksum."""
    digest = file_digest(part)
    partial = part.with_suffix(".note")
    partial.write_text(f"{digest}  {file.name}\n")
    partial.replace(checksum_file(target))
    logger.info(
        f"{owner}: no checksum of {file.name} is published; its sha256 {digest[:12]}… is "
        f"noted in {checksum_file(target).name} and compared from now on"
    )


def _missing_files(owner: str, files: list[RemoteFile], cache: Path, reason: str) -> DataError:
    first, *others = files
    names = " and ".join(
        ["it", *(f"{_name_and_size(file)} from {file.source}" for file in others)]
    )
    return DataError(
        f"{owner}: {_name_and_size(first)} cannot be fetched from {first.source} ({reason}); "
        f"download {names} elsewhere and put {'them' if others else 'it'} into "
        f"{manual_folder(owner, cache)}, then run again.",
        code="not_fetched",
    )


def _name_and_size(file: RemoteFile) -> str:
    size = format_size(file.size or file.approximate_size)
    return f"{file.name} ({size})" if size else file.name
