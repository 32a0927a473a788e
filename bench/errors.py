"""Errors that a user can act on.

Every message is one line with the file, column or parameter, what was expected, and the fix. The
command line prints it without a traceback and exits with ``exit_code``.

The same fault has the same code everywhere: ``unknown_name`` (of a method, dataset, parameter or
setting), ``invalid_value``, ``invalid_name``, ``missing_file``, ``unreadable``, ``not_writable``,
``file_exists``, ``missing_column``, ``no_results``, and codes that occur in one place only.
"""

from __future__ import annotations

from bench.addresses import mask_secrets


class BenchError(Exception):
    """Base of all errors that a user can act on.

    Parameters
    ----------
    message
        One line for the user; passwords in addresses are masked.
    code
        A short name of the fault, such as ``"transposed"``, for programs and tests. The wording of
        the message may change, the code does not.
    """

    exit_code = 2

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(mask_secrets(message))
        self.code = code


class UsageError(BenchError):
    """A name, selector, option or parameter is wrong."""


class DataError(BenchError):
    """A file or a matrix cannot be used in a benchmark."""


class StoreError(BenchError):
    """The results folder or the tracking server cannot be used."""


class MethodError(BenchError):
    """A method failed on data that passed the checks."""

    exit_code = 3


class Diverged(Exception):
    """Raised inside a fit when a loss is not finite; ends the job with status ``diverged``."""


class Pruned(Exception):
    """Raised by ``context.report`` when the search has stopped this trial."""
