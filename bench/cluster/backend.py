"""What starts the workers of a running driver, and what such a worker runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import BenchError, UsageError

from .job_folder import JobFolder
from .worker import run_task

if TYPE_CHECKING:
    from .resources import Request


@dataclass(frozen=True)
class EngineTask:
    """A task to start."""

    number: int
    request: Request
    expected: float
    """Seconds."""


class Backend(Protocol):
    """Starts workers."""

    most_tasks: int
    """Tasks that are open at a time."""
    shares_tasks: bool
    """Whether short jobs of a dataset share a task."""

    def start(self, tasks: Sequence[EngineTask]) -> None:
        """Start a worker for each task."""

    def ended_tasks(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield tasks whose workers have ended since the last call, with the answer of each.

        It is what :func:`run_remote_task` returned, or ``reason`` of one that returned nothing.
        """

    def cancel(self) -> None:
        """End all workers."""

    def close(self) -> None:
        """Release what the backend holds."""


def require_engine_package(module: str, extra: str) -> Any:
    """Import the package of an engine; raises ``UsageError`` that says how to install it."""
    try:
        return import_module(module)
    except ImportError:
        raise UsageError(
            f"--engine {extra}: needs the package {module}; pip install 'aebench[{extra}]'.",
            code="missing_package",
        ) from None


def run_remote_task(root: str, number: int) -> dict[str, str]:
    """Run a task on a worker; returns text and code of an error that the user must mend."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_task(JobFolder(Path(root)), number)
    except BenchError as error:
        return {"error": str(error), "code": error.code}
    return {}
