"""Find the files of published datasets, or fetch them; nothing incomplete or altered is used.

A file is looked for in ``BENCH_DATA_DIR``, in the mirror (``BENCH_MIRROR``) if that is a folder,
and in ``<cache>/downloads/<dataset>/``, in this order; only then is it downloaded into the last.
Beside a download whose authors publish no checksum lies ``<file>.sha256``, the digest of the first
download, which every later use must match.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from bench.contract import FileLocation, RemoteFile
from bench.errors import DataError, UsageError
from bench.messages import format_size

from .archive import extract as extract
from .download import DownloadFailed, download

logger = logging.getLogger(__name__)


def quiet(text: str) -> None:
    """Say nothing."""


def list_places(owner: str, cache: Path, mirror: str | None = None) -> Iterator[tuple[str, Path]]:
    """Yield (kind, folder) where the files of dataset ``owner`` may lie, first choice first.

    Kinds are ``local`` (``BENCH_DATA_DIR``), ``mirror`` and ``download``. ``mirror=None`` reads
    ``BENCH_MIRROR``.
    """
    data = os.environ.get("BENCH_DATA_DIR")
    if data:
        root = Path(data).expanduser()
        yield "local", root / owner
        yield "local", root
        for folder in _subfolders(root):
            yield "local", folder
    mirror = _mirror(mirror)
    if mirror and not _is_url(mirror):
        root = Path(mirror).expanduser()
        if not root.is_dir():
            raise UsageError(
                f"BENCH_MIRROR={mirror}: no such folder; expected a folder or an https:// address."
            )
        yield "mirror", root / owner
        yield "mirror", root
    yield "download", download_folder(owner, cache)


def download_folder(owner: str, cache: Path) -> Path:
    """Return the folder of what was downloaded for a dataset."""
    return cache / "downloads" / owner


def locate(owner: str, file: RemoteFile, cache: Path, mirror: str | None = None) -> Path | None:
    """Return where a file of dataset ``owner`` lies, or ``None``; its content is not read."""
    return locate_file(owner, file, cache, mirror).path


def locate_file(owner: str, file: RemoteFile, cache: Path, mirror: str | None = None) -> FileLocation:
    """Return the kind of place (see :func:`places`) that holds a file, and its path."""
    for kind, folder in list_places(owner, cache, mirror):
        if (folder / file.name).is_file():
            return FileLocation(file, kind, folder / file.name)
    return FileLocation(file, "missing", None)


def find_fault(file: RemoteFile, path: Path) -> str:
    """Return what is wrong with the content of a file, or an empty text.

    Compared are the size and the checksum on the card, or the digest noted at the first download;
    without either, a web page is told from data.
    """
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"has {size:,} bytes, expected {file.size:,}"
    wanted = file.checksum or recorded_checksum(path)
    if not wanted:
        with path.open("rb") as stream:
            head = stream.read(200).lstrip().lower()
        page = head.startswith((b"<!doctype html", b"<html"))
        return "is a web page, not the file (one to sign in, or of an error?)" if page else ""
    kind, _, value = wanted.partition(":")
    found = file_digest(path, kind)
    return "" if found == value.lower() else f"has {kind} {found}, expected {value.lower()}"


def get_files(
    owner: str,
    files: Sequence[RemoteFile],
    cache: Path,
    *,
    mirror: str | None = None,
    offline: bool | None = None,
) -> dict[str, Path]:
    """Return the path of each file by its name, after fetching those that lie nowhere.

    Every file is compared with its checksum. ``mirror`` and ``offline`` default to the variables
    ``BENCH_MIRROR`` and ``BENCH_OFFLINE``. Raises ``DataError`` that names each missing file, its
    address and the folder to put it into, or a file that is not what was published.
    """
    found: dict[str, Path] = {}
    missing: list[RemoteFile] = []
    for file in files:
        path = _usable(owner, file, cache, mirror)
        if path is None:
            missing.append(file)
        else:
            found[file.name] = path
    if missing and _offline(offline):
        raise _unreachable(owner, missing, cache, "offline is set")
    for number, file in enumerate(missing):
        try:
            found[file.name] = _fetch(owner, file, cache, mirror)
        except DownloadFailed as error:
            raise _unreachable(owner, missing[number:], cache, str(error)) from None
    return {file.name: found[file.name] for file in files}


def manual_folder(owner: str, cache: Path) -> Path:
    """Return the folder into which a user should put the files of a dataset.

    ``BENCH_DATA_DIR/<owner>`` if that can be written, else the download folder.
    """
    data = os.environ.get("BENCH_DATA_DIR")
    if data:
        root = Path(data).expanduser()
        folder = root / owner
        if os.access(folder if folder.is_dir() else root, os.W_OK):
            return folder
    return download_folder(owner, cache)


def file_digest(path: Path, kind: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def _usable(owner: str, file: RemoteFile, cache: Path, mirror: str | None) -> Path | None:
    """Return a file that is there and whole; ``None`` if it has to be fetched."""
    held = locate_file(owner, file, cache, mirror)
    path = held.path
    if path is None:
        return None
    wrong = find_fault(file, path)
    if not wrong:
        return path
    if held.kind == "download":
        logger.info(f"{owner}: {path} {wrong}: damaged since it was downloaded, fetching it again")
        return None
    raise DataError(
        f"{owner}: {path} {wrong}: not the published file, or an incomplete copy; replace it by "
        f"the one at {file.source} or move it away, then run again."
    )


def _fetch(owner: str, file: RemoteFile, cache: Path, mirror: str | None) -> Path:
    """Download one file, from the mirror first; one process at a time does it.

    Raises ``DownloadFailed`` with the reason if no server gives it, ``DataError`` for a disk.
    """
    target = download_folder(owner, cache) / file.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target, owner):
            if not target.is_file() or find_fault(file, target):
                _from_servers(owner, file, target, _mirror(mirror))
    except OSError as error:
        raise DataError(
            f"{owner}: cannot write {file.name} to {target.parent}: {error.strerror or error}; "
            "free space there or set BENCH_CACHE_DIR to a folder you may write to."
        ) from None
    return target


@contextmanager
def _alone(target: Path, owner: str) -> Iterator[None]:
    """Hold the lock of one file; say so if another process has it."""
    from filelock import FileLock, Timeout

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


def _from_servers(owner: str, file: RemoteFile, target: Path, mirror: str) -> None:
    addresses = [file.url] if file.url else []
    if mirror and _is_url(mirror):
        addresses.insert(0, f"{mirror.rstrip('/')}/{owner}/{quote(file.name)}")
    if not addresses:
        raise DownloadFailed("no address serves the file itself, only a person can download it there")
    part = target.with_name(f".{file.name}.part")
    for number, address in enumerate(addresses):
        logger.info(f"{owner}: fetching {_sized(file)} from {address}")
        try:
            resumed = download(address, part, owner)
            wrong = _differs(file, part, target)
            if wrong and resumed:
                logger.info(f"{owner}: {file.name} {wrong}; fetching it again from the start")
                part.unlink()
                download(address, part, owner)
                wrong = _differs(file, part, target)
            if wrong:
                part.unlink()
                raise DownloadFailed(f"what it sends {wrong}")
        except DownloadFailed as error:
            if number + 1 == len(addresses):
                raise
            logger.info(f"{owner}: not from the mirror ({error})")
            continue
        break
    _settle(owner, file, part, target)


def _differs(file: RemoteFile, part: Path, target: Path) -> str:
    """Return how a download differs from the card or from what was once noted."""
    if wrong := find_fault(file, part):
        return wrong
    before = "" if file.checksum else recorded_checksum(target)
    if before and before != f"sha256:{(found := file_digest(part))}":
        return (
            f"has sha256 {found}, the first download had {before[7:]}; remove {_note(target)} if "
            "the change is intended"
        )
    return ""


def _settle(owner: str, file: RemoteFile, part: Path, target: Path) -> None:
    """Note the digest where none is published, then give the file its name."""
    if not file.checksum and not recorded_checksum(target):
        digest = file_digest(part)
        partial = part.with_suffix(".note")
        partial.write_text(f"{digest}  {file.name}\n")
        partial.replace(_note(target))
        logger.info(
            f"{owner}: no checksum of {file.name} is published; its sha256 {digest[:12]}… is "
            f"noted in {_note(target).name} and compared from now on"
        )
    part.replace(target)
    logger.info(f"{owner}: {file.name} is there ({target.stat().st_size:,} bytes)")


def _unreachable(owner: str, files: list[RemoteFile], cache: Path, reason: str) -> DataError:
    first, *others = files
    what = " and ".join(["it", *(f"{_sized(one)} from {one.source}" for one in others)])
    return DataError(
        f"{owner}: {_sized(first)} cannot be fetched from {first.source} ({reason}); download "
        f"{what} elsewhere and put {'them' if others else 'it'} into {manual_folder(owner, cache)}, "
        "then run again."
    )


def _sized(file: RemoteFile) -> str:
    size = format_size(file.size or file.about)
    return f"{file.name} ({size})" if size else file.name


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def recorded_checksum(path: Path) -> str:
    """Return ``sha256:…`` as noted beside a file, in the format of ``sha256sum``."""
    try:
        words = _note(path).read_text().split()
    except (OSError, UnicodeDecodeError):
        return ""
    return f"sha256:{words[0].lower()}" if words else ""


def _subfolders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return sorted(Path(one.path) for one in entries if one.is_dir())
    except OSError:
        return []


def _mirror(value: str | None) -> str:
    return os.environ.get("BENCH_MIRROR", "") if value is None else value


def _offline(value: bool | None) -> bool:
    if value is None:
        return os.environ.get("BENCH_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    return value


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))
