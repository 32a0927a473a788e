"""channel."""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection
from typing import Any


class Line:
    """The child's end of the pipe to its driver."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, kind: str, value: Any) -> None:
        """Tell the driver something; methods may report from several threads."""
        with self._lock:
            self._connection.send((kind, value))

    def stop(self) -> str:
        """Return why the driver wants this fit to stop; empty if it does not."""
        with self._lock:
            return str(self._connection.recv()) if self._connection.poll() else ""
