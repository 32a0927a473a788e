"""The command line called in this process."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from bench.cli.main import app
from bench.errors import BenchError


def bench(*words: str, **environment: str) -> Result:
    """Call ``bench`` with these words; the result has ``stdout``, ``stderr`` and ``exit_code``."""
    return CliRunner().invoke(app, list(words), prog_name="bench", env=environment)


def bench_json(*words: str, exit_code: int = 0) -> Any:
    """Return what ``bench … --json`` prints."""
    result = bench(*words, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def error_code(result: Result) -> str:
    """Return the code of the error that ended a call."""
    error = result.exception
    while error is not None and not isinstance(error, BenchError):
        error = error.__cause__ or error.__context__
    assert error is not None, result.output
    return error.code
