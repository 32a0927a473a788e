"""Errors that a user can act on.

Every message is one line that names the file, column or parameter, says what was expected and
suggests the fix. The command line prints it without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Sequence


class BenchError(Exception):
    """Base of all errors raised on purpose by the harness."""

    exit_code = 2


class UsageError(BenchError):
    """A name, selector, option or parameter is wrong."""


class DataError(BenchError):
    """A file or a matrix is not what a benchmark can run on."""


class StoreError(BenchError):
    """The results folder or the tracking server cannot be used."""


class MethodError(BenchError):
    """A method failed on data that the harness had found sound."""

    exit_code = 3


class Diverged(Exception):
    """Raised inside a fit when a loss is not finite; ends the job with status ``diverged``."""


class Pruned(Exception):
    """Raised by ``context.report`` when the search has stopped this trial."""


SHOWN = 3
"""Names that a message gives at most."""


def some(names: Sequence[str]) -> str:
    """Return the first names in quotes, with dots if there are more."""
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
    return shown + (", ..." if len(names) > SHOWN else "")


def did_you_mean(name: str, known: list[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for a close match, else the sorted list of known names.

    Upper and lower case count as the same.
    """
    import difflib

    folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), folded, n=2, cutoff=0.6)
    close = [folded[one] for one in found]
    if close:
        return " Did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return " Known: " + ", ".join(sorted(known)) + "." if known else ""
