"""Delimited text as rows with line numbers: encoding, comments, separator, quotes."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO

from bench.errors import DataError

from .guards import require_memory
from .unpack import DAMAGED, open_unpacked

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
NUMBER = re.compile(r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$")
_HEAD_LINES = 6
_LONGEST_LINE = 1 << 28
_EVERY, _RESERVE = 4096, 1 << 28
"""Number of lines between two checks of the available memory, and bytes that must be left."""
_BOMS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16",
         b"\xfe\xff": "utf-16"}  # fmt: skip


class DelimitedRows:
    """The rows of one text as ``(line number, fields)``, without blank lines.

    Lines before the first row that start with ``#`` are comments; the last one may be the header.
    Empty fields after a separator at the end of every line are dropped.
    """

    def __init__(self, path: Path, stream: IO[str], raw: IO[bytes], sep: str | None) -> None:
        self.path = path
        self._raw, self._size = raw, max(path.stat().st_size, 1)
        source = _read_lines(path, stream)
        comments, head = _read_head(source)
        self.sep = sep or detect_separator(head)
        if named := re.match(r'"?sep=([,;|\t])"?\s*$', head[0] if head else ""):  # by Excel
            self.sep, comments, head = named[1], [*comments, head[0]], head[1:]
        header = _commented_header(comments, head, self.sep)
        if header:
            head = [header, *head]
        self._skipped = len(comments) - len(header[:1])
        lines: Iterator[str] = chain(head, source)
        if self.sep == " ":
            lines = (line if '"' in line else " ".join(line.split()) for line in lines)
        self._reader = csv.reader(lines, delimiter=self.sep or "\t", strict=True)
        self._drop = _count_trailing(head, self.sep)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        reader, (drop, in_rows) = self._reader, self._drop
        for number, fields in enumerate(reader):
            if number % _EVERY == 0:  # a small packed file may hold any number of lines
                require_memory(self.path, _RESERVE)
            if len(fields) > 1 or (fields and fields[0].strip()):
                if drop and not any(fields[-drop:]):
                    fields = fields[:-drop]
                drop = in_rows
                yield self.line, fields

    def consumed(self) -> float:
        """Return the share of the (compressed) file read so far, between 0 and 1."""
        return min(1.0, self._raw.tell() / self._size)

    @property
    def line(self) -> int:
        """Number of the last line read."""
        return self._reader.line_num + self._skipped


@contextlib.contextmanager
def open_rows(path: Path, sep: str | None = None) -> Iterator[DelimitedRows]:
    """Open a delimited text, plain or compressed by gzip, zip, bzip2 or xz.

    Raises ``DataError`` for an empty file and for one that cannot be opened. Errors of encoding,
    quotes and a truncated file in the block become a ``DataError`` with the line.
    """
    reader: DelimitedRows | None = None
    try:
        with path.open("rb") as raw, open_unpacked(path, raw) as plain:
            stream = io.TextIOWrapper(plain, encoding=_find_encoding(plain), newline="")
            reader = DelimitedRows(path, stream, raw, sep)
            yield reader
    except UnicodeError as error:
        byte = ""
        if isinstance(error, UnicodeDecodeError):
            byte = f"byte 0x{error.object[error.start : error.start + 1].hex()} "
        raise DataError(
            f"{path}: {byte}is not UTF-8 text; save the file as UTF-8, for example with "
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
    except DAMAGED as error:
        place = f"after line {reader.line}: " if reader is not None and reader.line else ""
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{path}: {place}{text}; an incomplete or damaged file? Copy or download it again.",
            code="unreadable",
        ) from None


def _find_encoding(plain: IO[bytes]) -> str:
    """Return the encoding by the byte order mark, or by the zero bytes of UTF-16 without one."""
    start = plain.read(1024)
    plain.seek(0)
    for mark, encoding in _BOMS.items():
        if start.startswith(mark):
            return encoding
    zeros = [start[place::2].count(0) / max(len(start) / 2, 1) for place in (0, 1)]
    if max(zeros) > 0.5 and min(zeros) < 0.1:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8-sig"


def _read_lines(path: Path, stream: IO[str]) -> Iterator[str]:
    """Yield the lines; raises ``DataError`` for a line too long for a table."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise DataError(
                f"{path}: a line of more than {_LONGEST_LINE:,} characters; expected a table of "
                "counts.",
                code="invalid_line",
            )
        yield line


def _read_head(lines: Iterator[str]) -> tuple[list[str], list[str]]:
    """Return the comments at the start, and the first lines after them."""
    comments: list[str] = []
    for line in lines:
        if not line.startswith("#"):
            return comments, [line, *islice(lines, _HEAD_LINES - 1)]
        comments.append(line)
    return [], comments  # all lines start so: names


def _commented_header(comments: list[str], head: list[str], sep: str | None) -> str:
    """Return the last comment without ``#`` if it is the header, else an empty text.

    Its fields are plain words, one for each column or, as R writes it, one fewer. The next line is
    a row of counts or, as in a table of labels, neither of the next two lines is.
    """
    if not comments or sep is None:
        return ""
    match = re.match(r"#( ?)(?=[^#\s]|\t)", comments[-1])
    text = comments[-1][match.end() :] if match else ""
    rows = _split_lines([text, *head[:2]], sep)
    if len(rows) < 2 or any(" " in field.rstrip("\r\n") for field in rows[0]):
        return ""
    names, first, *second = rows
    if _holds_numbers(first):
        is_row = bool(first[0]) and not (second and len(first) < len(second[0]))
        known = is_row and len(names) in (len(first), len(first) - 1) and len(names) > 1
    else:
        known = len(names) == len(first) and not (second and _holds_numbers(second[0]))
        known = known and not (match and match[1])
    return text if known else ""


def _holds_numbers(fields: list[str]) -> bool:
    """Return whether more than half of the fields after the first are numbers."""
    return 2 * sum(bool(NUMBER.match(field)) for field in fields[1:]) > max(len(fields) - 1, 1)


def _count_trailing(head: list[str], sep: str | None) -> tuple[int, int]:
    """Return the numbers of empty fields at the ends of the first and of all other lines."""
    rows = _split_lines(head, sep or "\t")
    if len(rows) < 2:
        return 0, 0
    empty = [
        len(row) - max((place for place, field in enumerate(row, 1) if field), default=len(row))
        for row in rows
    ]
    in_rows = min(empty[1:])
    more = len(rows[1]) - len(rows[0])
    if more > 0 and in_rows >= more:  # only the rows end so
        return 0, more
    both = min(empty[0], in_rows)
    return both, both


def _split_lines(lines: list[str], sep: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=sep) if row]
    except csv.Error:
        return []


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
        fields = _split_lines(lines, sep)
        if not fields:
            continue
        widths = {len(row) for row in fields[1:]} or {len(fields[0])}
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
