"""Parts of messages, and notes of file readers."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)
_verb_options: ContextVar[frozenset[str]] = ContextVar("verb_options", default=frozenset())

_RUN_ARGUMENTS = frozenset({"label_key", "batch_key", "labels", "layer", "no_labels"})
MAX_NAMES = 3
"""Largest number of names in a message."""
MAX_LISTED = 90
"""Largest number of known names that a message lists."""


def quote_names(names: Sequence[str]) -> str:
    """Return the first ``MAX_NAMES`` names in quotes, with dots if there are more."""
    shown = ", ".join(f"'{name}'" for name in names[:MAX_NAMES])
    return shown + (", ..." if len(names) > MAX_NAMES else "")


def did_you_mean(name: str, known: list[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for a close match, else the sorted list of known names.

    Upper and lower case are not distinguished. Of more than ``MAX_LISTED`` names, such as those of
    cells, none is listed.
    """
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=2, cutoff=0.6)
    if close:
        return " Did you mean " + " or ".join(f"'{folded[match]}'" for match in close) + "?"
    if not known or len(known) > MAX_LISTED:
        return ""
    return f" Known: {', '.join(sorted(known))}."


@contextmanager
def named_options(names: Iterable[str]) -> Iterator[None]:
    """Set the options of the current command, which messages in the block suggest as flags."""
    token = _verb_options.set(frozenset(names))
    try:
        yield
    finally:
        _verb_options.reset(token)


def verb_options() -> frozenset[str]:
    """Return the options of the current command; empty in Python."""
    return _verb_options.get()


def option_hint(where: Path | str, **options: Any) -> str:
    """Return the text by which a user sets options of reading a file.

    ``--part atac`` if the current command has the flag, ``label_key='COLUMN'`` for arguments of
    ``bench.run`` in Python, else ``'x.h5[part=atac]'`` for ``bench run`` and ``bench.run``.
    """
    flags, arguments, in_brackets = [], [], []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if name in verb_options():
            if isinstance(value, bool):
                flags.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                flags.append(f"--{flag} {value}")
        elif name in _RUN_ARGUMENTS:
            arguments.append(f"{name}={value!r}")
        else:
            in_brackets.append(
                f"{name}={str(value).lower() if isinstance(value, bool) else value}"
            )
    bracket = f"'{Path(where).name}[{','.join(in_brackets)}]'" if in_brackets else ""
    return " ".join(filter(None, [*flags, ", ".join(arguments), bracket]))


def format_duration(seconds: float) -> str:
    """Return ``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_size(size: float | None) -> str:
    """Return ``about 4.5 MB``; an empty text for an unknown size."""
    if size is None:
        return ""
    power = next((p for p in (3, 2, 1) if size >= 1000**p), 0)
    number = size / 1000**power
    text = f"{number:.1f}" if power and number < 9.95 else f"{number:.0f}"
    return f"about {text} {('bytes', 'kB', 'MB', 'GB')[power]}"


def printable_line(text: str) -> str:
    """Return a text as one line, without characters that files or databases refuse."""
    line = " ".join(text.split())
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in line
    )


def log_note(text: str) -> None:
    """Log an assumption or omission of a reader; within :func:`collect_notes` it is collected."""
    lines = _notes.get()
    if lines is None:
        logger.info(text)
    else:
        lines.append(text)


@contextmanager
def collect_notes() -> Iterator[list[str]]:
    """Collect the notes of the block in a list, at any level of the log."""
    lines: list[str] = []
    token = _notes.set(lines)
    try:
        yield lines
    finally:
        _notes.reset(token)
