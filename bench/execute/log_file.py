"""The log of a fit, shortened to its head and tail."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_KEPT_BYTES = 2**20
_GAP = "\n[… the middle is left out …]\n".encode()
_LARGEST_BYTES = _KEPT_BYTES + len(_GAP)
BYTES_WHILE_WRITTEN = 2**23
"""Size above which a log is shortened while it is written."""
_EXCERPT_CHARACTERS = 3600
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def shorten_log(log: Path | None, largest: int = _LARGEST_BYTES) -> None:
    """Remove the middle of a log above ``largest`` bytes; a crash may write its cause first.

    Processes that write into the file append to it, so they continue behind the tail.
    """
    with contextlib.suppress(OSError):
        if log is None or log.stat().st_size <= largest:
            return
        with log.open("r+b") as file:
            size, half = file.seek(0, 2), _KEPT_BYTES // 2
            file.seek(size - half)
            tail = file.read(half)
            file.seek(half)
            file.write(_GAP)
            file.write(tail)
            file.truncate()


def log_excerpt(log: Path) -> str:
    """Return the log, without the middle if it is long; empty if there is none.

    Invalid UTF-8 and control characters, which databases refuse, are replaced.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    if len(text) <= _EXCERPT_CHARACTERS:
        return text
    half = _EXCERPT_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters …]\n{text[-half:]}"
