"""Settings of the process server; the server imports this module before all others.

The server leaves the driver's process group: ``timeout``, a batch system or a closed terminal
signal the whole group, and without the server every running fit would seem to have failed. It
starts processes only for its driver, so that a fit cannot use it to start a process without
restrictions. Processes whose parent has ended become its children, and are killed when it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import multiprocessing.forkserver
import os
import socket
import struct
import sys
import time
import warnings
from types import SimpleNamespace
from typing import Any

import psutil

_DRIVER, _SERVER = os.getppid(), os.getpid()
_SET_CHILD_SUBREAPER = 36  # of prctl.h
_END_SECONDS = 10.0


class _DriverSocket(socket.socket):
    """A listening socket that accepts connections of the driver only."""

    def accept(self) -> tuple[socket.socket, object]:
        """Return the next connection; raises an error if it is not from the driver."""
        connection, address = super().accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", credentials)[0] != _DRIVER:
            connection.close()
            raise OSError(errno.ECONNABORTED, "not the driver")  # the server goes on
        return connection, address


def _end_descendants() -> None:
    """Kill all descendants of this server, also fits of a driver that has ended."""
    if os.getpid() != _SERVER:
        return  # a fit that Python ends in order
    deadline = time.monotonic() + _END_SECONDS
    while time.monotonic() < deadline:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _show_exception(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Show an exception, unless the driver was killed while it started this process."""
    if kind is EOFError and psutil.Process(_SERVER).ppid() != _DRIVER:
        return
    sys.__excepthook__(kind, error, trace)


os.setpgid(0, 0)
sys.excepthook = _show_exception
# Set for this process alone: what it starts has the paths of an ordinary Python.
os.environ.pop("PYTHONSAFEPATH", None)
# The server hears of the end of adopted processes, too.
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")
atexit.register(_end_descendants)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    multiprocessing.forkserver.socket = SimpleNamespace(  # type: ignore[attr-defined]
        **{**vars(socket), "socket": _DriverSocket}
    )
