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
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench.errors import DataError
from bench.messages import quote_names

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
NUMBER = re.compile(r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$")
_HEAD_LINES = 6
# zipfile raises RuntimeError for a password and NotImplementedError for an unknown method.
_DAMAGED = (
    EOFError, OSError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile,
    lzma.LZMAError,
)  # fmt: skip


class DelimitedRows:
    """The rows of one text as ``(line number, fields)``, without blank lines."""

    def __init__(self, path: Path, stream: IO[str], raw: IO[bytes], sep: str | None) -> None:
        self.path = path
        self._raw, self._size = raw, max(path.stat().st_size, 1)
        head = list(islice(stream, _HEAD_LINES))
        self.sep = sep or detect_separator(head)
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
        """Return the share of the (compressed) file read so far, between 0 and 1."""
        return min(1.0, self._raw.tell() / self._size)

    @property
    def line(self) -> int:
        """Number of the last line read."""
        return self._reader.line_num


@contextlib.contextmanager
def open_rows(path: Path, sep: str | None = None) -> Iterator[DelimitedRows]:
    """Open a delimited text, plain or compressed by gzip, zip, bzip2 or xz.

    Raises ``DataError`` for an empty file and for one that cannot be opened. Errors of the code
    inside about encoding, quotes and a file that ends too early become one with the line.
    """
    reader: DelimitedRows | None = None
    try:
        with path.open("rb") as raw, _decompress(path, raw) as plain:
            stream = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
            reader = DelimitedRows(path, stream, raw, sep)
            yield reader
    except UnicodeDecodeError as error:
        byte = error.object[error.start : error.start + 1].hex()
        raise DataError(
            f"{path}: byte 0x{byte} is not UTF-8 text; save the file as UTF-8, for example with "
            "iconv -f latin1 -t utf-8.",
            code="not_utf8",
        ) from None
    except csv.Error as error:
        line, sep = (reader.line, reader.sep) if reader else (1, "")
        raise DataError(
            f"{path}: line {line}: {error}; expected fields between "
            f"{SEPARATORS.get(sep or '', 'separators')}, and a closing quote for each quote.",
            code="invalid_line",
        ) from None
    except _DAMAGED as error:
        place = f"after line {reader.line}: " if reader is not None and reader.line else ""
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{path}: {place}{text}; an incomplete or damaged file? Copy or download it again.",
            code="unreadable",
        ) from None


@contextlib.contextmanager
def _decompress(path: Path, raw: IO[bytes]) -> Iterator[Any]:
    start = raw.read(6)
    raw.seek(0)
    if not start:
        raise DataError(
            f"{path}: the file is empty; expected a header line and rows.", code="empty_file"
        )
    if start.startswith(b"PK"):
        with zipfile.ZipFile(raw) as archive, archive.open(_find_member(path, archive)) as member:
            yield member
        return
    openers: dict[bytes, Callable[[IO[bytes]], Any]] = {
        b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open
    }  # fmt: skip
    for magic, decompress in openers.items():
        if start.startswith(magic):
            with decompress(raw) as plain:
                yield plain
            return
    yield raw


def _find_member(path: Path, archive: zipfile.ZipFile) -> str:
    """Return the one file in a zip; hidden files and those of macOS do not count."""
    names = [
        info.filename
        for info in archive.infolist()
        if not info.is_dir()
        and not info.filename.startswith("__MACOSX")
        and not PurePosixPath(info.filename).name.startswith(".")
    ]
    if len(names) != 1:
        raise DataError(
            f"{path}: {len(names)} files in the archive ({quote_names(names) or 'none'}); "
            "expected one; unpack it and name the file.",
            code="ambiguous_file",
        )
    return names[0]


def refuse_duplicate_columns(path: Path, header: list[str], columns: list[str]) -> None:
    """Raise ``DataError`` if one of the columns occurs twice in the header."""
    duplicate = next((name for name in columns if header.count(name) > 1), None)
    if duplicate is not None:
        raise DataError(
            f"{path}: two columns are named '{duplicate}'; rename one.", code="duplicate_names"
        )


def detect_separator(head: list[str]) -> str | None:
    """Return the separator of a text by its first lines, ``None`` for a single column.

    A separator qualifies if every line has the same number of fields, the first possibly one
    fewer. The one with most numbers on the lines after the first wins, then the one with most
    fields; a space only if nothing else qualifies, because names may hold spaces.
    """
    best: tuple[int, int] = (-1, 0)
    separator = None
    for sep in SEPARATORS:
        if sep == " " and separator is not None:
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
            best, separator = (numbers, width), sep
    return separator or _most_frequent_separator(head)


def _most_frequent_separator(head: list[str]) -> str | None:
    """Return the separator of ragged lines, so that the error names the line that differs."""
    counts = {sep: sum(line.count(sep) for line in head) for sep in SEPARATORS if sep != " "}
    sep = max(counts, key=counts.__getitem__)
    return sep if counts[sep] else None
