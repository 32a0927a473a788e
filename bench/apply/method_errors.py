"""Errors of a method, with the user's file and the line of code."""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, MethodError
from bench.messages import printable_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.contract import Method


@contextlib.contextmanager
def errors_with_file(method: Method, path: Path) -> Iterator[None]:
    """Turn an error of a method into a ``MethodError`` with the file and the line of code."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        source = getattr(sys.modules[type(method).__module__], "__file__", "")
        frame = next(f for f in frames if f.filename == source or f is frames[-1])
        text = printable_line(str(error))[:500]
        raise MethodError(
            f"{method.name} failed on {path}: {type(error).__name__}: {text} "
            f"({Path(frame.filename).name}, line {frame.lineno})",
            code="method_failed",
        ) from error
