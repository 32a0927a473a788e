"""Delimited text as rows with line numbers: compression, encoding, separator, quotes."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench.errors import DataError

"""Where lines for the user go."""
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
NUMBER = re.compile(r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$")
_SNIFFED = 6
# zipfile raises RuntimeError for a password and NotImplementedError for an unknown method.
_DAMAGED = (
    EOFError, OSError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile,
    lzma.LZMAError,
)  # fmt: skip


def silent(text: str) -> None:
    """Say nothing."""


class Rows:
    """The rows of one text: iterate for ``(line number, fields)``; blank lines are left out.

    ``consumed()`` is the share of the (compressed) file read so far, between 0 and 1.
    """

    def __init__(self, path: Path, stream: IO[str], raw: IO[bytes], sep: str | None) -> None:
        self.path = path
        self._raw, self._size = raw, max(path.stat().st_size, 1)
        head = list(islice(stream, _SNIFFED))
        self.sep = sep or sniff(head)
        lines: Iterator[str] = chain(head, stream)
        if self.sep == " ":
            lines = (line if '"' in line else " ".join(line.split()) for line in lines)
        self._reader = csv.reader(lines, delimiter=self.sep or "\t", strict=True)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield reader.line_num, fields

    def consumed(self) -> float:
        """Return the share of the file read so far."""
        return min(1.0, self._raw.tell() / self._size)

    @property
    def line(self) -> int:
        """Number of the last line read."""
        return self._reader.line_num


@contextlib.contextmanager
def rows(path: Path, sep: str | None = None) -> Iterator[Rows]:
    """Open a delimited text, plain or compressed by gzip, zip, bzip2 or xz.

    Inside, ``DataError`` with the line is raised for a file that ends too early, is not UTF-8 or
    has a quote that is not closed; before that for one that is empty or cannot be opened.
    """
    reader: Rows | None = None
    try:
        with path.open("rb") as raw, _decompressed(path, raw) as plain:
            stream = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
            reader = Rows(path, stream, raw, sep)
            yield reader
    except UnicodeDecodeError as error:
        found = error.object[error.start : error.start + 1].hex()
        raise DataError(
            f"{path}: line {_undecodable(path)}: byte 0x{found} is not UTF-8 text; save the file "
            "as UTF-8, for example with iconv -f latin1 -t utf-8."
        ) from None
    except csv.Error as error:
        line = reader.line if reader else 1
        raise DataError(
            f"{path}: line {line}: {error}; expected fields between {_named(reader)} with quotes "
            "that are closed."
        ) from None
    except _DAMAGED as error:
        raise _broken(path, error, reader) from None


def _undecodable(path: Path) -> int:
    """Return the first line that is not UTF-8; the decoder reads ahead and cannot tell."""
    number = 0
    with contextlib.suppress(*_DAMAGED), path.open("rb") as raw, _decompressed(path, raw) as plain:
        for line in plain:
            number += 1
            try:
                line.decode()
            except UnicodeDecodeError:
                break
    return number


def _broken(path: Path, error: Exception, reader: Rows | None) -> DataError:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(
        f"{path}: {_after(reader)}cannot be read on: {text}; an incomplete or damaged file? Copy "
        "or download it again."
    )


def _after(reader: Rows | None) -> str:
    return f"after line {reader.line}: " if reader is not None and reader.line else ""


def _named(reader: Rows | None) -> str:
    return SEPARATORS.get(reader.sep or "", "separators") if reader else "separators"


@contextlib.contextmanager
def _decompressed(path: Path, raw: IO[bytes]) -> Iterator[Any]:
    start = raw.read(6)
    raw.seek(0)
    if not start:
        raise DataError(f"{path}: the file is empty; expected a header line and rows.")
    if start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=raw) as plain:
            yield plain
    elif start.startswith(b"PK"):
        with zipfile.ZipFile(raw) as archive, archive.open(only_member(path, archive)) as member:
            yield member
    elif start.startswith(b"BZh"):
        with bz2.BZ2File(raw) as plain:
            yield plain
    elif start.startswith(b"\xfd7zXZ"):
        with lzma.LZMAFile(raw) as plain:
            yield plain
    else:
        yield raw


def only_member(path: Path, archive: zipfile.ZipFile) -> str:
    """Return the name of the one file in a zip; hidden files and those of macOS do not count.

    Raises ``DataError`` for none, for several, and for a path that points outside the archive.
    """
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or re.match(r"^[A-Za-z]:", name):
            raise DataError(
                f"{path}: the archive holds '{name}', a path outside of it; refused. Expected one "
                "plain file."
            )
    names = [
        name
        for name in names
        if not name.startswith("__MACOSX") and not PurePosixPath(name).name.startswith(".")
    ]
    if len(names) != 1:
        there = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "none"
        raise DataError(
            f"{path}: {len(names)} files in the archive ({there}); expected one; unpack it and "
            "name the file."
        )
    return names[0]


def sniff(head: list[str]) -> str | None:
    """Return the separator of a text by its first lines, or ``None`` if there is one column.

    A separator qualifies if every line has the same number of fields, the first possibly one
    fewer. The one with most numbers on the lines after the first wins, then the one with most
    fields; a space only if nothing else qualifies, because names may hold spaces.
    """
    best: tuple[int, int] = (-1, 0)
    found = None
    for sep in SEPARATORS:
        if sep == " " and found is not None:
            break
        lines = [" ".join(line.split()) if sep == " " and '"' not in line else line
                 for line in head if line.strip()]  # fmt: skip
        try:
            fields = [row for row in csv.reader(lines, delimiter=sep) if row]
        except csv.Error:
            continue
        widths = {len(row) for row in fields[1:]} or {len(fields[0])} if fields else {0}
        width = max(widths)
        if len(widths) > 1 or width < 2 or len(fields[0]) not in (width, width - 1):
            continue
        numbers = sum(bool(NUMBER.match(value)) for row in fields[1:] for value in row[1:])
        if (numbers, width) > best:
            best, found = (numbers, width), sep
    return found or _most_frequent(head)


def _most_frequent(head: list[str]) -> str | None:
    """Return the separator of ragged lines: the error then names the line that differs."""
    counts = {sep: sum(line.count(sep) for line in head) for sep in SEPARATORS if sep != " "}
    sep = max(counts, key=lambda one: counts[one])
    return sep if counts[sep] else None
