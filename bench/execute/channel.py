"""The task that the driver gives to a child process, and the pipe between them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.store.result import as_number

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from bench.contract import Dataset
    from bench.plan.job import Job

    from .wall import Wall

_MESSAGE_BYTES = 2**26


@dataclass(frozen=True)
class Task:
    """The work of one child process: the job, and the folders to read and to write."""

    job: Job
    cache: Path
    artifacts: Path = Path()
    """Folder to write into; a preparation writes only into the cache."""
    fit_artifacts: Path = Path()
    """Folder with the fit to score."""
    log: Path | None = None
    """File for the output of the process; ``None``: no log."""
    plugins: tuple[str, ...] = ()
    """Plugin files with additional metrics."""
    wall: Wall | None = None
    """Files that a fit may read and write; ``None``: the process is not restricted."""

    @property
    def threads(self) -> int:
        """Number of threads of the libraries in the process."""
        return self.job.threads


@dataclass(frozen=True)
class ReadingTask:
    """The work of a process that reads the files of a dataset into the cache."""

    dataset: Dataset
    cache: Path
    wall: Wall
    artifacts: Path
    """Folder for temporary files."""
    folder: Path
    """Current folder of the driver, for relative paths of the dataset."""
    verb_options: frozenset[str] = frozenset()
    """Options of the current command, for messages."""
    threads: int = 1
    log: None = None


class DriverPipe:
    """The child's end of the pipe to its driver.

    Messages are JSON, so that the driver never executes anything written by a fit.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, kind: str, value: Any) -> None:
        """Send a message to the driver; safe from several threads."""
        message = json.dumps([kind, value], default=as_number).encode()
        with self._lock:
            self._connection.send_bytes(message)

    def stop_reason(self) -> str:
        """Return the driver's reason for stopping this fit; empty if there is none."""
        with self._lock:
            return self._connection.recv_bytes().decode() if self._connection.poll() else ""


def read_messages(connection: Connection) -> Iterator[tuple[str, Any]]:
    """Yield the messages that have arrived at the driver's end; other data are skipped."""
    try:
        while connection.poll():
            message = connection.recv_bytes(_MESSAGE_BYTES)
            with contextlib.suppress(ValueError, TypeError):
                kind, value = json.loads(message)
                yield kind, value
    except (EOFError, OSError):
        return
