"""Packed files, recognised by content instead of name; other formats are named in an error."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench.errors import DataError
from bench.messages import quote_names

# zipfile raises RuntimeError for a password and NotImplementedError for an unknown method.
DAMAGED = (
    EOFError, OSError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile,
    lzma.LZMAError,
)  # fmt: skip
"""Errors of a file that is incomplete or damaged."""
_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open
}  # fmt: skip
_OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file; give its name the ending .h5ad, .h5mu, .loom or .h5",
    b"(\xb5/\xfd": "packed by zstd; unpack it first, with unzstd",
    b"7z\xbc\xaf": "a 7z archive; unpack it and name the file in it",
    b"Rar!": "a rar archive; unpack it and name the file in it",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"PAR1": "a parquet file; save it as CSV",
    b"RDX": "data of R; save them there as CSV or MatrixMarket",
    b"X\n\0\0\0": "data of R; save them there as CSV or MatrixMarket",
    b"%PDF": "a PDF document",
}
_PACKINGS = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz",
             b"(\xb5/\xfd": "zstd"}  # fmt: skip
_LAYERS = 4
"""Largest number of nested packings."""


def name_packing(path: Path) -> str:
    """Return the program that packed a file, by its first bytes; empty for an unpacked file."""
    with path.open("rb") as stream:
        start = stream.read(6)
    return next((name for magic, name in _PACKINGS.items() if start.startswith(magic)), "")


@contextlib.contextmanager
def open_unpacked(path: Path, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield the content of a file that may be packed by gzip, zip, bzip2 or xz, also twice.

    Raises ``DataError`` for an empty file, and for one whose content is another format.
    """
    with contextlib.ExitStack() as stack:
        stream: Any = raw
        for _ in range(_LAYERS):
            start = stream.read(512)
            stream.seek(0)
            if not start and stream is raw:
                raise DataError(
                    f"{path}: the file is empty; expected a header line and rows.",
                    code="empty_file",
                )
            if start.startswith(b"PK\x03\x04"):
                archive = stack.enter_context(zipfile.ZipFile(stream))
                stream = stack.enter_context(archive.open(_find_member(path, archive)))
                continue
            magic = next((magic for magic in _OPENERS if start.startswith(magic)), None)
            if magic is None:
                _refuse_other_format(path, start)
                break
            stream = stack.enter_context(_OPENERS[magic](stream))
        yield stream


def _refuse_other_format(path: Path, start: bytes) -> None:
    found = next((text for magic, text in _OTHER_FORMATS.items() if start.startswith(magic)), "")
    if start[257:262] == b"ustar":
        found = "a tar archive; unpack it and name the file in it"
    if found:
        raise DataError(f"{path}: holds {found}.", code="unknown_format")


def _find_member(path: Path, archive: zipfile.ZipFile) -> str:
    """Return the one file in a zip; hidden files and those of macOS do not count."""
    names = [
        info.filename
        for info in archive.infolist()
        if not info.is_dir()
        and not info.filename.startswith("__MACOSX")
        and not PurePosixPath(info.filename).name.startswith(".")
    ]
    if any(name.startswith("xl/") for name in names):
        raise DataError(
            f"{path}: holds an Excel workbook; save the sheet as CSV.", code="unknown_format"
        )
    if len(names) != 1:
        raise DataError(
            f"{path}: {len(names)} files in the archive ({quote_names(names) or 'none'}); "
            "expected one; unpack it and name the file.",
            code="ambiguous_file",
        )
    if ".." in names[0].replace("\\", "/").split("/") or names[0].startswith(("/", "\\")):
        raise DataError(
            f"{path}: its file '{names[0]}' points outside of the archive; get the file "
            "from its authors.",
            code="unsafe_archive",
        )
    return names[0]
