"""Where the files of published datasets lie, and checks that they are the published ones.

A file is looked for in ``BENCH_DATA_DIR``, in the mirror (``BENCH_MIRROR``) if that is a folder,
and in ``<cache>/downloads/<dataset>/``, in this order. If the authors publish no checksum,
``<file>.sha256`` beside a download holds the digest of the first download, which later ones must
match.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from bench.contract import FileLocation, RemoteFile
from bench.errors import UsageError


def list_places(owner: str, cache: Path, mirror: str | None = None) -> Iterator[tuple[str, Path]]:
    """Yield kind and path of each possible folder of a dataset's files, in order of preference.

    ``owner`` is the dataset. Kinds are ``local`` (``BENCH_DATA_DIR``), ``mirror`` and
    ``download``. Raises ``UsageError`` if the mirror is neither a folder nor an address.
    """
    data = os.environ.get("BENCH_DATA_DIR")
    if data:
        root = Path(data).expanduser()
        yield "local", root / owner
        yield "local", root
        if root.is_dir():
            for folder in sorted(path for path in root.iterdir() if path.is_dir()):
                yield "local", folder
    if mirror and not is_url(mirror):
        root = Path(mirror).expanduser()
        if not root.is_dir():
            raise UsageError(
                f"BENCH_MIRROR={mirror}: no such folder; expected a folder or an https address.",
                code="no_such_folder",
            )
        yield "mirror", root / owner
        yield "mirror", root
    yield "download", download_folder(owner, cache)


def download_folder(owner: str, cache: Path) -> Path:
    """Return the folder of the downloads of a dataset."""
    return cache / "downloads" / owner


def manual_folder(owner: str, cache: Path) -> Path:
    """Return the folder into which a user should put the files of a dataset.

    ``BENCH_DATA_DIR/<owner>`` if it is writable, else the download folder.
    """
    data = os.environ.get("BENCH_DATA_DIR")
    if data:
        root = Path(data).expanduser()
        folder = root / owner
        if os.access(folder if folder.is_dir() else root, os.W_OK):
            return folder
    return download_folder(owner, cache)


def locate_file(
    owner: str, file: RemoteFile, cache: Path, mirror: str | None = None
) -> FileLocation:
    """Return where a file of dataset ``owner`` lies; its content is not read."""
    for kind, folder in list_places(owner, cache, mirror):
        if (folder / file.name).is_file():
            return FileLocation(file, kind, folder / file.name)
    return FileLocation(file, "missing", None)


def find_fault(file: RemoteFile, path: Path) -> str:
    """Return the difference of a file from the published one; empty if there is none.

    Compares the size and the checksum of the card, or the digest of the first download. Without
    either digest, only a wrong size or a web page in place of the file is found.
    """
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"has {size:,} bytes, expected {file.size:,}"
    expected = file.checksum or recorded_checksum(path)
    if not expected:
        with path.open("rb") as stream:
            head = stream.read(200).lstrip().lower()
        is_page = head.startswith((b"<!doctype html", b"<html"))
        return "is a web page, not the file (a sign-in or error page?)" if is_page else ""
    kind, _, value = expected.lower().partition(":")
    actual = file_digest(path, kind)
    return "" if actual == value else f"has {kind} {actual}, expected {value}"


def file_digest(path: Path, kind: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def recorded_checksum(path: Path) -> str:
    """Return ``sha256:…`` from the ``.sha256`` file beside a download, else an empty text."""
    try:
        words = checksum_file(path).read_text().split()
    except (OSError, UnicodeDecodeError):
        return ""
    return f"sha256:{words[0].lower()}" if words else ""


def checksum_file(path: Path) -> Path:
    """Return the file that records the digest of a download."""
    return path.with_name(f"{path.name}.sha256")


def is_url(text: str) -> bool:
    """Return whether a text is an http or https address."""
    return text.startswith(("https://", "http://"))
